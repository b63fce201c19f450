//! The controlling terminal, and how a process gives it up.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;

/// The columns of the terminal that standard error is; none where it is none.
#[cfg(feature = "progress")]
pub(crate) fn terminal_columns() -> Option<u16> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the request fills in the structure of ours that the pointer is to, and that lives through the call.
    let result = unsafe { libc::ioctl(libc::STDERR_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (result == 0 && size.ws_col > 0).then_some(size.ws_col)
}

/// Leaves this process without a controlling terminal; its session keeps it. The standard streams can still be written to.
///
/// The process is in the background: the kernel would stop it where it reads the terminal, and so does `bash -i`, which sends
/// its own group a SIGTTIN until it is in the foreground. Without a terminal both fail at once, as under a daemon. A session of
/// its own would do so too, but the scheduler shares processor time out by session first (sched(7), "The autogroup feature").
pub(super) fn give_up_terminal() {
    // Where there is none, the file is there and does not open.
    let opened = File::options().read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits()).open("/dev/tty");
    match opened {
        Ok(terminal) => disconnect(&terminal),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            disconnect(io::stdout());
            disconnect(io::stderr());
        }
        Err(_) => {}
    }
    make_streams_write_only();
}

/// Makes the standard streams that are terminals unreadable: a process without a controlling terminal is not stopped where it
/// reads one, and would take what is typed for others.
pub(super) fn make_streams_write_only() {
    if let Some(terminal) = write_only(io::stdout()) {
        let _ = nix::unistd::dup2_stdout(terminal);
    }
    if let Some(terminal) = write_only(io::stderr()) {
        let _ = nix::unistd::dup2_stderr(terminal);
    }
}

/// The terminal that a stream is, opened anew; none if the stream is no terminal that can be read, or cannot be opened here.
fn write_only(stream: impl AsFd) -> Option<File> {
    let flags = OFlag::from_bits_retain(fcntl(&stream, FcntlArg::F_GETFL).ok()?);
    if flags & OFlag::O_ACCMODE != OFlag::O_RDWR || !nix::unistd::isatty(&stream).ok()? {
        return None;
    }
    let path = nix::unistd::ttyname(&stream).ok()?;
    File::options().write(true).custom_flags(OFlag::O_NOCTTY.bits()).open(path).ok()
}

fn disconnect(terminal: impl AsFd) {
    // SAFETY: the descriptor is open while it is borrowed, and the request has no argument. A process that leads no session
    // gives up its own terminal alone (tty_ioctl(4), TIOCNOTTY); a worker leads none, as it leads a process group.
    unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), GIVE_UP) };
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const GIVE_UP: libc::Ioctl = libc::TIOCNOTTY;
/// `_IO('t', 113)`, on all BSDs.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const GIVE_UP: libc::c_ulong = 0x2000_7471;
