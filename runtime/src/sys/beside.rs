//! A copy of this process beside it: a child of the process that started this one.
//!
//! 1. The copy is made by the system call itself, with CLONE_PARENT (clone(2)): its parent is the thread that started this process. So
//!    that thread reaps it, its end ends the copy (PR_SET_PDEATHSIG), and the copy outlives this process.
//! 2. The C library learns of the copy what its own `fork` would tell it: the first thread's number. Handlers of `pthread_atfork` are not
//!    run.
//! 3. The copy has one thread, the one that made it. A lock that another thread holds would stay locked in it: so a copy takes the proof
//!    that there are no threads but those that wait for this one.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::peer::check_parent;
use super::socket::{FromParent, SocketToParent};
use super::spawn::CHANNEL;
use super::worker_setup::die_with_parent;
use super::{forks, placement};

/// Whether the system can make such a copy.
pub(crate) const CAN_COPY_BESIDE: bool = cfg!(poolmap_copies);

/// A thread that has ended may be counted for a moment: joining it waits for its last memory access, and not for the kernel.
const THREAD_END_TIME_MAX: Duration = Duration::from_secs(1);
const THREAD_END_INTERVAL: Duration = Duration::from_millis(1);

/// The proof that this process has no threads but those that wait for this one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoMoreThreads(());

impl NoMoreThreads {
    /// The proof, where so many other threads wait for this one; or the names of this process's threads, if there are more.
    pub(crate) fn prove(waiting: usize) -> io::Result<Result<Self, Vec<String>>> {
        let since = Instant::now();
        loop {
            let names = thread_names()?;
            if names.len() <= waiting + 1 {
                return Ok(Ok(Self(())));
            }
            if since.elapsed() > THREAD_END_TIME_MAX {
                return Ok(Err(names));
            }
            std::thread::sleep(THREAD_END_INTERVAL);
        }
    }
}

/// The names of this process's threads.
fn thread_names() -> io::Result<Vec<String>> {
    let tasks = std::fs::read_dir("/proc/self/task")?;
    tasks
        .map(|task| match std::fs::read(task?.path().join("comm")) {
            Ok(name) => Ok(String::from_utf8_lossy(&name).trim_end().to_owned()),
            // It has ended meanwhile, and is counted: it is gone at the next look.
            Err(_) => Ok("?".to_owned()),
        })
        .collect()
}

/// Which of both processes this is.
#[cfg_attr(not(poolmap_copies), allow(dead_code, reason = "there are no copies"))]
pub(crate) enum Beside {
    /// The copy.
    Copy,
    /// The process that was copied, and the number of the copy.
    Original(u32),
}

/// Makes a copy of this process.
#[cfg(poolmap_copies)]
pub(crate) fn copy_beside(_no_more_threads: NoMoreThreads) -> io::Result<Beside> {
    use nix::errno::Errno;
    use nix::libc;

    let flags = libc::c_long::from(libc::CLONE_PARENT | libc::SIGCHLD);
    let none = std::ptr::null_mut::<libc::c_void>();
    let thread_number = thread_number_place();
    let robust_list = robust_list();
    // SAFETY: without CLONE_VM the copy has its own memory and goes on here, on its copy of this stack; the other arguments are null
    // pointers, which the flags do not use. The other threads of this process, by the proof, only wait for this one to end: they hold no
    // lock that code in the copy may take.
    let pid = Errno::result(unsafe { libc::syscall(libc::SYS_clone, flags, none, none, none, none) })?;
    if pid != 0 {
        return Ok(Beside::Original(u32::try_from(pid).map_err(|_| io::ErrorKind::InvalidData)?));
    }
    if let Some(place) = thread_number {
        // SAFETY: the place is that of this thread's number in the C library's own record of the thread (see there), which no other
        // thread reads in this process: it has one.
        unsafe {
            place.write(nix::unistd::gettid().as_raw());
            libc::syscall(libc::SYS_set_tid_address, place);
        }
    }
    if let Some((head, bytes)) = robust_list {
        // SAFETY: it is the list that the C library keeps for this thread, at the address where it kept it in the original.
        unsafe { libc::syscall(libc::SYS_set_robust_list, head, bytes) };
    }
    IS_COPY.store(true, Ordering::Relaxed);
    Ok(Beside::Copy)
}

#[cfg(not(poolmap_copies))]
pub(crate) fn copy_beside(_no_more_threads: NoMoreThreads) -> io::Result<Beside> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Where the C library keeps this thread's number: glibc has the kernel clear it there at the thread's end (set_tid_address(2)). None
/// where the kernel does not tell, or the library keeps something else there.
#[cfg(poolmap_copies)]
fn thread_number_place() -> Option<*mut nix::libc::pid_t> {
    use nix::libc;

    const PR_GET_TID_ADDRESS: libc::c_int = 40;

    let mut place = std::ptr::null_mut::<libc::pid_t>();
    // SAFETY: the call writes an address to the variable that the pointer is to.
    let result = unsafe { libc::prctl(PR_GET_TID_ADDRESS, &raw mut place) };
    if result != 0 || place.is_null() {
        return None;
    }
    // SAFETY: the kernel writes there at the end of this thread, so it is memory of the thread's while it runs.
    let is_number = unsafe { place.read() } == nix::unistd::gettid().as_raw();
    is_number.then_some(place)
}

/// Where the C library keeps the list of the robust mutexes that this thread holds, and the size of its head: the kernel forgets it in
/// a copy (get_robust_list(2)).
#[cfg(poolmap_copies)]
fn robust_list() -> Option<(*mut nix::libc::c_void, usize)> {
    use nix::libc;

    let (mut head, mut bytes) = (std::ptr::null_mut::<libc::c_void>(), 0usize);
    // SAFETY: the call writes an address and a size to the variables that the pointers are to; 0 is this thread.
    let result = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut bytes) };
    (result == 0 && !head.is_null()).then_some((head, bytes))
}

/// This process is such a copy: its first thread has the stack of the thread that made it.
#[cfg_attr(any(not(target_os = "linux"), miri), allow(dead_code, reason = "there are no copies"))]
static IS_COPY: AtomicBool = AtomicBool::new(false);

/// Whether this process is a copy that [`copy_beside`] has made.
#[cfg_attr(any(not(target_os = "linux"), miri), allow(dead_code, reason = "there are no copies"))]
pub(super) fn is_copy() -> bool {
    IS_COPY.load(Ordering::Relaxed)
}

/// What a copy is to be, beside what it has from the original.
pub(crate) struct CopySetup<'a> {
    pub(crate) parent: u32,
    /// Its end of the channel.
    pub(crate) channel: FromParent,
    pub(crate) cpus: &'a [usize],
    /// As `name=value`.
    pub(crate) variables: &'a [Vec<u8>],
}

/// Makes this process, which is a copy, the worker of `parent`. The channel of the original is closed here already.
pub(crate) fn become_copied_worker(setup: CopySetup<'_>) -> io::Result<SocketToParent> {
    let CopySetup { parent, channel, cpus, variables } = setup;
    let channel = to_channel_number(channel.into_descriptor())?;
    let channel = SocketToParent::new(channel.into());
    // It leads a group of its own, as a worker that is started by itself does from its first instruction on.
    nix::unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
    die_with_parent();
    // Asked after the line above: a parent that died before it sends no signal any more.
    check_parent(parent, &channel)?;
    placement::set_cpus(cpus)?;
    for variable in variables {
        let Some(place) = variable.iter().position(|&byte| byte == b'=') else {
            continue;
        };
        let (name, value) = (OsStr::from_bytes(&variable[..place]), OsStr::from_bytes(&variable[place + 1..]));
        // SAFETY: this process has one thread, so no other reads or writes the environment.
        unsafe { std::env::set_var(name, value) };
    }
    forks::mark_worker();
    Ok(channel)
}

/// Moves the channel to the number that the channel of any worker has, if that is free.
fn to_channel_number(channel: OwnedFd) -> io::Result<OwnedFd> {
    if channel.as_raw_fd() == CHANNEL {
        return Ok(channel);
    }
    // The lowest that is free, from 3 on.
    let lowest = channel.try_clone()?;
    Ok(if lowest.as_raw_fd() < channel.as_raw_fd() { lowest } else { channel })
}

#[cfg(test)]
#[cfg(poolmap_linux)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_go_on_are_named() {
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let more = std::thread::Builder::new().name("one-more".to_owned()).spawn(move || ended.recv()).unwrap();
        let names = NoMoreThreads::prove(0).unwrap().unwrap_err();
        assert!(names.contains(&"one-more".to_owned()), "{names:?}");
        drop(end);
        assert!(more.join().unwrap().is_err());
        assert!(NoMoreThreads::prove(usize::MAX - 1).unwrap().is_ok());
    }
}
