//! A task that wants something of the terminal gets an error at once, and writes as before.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use nix::libc;
use nix::pty::openpty;

use crate::ENTERED;
use crate::common::{self, Killed, program};

/// Runs the program in a session of its own, in the foreground of a terminal; gives what it shows.
#[allow(unsafe_code, reason = "std makes no sessions")]
fn in_terminal(arguments: &[&str], stops_writers: bool) -> String {
    let pty = openpty(None, None).unwrap();
    if stops_writers {
        let mut mode = nix::sys::termios::tcgetattr(&pty.slave).unwrap();
        mode.local_flags |= nix::sys::termios::LocalFlags::TOSTOP;
        nix::sys::termios::tcsetattr(&pty.slave, nix::sys::termios::SetArg::TCSANOW, &mode).unwrap();
    }
    let stream = |slave: &OwnedFd| Stdio::from(slave.try_clone().unwrap());
    let mut command = program(ENTERED);
    command.args(arguments).stdin(stream(&pty.slave)).stdout(stream(&pty.slave)).stderr(stream(&pty.slave));
    // SAFETY: both calls may be made between fork and exec, and touch no memory.
    unsafe {
        command.pre_exec(|| {
            if libc::setsid() == -1 || libc::ioctl(0, libc::TIOCSCTTY as _, 0) == -1 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
    let _child = Killed(command.spawn().unwrap());
    drop((command, pty.slave));
    let mut shown = String::new();
    // Its end is an error: no process has the terminal any more. The guard's watchdog ends a wait for one that is stopped.
    let mut bytes = [0; 1024];
    let mut screen = File::from(pty.master);
    while let Ok(count @ 1..) = screen.read(&mut bytes) {
        shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    shown.replace('\r', "")
}

#[test]
fn a_task_that_reads_the_terminal_gets_an_error() {
    let _guard = common::guard();
    for kind in [None, Some("daemon")] {
        let shown = |what| in_terminal(&["terminal", what].into_iter().chain(kind).collect::<Vec<_>>(), false);
        assert_eq!(shown("read"), "main runs\ntask open: No such device or address (os error 6)\n");
        assert_eq!(shown("read standard error"), "main runs\ntask -1\n");
        assert_eq!(shown("mode"), "main runs\ntask Ok(())\n");
        assert_eq!(shown("write"), "main runs\nthe task writes\ntask Ok(())\n");
    }
}

#[test]
fn a_shell_in_a_task_does_not_wait_for_the_foreground() {
    let _guard = common::guard();
    if !std::path::Path::new("/bin/bash").exists() {
        return eprintln!("skipped: there is no bash");
    }
    for kind in [None, Some("daemon")] {
        let arguments: Vec<&str> = ["terminal", "shell"].into_iter().chain(kind).collect();
        assert_eq!(in_terminal(&arguments, false), "main runs\ntask hello\n");
    }
}

#[test]
fn a_terminal_that_stops_background_writers_does_not_stop_workers() {
    let _guard = common::guard();
    assert_eq!(in_terminal(&["terminal", "write"], true), "main runs\nthe task writes\ntask Ok(())\n");
}

#[test]
fn a_process_beside_its_parent_keeps_the_terminal() {
    let _guard = common::guard();
    assert_eq!(in_terminal(&["terminal", "open", "plain"], false), "main runs\ntask a terminal\n");
}
