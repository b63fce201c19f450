//! The setup of a worker before its first task, after exec: nothing is done between fork and exec, which would
//! keep std from using posix_spawn (with a 2 GB parent 0.15 ms against 239 ms).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask};

use super::placement::set_process_name;
use super::socket::SocketToParent;
use super::surroundings::FOLDER;
use super::{peer, terminal};
use crate::task::Role;

/// Makes this process the worker of `parent`, and returns the channel that it was started with.
///
/// # Errors
///
/// This process was not started by `parent`, or the parent is gone already.
pub(crate) fn become_worker(parent: u32, role: Role, folder: Folder) -> io::Result<SocketToParent> {
    let channel = peer::take_channel(parent)?;
    if role.ends_with_parent() {
        die_with_parent();
        // Asked after the line above: a parent that died before it sends no signal any more.
        peer::check_parent(parent, &channel)?;
        terminal::give_up_terminal();
    }
    if folder == Folder::Given {
        change_to_given_folder()?;
    }
    show_own_name();
    prefer_for_oom_killer();
    set_signals(role);
    super::forks::mark_worker();
    Ok(channel)
}

/// Where a worker's folder comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Folder {
    /// It was started in it.
    Inherited,
    /// It was given as a descriptor, and the worker changes to it.
    Given,
}

/// Changes to the folder that this process was given as a descriptor.
fn change_to_given_folder() -> io::Result<()> {
    // SAFETY: the parent, which is who it should be, has put the folder under this number before the program could open
    // anything, and says so; so nothing else owns it.
    let folder = unsafe { OwnedFd::from_raw_fd(FOLDER) };
    nix::unistd::fchdir(&folder)?;
    Ok(())
}

/// The kernel kills this process when the thread that started it ends.
#[cfg(poolmap_linux)]
pub(super) fn die_with_parent() {
    // It fails for numbers that are no signals only.
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
}

/// Elsewhere the end-of-file on the socket is the only sign.
#[cfg(not(poolmap_linux))]
pub(super) fn die_with_parent() {}

/// A process started from `/proc/self/exe` is called `exe` by `ps` and `top`; this gives it the program's name.
fn show_own_name() {
    let program = std::env::args_os().next().map(std::path::PathBuf::from);
    let name = program.as_ref().and_then(|program| program.file_name());
    if let Some(name) = name {
        set_process_name(name);
    }
}

/// Without it the kernel's OOM killer takes the larger process, which is the parent more often than not.
fn prefer_for_oom_killer() {
    // Everyone may raise it. Where there is no such file there is no such killer.
    let _ = std::fs::write("/proc/self/oom_score_adj", "500");
}

/// No signal blocked. A process that ends with its parent has a process group of its own, in the background: SIGINT (a Ctrl-C is the
/// parent's to act on) is caught by a handler that does nothing, and not ignored, which programs that a task starts would
/// inherit; should it still have a terminal, writing to it is allowed also under `stty tostop`, and reading it is an error and
/// does not stop it for ever. Other processes stand beside their parent, and do
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
        let _ = sigaction(Signal::SIGTTIN, &ignore);
    }
}

/// Kills this process and its process group: what its task started goes with it. Where the system refuses that, this process
/// exits.
pub(crate) fn kill_own_group() -> ! {
    let own = nix::unistd::getpid();
    // In a sandbox it can have started nothing, and may send signals to itself alone.
    #[cfg(poolmap_sandbox)]
    let is_alone = super::sandbox_opened::is_in_sandbox();
    #[cfg(not(poolmap_sandbox))]
    let is_alone = false;
    // A worker leads its group. Where it does not, it must not kill the group of another.
    if !is_alone && nix::unistd::getpgrp() == own {
        let _ = nix::sys::signal::killpg(own, Signal::SIGKILL);
    }
    let _ = nix::sys::signal::kill(own, Signal::SIGKILL);
    // SAFETY: it takes a number, and does not come back.
    unsafe { libc::_exit(EXIT_KILLED) }
}

/// The exit code by which a shell reports a process that a SIGKILL ended.
const EXIT_KILLED: libc::c_int = 128 + libc::SIGKILL;

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
    nix::unistd::dup2_stdout(descriptor.as_fd())?;
    terminal::make_streams_write_only();
    Ok(())
}
