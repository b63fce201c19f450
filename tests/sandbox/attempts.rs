//! What an attacker tries who runs code of their own in a worker. Each attempt is a name, what it must end as, and the code.

mod files;
mod kernel;
mod memory;
mod processes;
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
    /// It was a call that everybody may make.
    Harmless,
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
}

/// A system call as an attacker makes it, without the C library's opinion.
fn call<const COUNT: usize>(number: c_long, arguments: [usize; COUNT]) -> i64 {
    let argument = |place: usize| arguments.get(place).copied().unwrap_or(0);
    // SAFETY: there is none: it is an attack. The kernel checks pointers.
    let result =
        unsafe { libc::syscall(number, argument(0), argument(1), argument(2), argument(3), argument(4), argument(5)) };
    if result < 0 { -i64::from(nix::errno::Errno::last_raw()) } else { result }
}

/// The address of a text.
fn text(text: &'static std::ffi::CStr) -> usize {
    text.as_ptr().addr()
}

fn parent() -> usize {
    std::os::unix::process::parent_id() as usize
}
