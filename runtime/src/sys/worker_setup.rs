//! What a worker does to itself before its first task, after exec: nothing is done between fork and exec, which would
//! keep std from using posix_spawn (with a 2 GB parent 0.15 ms against 239 ms).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask};

use crate::task::Role;

/// Makes this process the worker of `parent`, and gives the socket that it was started with as standard input.
///
/// Descriptors other than 0, 1, 2 and that socket are closed: they are what the parent happened to leave open.
///
/// # Errors
///
/// There is no such socket, or the parent is gone already.
pub(crate) fn become_worker(parent: u32, role: Role) -> io::Result<UnixStream> {
    if role.ends_with_parent() {
        die_with_parent();
        // Asked after the line above: a parent that died before it sends no signal any more.
        if std::os::unix::process::parent_id() != parent {
            return Err(io::ErrorKind::NotConnected.into());
        }
    }
    show_own_name();
    let socket = take_stdin()?;
    close_all_but(socket.as_raw_fd());
    prefer_for_oom_killer();
    set_signals(role);
    super::forks::mark_worker();
    Ok(UnixStream::from(socket))
}

/// The kernel kills this process when the thread that started it ends.
#[cfg(poolmap_linux)]
fn die_with_parent() {
    // It fails for numbers that are no signals only.
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
}

/// Elsewhere the end-of-file on the socket is the only sign.
#[cfg(not(poolmap_linux))]
fn die_with_parent() {}

/// A process started from `/proc/self/exe` is called `exe` by `ps` and `top`; this gives it the program's name.
#[cfg(poolmap_linux)]
fn show_own_name() {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;

    let program = std::env::args_os().next().map(std::path::PathBuf::from);
    let name = program.as_ref().and_then(|program| CString::new(program.file_name()?.as_bytes()).ok());
    if let Some(name) = name {
        // The kernel cuts it at 15 bytes.
        let _ = nix::sys::prctl::set_name(&name);
    }
}

#[cfg(not(poolmap_linux))]
fn show_own_name() {}

/// Moves standard input off descriptor 0, and puts `/dev/null` there.
fn take_stdin() -> io::Result<OwnedFd> {
    // A high number first: a program's thread that was started before `init()` and goes on using descriptors of its own,
    // which are closed here, does not find the channel under their numbers.
    let moved = fcntl(io::stdin(), FcntlArg::F_DUPFD_CLOEXEC(200))
        .or_else(|_| fcntl(io::stdin(), FcntlArg::F_DUPFD_CLOEXEC(3)))?;
    // SAFETY: fcntl has just made this descriptor, and nothing else knows it.
    let socket = unsafe { OwnedFd::from_raw_fd(moved) };
    nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
    Ok(socket)
}

/// Closes every descriptor from 3 on but `keep`.
fn close_all_but(keep: RawFd) {
    let keep = keep.cast_unsigned();
    if close_range(3, keep.saturating_sub(1)) && close_range(keep + 1, libc::c_uint::MAX) {
        return;
    }
    for directory in ["/proc/self/fd", "/dev/fd"] {
        let Ok(entries) = std::fs::read_dir(directory) else {
            continue;
        };
        let open: Vec<libc::c_uint> =
            entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
        for descriptor in open {
            if descriptor > 2 && descriptor != keep {
                let descriptor = descriptor.cast_signed();
                // SAFETY: closing a descriptor touches no memory. That nothing of the program owns it any more is what
                // `init()` asks for. That of the directory listing is closed already, and closing it twice fails.
                unsafe { libc::close(descriptor) };
            }
        }
        return;
    }
}

/// Closes the descriptors from `first` to `last`; false where the system has no such call.
#[cfg(poolmap_linux)]
fn close_range(first: libc::c_uint, last: libc::c_uint) -> bool {
    if first > last {
        return true;
    }
    // SAFETY: closing descriptors touches no memory. That nothing of the program owns one any more is what `init()` asks for.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    result == 0
}

#[cfg(not(poolmap_linux))]
fn close_range(_first: libc::c_uint, _last: libc::c_uint) -> bool {
    false
}

/// Without it the kernel's OOM killer takes the larger process, which is the parent more often than not.
fn prefer_for_oom_killer() {
    // Everyone may raise it. Where there is no such file there is no such killer.
    let _ = std::fs::write("/proc/self/oom_score_adj", "500");
}

/// No signal blocked. What ends with its parent has a process group of its own, in the background: SIGINT (a Ctrl-C is the
/// parent's to act on) is caught by a handler that does nothing, and not ignored, which programs that a task starts would
/// inherit; writing to the terminal is allowed also under `stty tostop`. Other processes stand beside their parent, and do
/// about signals what any program does.
fn set_signals(role: Role) {
    extern "C" fn do_nothing(_signal: libc::c_int) {}

    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
    if !role.ends_with_parent() {
        return;
    }
    let nothing = SigAction::new(SigHandler::Handler(do_nothing), SaFlags::SA_RESTART, SigSet::empty());
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing, so it is safe at any moment; the other action has no handler.
    unsafe {
        let _ = sigaction(Signal::SIGINT, &nothing);
        let _ = sigaction(Signal::SIGTTOU, &ignore);
    }
}

/// Kills this process and its process group: what its task started goes with it.
pub(crate) fn kill_own_group() {
    let own = nix::unistd::getpid();
    // A worker leads its group. Where it does not, it must not kill the group of another.
    if nix::unistd::getpgrp() == own {
        let _ = nix::sys::signal::killpg(own, Signal::SIGKILL);
    }
    let _ = nix::sys::signal::kill(own, Signal::SIGKILL);
}

/// Memory that tasks free stays with this process: touching it anew costs more than most of what is done with it (a task that
/// takes 1 MiB and gives it back takes 808 µs without this, and 271 µs with it).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn keep_freed_memory() {
    /// Blocks that are larger come from the kernel each time: no more can be asked for.
    const BLOCK_BYTES_MAX: libc::c_int = 32 << 20;
    const KEPT_BYTES_MAX: libc::c_int = 256 << 20;

    // SAFETY: the calls take integers; they concern allocations to come.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, BLOCK_BYTES_MAX);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES_MAX);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn keep_freed_memory() {}

/// This process's standard output.
pub(crate) fn stdout() -> BorrowedFd<'static> {
    // SAFETY: descriptor 1 is open for as long as the process lives: std opens /dev/null there if it was closed.
    unsafe { BorrowedFd::borrow_raw(libc::STDOUT_FILENO) }
}

/// Makes `descriptor` this process's standard output.
pub(crate) fn replace_stdout(descriptor: &OwnedFd) -> io::Result<()> {
    nix::unistd::dup2_stdout(descriptor.as_fd()).map_err(io::Error::from)
}
