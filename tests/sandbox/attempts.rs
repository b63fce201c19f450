//! What an attacker tries who runs code of their own in a worker. Each attempt is a name, what it must end as, and the code.

mod bombs;
mod channel;
mod files;
mod kernel;
mod memory;
mod newer;
mod others;
mod outputs;
mod processes;
mod signals;
mod sockets;

use nix::libc::{self, c_long};

/// How an attempt must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// As a denied system call of this name.
    Denied(&'static str),
    /// As a denied system call, which depends on the C library.
    DeniedSomehow,
    /// As [`Denied`](Self::Denied), with the path of the call.
    DeniedPath(&'static str, &'static str),
    /// As a denied call that the attacker kept the worker from naming.
    DeniedUnnamed,
    /// As the death of the worker by itself.
    Crashed,
    /// At a limit of the call.
    AtLimit,
    /// By the worker's death or at a limit, as the channel is.
    Ended,
    /// As a denied call, a crash or an error of the call, as the kernel is.
    Passing,
    /// As [`Ended`](Self::Ended), or as a denied call of the worker's own, which it makes without what was taken away.
    EndedOrDenied,
    /// As a call that everybody may make, and that returned this error.
    Refused(i32),
    /// It was a call that everybody may make, and the attempt returned this.
    Returns(i64),
}

pub(crate) struct Attempt {
    pub(crate) name: &'static str,
    pub(crate) ends: Ends,
    /// What it returns is what the attacker has got.
    pub(crate) run: fn() -> i64,
}

pub(crate) const fn attempt(name: &'static str, ends: Ends, run: fn() -> i64) -> Attempt {
    Attempt { name, ends, run }
}

/// All attempts.
pub(crate) fn all() -> impl Iterator<Item = &'static Attempt> {
    files::ATTEMPTS
        .iter()
        .chain(sockets::ATTEMPTS)
        .chain(processes::ATTEMPTS)
        .chain(memory::ATTEMPTS)
        .chain(kernel::ATTEMPTS)
        .chain(newer::ATTEMPTS)
        .chain(others::ATTEMPTS)
        .chain(signals::ATTEMPTS)
        .chain(channel::ATTEMPTS)
        .chain(outputs::ATTEMPTS)
        .chain(bombs::ATTEMPTS)
}

/// A system call as an attacker makes it, without the C library's opinion.
pub(crate) fn call<const COUNT: usize>(number: c_long, arguments: [usize; COUNT]) -> i64 {
    let argument = |place: usize| arguments.get(place).copied().unwrap_or(0);
    // SAFETY: there is none: it is an attack. The kernel checks pointers.
    let result =
        unsafe { libc::syscall(number, argument(0), argument(1), argument(2), argument(3), argument(4), argument(5)) };
    if result < 0 { -i64::from(nix::errno::Errno::last_raw()) } else { result }
}

/// Waits to be ended, and takes no processor from others.
fn wait() -> i64 {
    loop {
        call(libc::SYS_pause, [0_usize; 0]);
    }
}

/// The address of a text.
fn text(text: &'static std::ffi::CStr) -> usize {
    text.as_ptr().addr()
}

fn parent() -> usize {
    std::os::unix::process::parent_id() as usize
}

fn own() -> usize {
    std::process::id() as usize
}

/// A part of the memory of this process.
pub(crate) struct Mapping {
    pub(crate) begin: usize,
    pub(crate) end: usize,
    pub(crate) rights: String,
    pub(crate) name: String,
}

/// The memory of this process. An attacker cannot open the list; but a worker in a sandbox has it open, for the calls of a crash, and the
/// attacker reads each descriptor that is of that file system.
pub(crate) fn mappings() -> Vec<Mapping> {
    const PROC: u64 = 0x9fa0;
    let is_of_kernel = |descriptor: &usize| {
        let mut facts = [0_u64; 15];
        call(libc::SYS_fstatfs, [*descriptor, facts.as_mut_ptr().addr()]) == 0 && facts[0] == PROC
    };
    let mut texts = (3..64).filter(is_of_kernel).map(read_all);
    let list = texts.find(|text| text.contains(" rw-p ") && text.contains(" r-xp "));
    let list = list.unwrap_or_else(|| std::fs::read_to_string("/proc/self/maps").unwrap());
    list.lines().filter_map(mapping).collect()
}

/// Reads all bytes of a descriptor, from their beginning.
fn read_all(descriptor: usize) -> String {
    let mut all = Vec::new();
    let mut room = [0_u8; 4096];
    while let count @ 1.. = call(libc::SYS_pread64, [descriptor, room.as_mut_ptr().addr(), room.len(), all.len()]) {
        all.extend_from_slice(&room[..count as usize]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// One line of proc_pid_maps(5).
fn mapping(line: &str) -> Option<Mapping> {
    let mut fields = line.split_ascii_whitespace();
    let (begin, end) = fields.next()?.split_once('-')?;
    let [begin, end] = [begin, end].map(|address| usize::from_str_radix(address, 16));
    let rights = fields.next()?.to_owned();
    Some(Mapping { begin: begin.ok()?, end: end.ok()?, rights, name: fields.nth(3).unwrap_or_default().to_owned() })
}
