//! System calls that the kernel stops until a thread of this process has seen them (seccomp_unotify(2)): for a sandbox that only notes what
//! it would deny.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::mpsc::sync_channel;

use nix::errno::Errno;
use nix::libc::{self, c_ulong, c_void};

use super::crash_record::DENIED_PATH_BYTES_MAX;
use super::sandbox_calls::path_argument;

/// A call that is stopped.
pub(crate) struct NotedCall {
    pub(crate) number: i64,
    pub(crate) arguments: [u64; 6],
    /// The thread that makes it.
    thread: libc::pid_t,
    /// How many threads this process had before.
    threads_before: u64,
}

/// An instruction of a filter.
pub(crate) type FilterInstruction = (u16, u8, u8, u32);

/// struct seccomp_notif, and struct seccomp_notif_resp.
#[repr(C)]
struct Notice {
    id: u64,
    thread: u32,
    flags: u32,
    number: i32,
    processor: u32,
    instruction: u64,
    arguments: [u64; 6],
}

#[repr(C)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// SECCOMP_IOCTL_NOTIF_RECV and SECCOMP_IOCTL_NOTIF_SEND, which have the sizes of both in them.
const RECEIVE: c_ulong = 0xc050_2100;
const SEND: c_ulong = 0xc018_2101;
const _: () = assert!(size_of::<Notice>() == 0x50 && size_of::<Response>() == 0x18);
/// SECCOMP_USER_NOTIF_FLAG_CONTINUE: the call is made.
const GO_ON: u32 = 1;

/// Has each call of this thread, and of what it starts, that a filter asks about seen by this function, and made.
pub(crate) fn note_calls(
    program: &[FilterInstruction],
    mut note: impl FnMut(&NotedCall) + Send + 'static,
) -> io::Result<()> {
    let (sender, receiver) = sync_channel::<OwnedFd>(1);
    let seeing = std::thread::Builder::new().name("poolmap-notes".to_owned());
    // Before the filter: it is outside.
    seeing.spawn(move || {
        let threads_before = thread_count();
        while let Ok(listener) = receiver.recv() {
            while let Some(notice) = next(&listener) {
                let Notice { id, thread, number, arguments, .. } = notice;
                let thread = thread.cast_signed();
                note(&NotedCall { number: i64::from(number), arguments, thread, threads_before });
                go_on(&listener, id);
            }
        }
    })?;
    let listener = install(program)?;
    sender.send(listener).map_err(|_| io::Error::other("the thread that notes calls has ended"))?;
    // It waits for another until the process ends.
    std::mem::forget(sender);
    Ok(())
}

fn thread_count() -> u64 {
    std::fs::read_dir("/proc/self/task").map_or(0, |threads| threads.count() as u64)
}

fn install(program: &[FilterInstruction]) -> io::Result<OwnedFd> {
    let instruction = |&(code, jt, jf, k): &FilterInstruction| libc::sock_filter { code, jt, jf, k };
    let program: Vec<libc::sock_filter> = program.iter().map(instruction).collect();
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let filter = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: the calls take numbers, and a program that lives through them. The second returns a descriptor that nobody knows.
    unsafe {
        Errno::result(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
        let listener = libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const filter);
        Ok(OwnedFd::from_raw_fd(Errno::result(listener)? as i32))
    }
}

/// Waits for a call; none where no thread is left that could make one.
fn next(listener: &OwnedFd) -> Option<Notice> {
    loop {
        // SAFETY: all zeros is a valid value of the structure, and what the kernel asks for.
        let mut notice: Notice = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel fills the structure, which lives through the call.
        match Errno::result(unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE as _, &raw mut notice) }) {
            Ok(_) => return Some(notice),
            // The thread has ended before it was seen.
            Err(Errno::EINTR | Errno::ENOENT) => {}
            Err(_) => return None,
        }
    }
}

fn go_on(listener: &OwnedFd, id: u64) {
    let response = Response { id, value: 0, error: 0, flags: GO_ON };
    // SAFETY: the kernel reads the structure, which lives through the call. It fails where the thread has ended.
    unsafe { libc::ioctl(listener.as_raw_fd(), SEND as _, &raw const response) };
}

impl NotedCall {
    /// The path that the call is for, if it is for one and its pointer is good.
    pub(crate) fn path(&self) -> Option<Vec<u8>> {
        let address = self.arguments[path_argument(self.number)?];
        let mut path = vec![0; DENIED_PATH_BYTES_MAX];
        let count = self.read(address, &mut path)?;
        path.truncate(count);
        path.truncate(path.iter().position(|&byte| byte == 0)?);
        Some(path)
    }

    /// The number at an address, if that is one.
    pub(crate) fn number_at(&self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        (self.read(address, &mut bytes)? == 8).then(|| u64::from_ne_bytes(bytes))
    }

    /// How many threads there are with the one that the call starts, of those that began with the sandbox.
    pub(crate) fn threads(&self) -> u64 {
        (thread_count() + 1).saturating_sub(self.threads_before)
    }

    /// Copies what is at an address of the thread's; it ends at the page that is not there.
    fn read(&self, address: u64, room: &mut [u8]) -> Option<usize> {
        const PAGE: u64 = 4096;
        // A text may end in the last page that is mapped.
        let in_page = usize::try_from(PAGE - address % PAGE).unwrap_or(usize::MAX).min(room.len());
        self.read_whole(address, room).or_else(|| self.read_whole(address, &mut room[..in_page]))
    }

    fn read_whole(&self, address: u64, room: &mut [u8]) -> Option<usize> {
        let to = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
        let from = std::ptr::with_exposed_provenance_mut::<c_void>(address as usize);
        let from = libc::iovec { iov_base: from, iov_len: room.len() };
        // SAFETY: the kernel checks the address of the other thread, and fills the room, which is ours and as long as it says.
        let count = unsafe { libc::process_vm_readv(self.thread, &raw const to, 1, &raw const from, 1, 0) };
        usize::try_from(count).ok().filter(|&count| count > 0)
    }
}
