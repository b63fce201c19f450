//! Who greets a worker is its parent, of its own user; else it is no worker, and `main` does not run.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use nix::libc;

use crate::common::{self, program, run, text};
use crate::{ENTERED, NOBODY, copy_for_everyone, is_root};

const VARIABLE: &str = "_POOLMAP_WORKER_OF";
const ROLES: [&str; 3] = ["worker", "daemon", "plain"];

/// The program, given a descriptor under a number, with the variable of a worker of this process.
#[allow(unsafe_code, reason = "std hands over the standard streams alone")]
fn with_descriptor(command: &mut Command, descriptor: Option<&OwnedFd>, number: RawFd, marker: &str) -> Output {
    let from = descriptor.map(AsRawFd::as_raw_fd);
    // SAFETY: dup2, fcntl and close may be called between fork and exec.
    unsafe {
        command.pre_exec(move || {
            match from {
                // One that is under its number already is close-on-exec still.
                Some(from) if libc::dup2(from, number) < 0 || libc::fcntl(number, libc::F_SETFD, 0) < 0 => {
                    return Err(std::io::Error::last_os_error());
                }
                Some(_) => {}
                None => drop(libc::close(3)),
            }
            Ok(())
        });
    }
    run(command.env(VARIABLE, marker))
}

fn refused(output: &Output, why: &str) {
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!((output.status.code(), stdout.as_str()), (Some(70), ""), "{stderr}");
    assert!(stderr.starts_with("poolmap: a worker could not start: ") && stderr.contains(why), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn a_variable_without_a_channel_is_an_error() {
    let _guard = common::guard();
    let own = std::process::id();
    for role in ROLES {
        let marker = format!("{own} 1 {role}");
        refused(&with_descriptor(program(ENTERED).arg("double"), None, 3, &marker), "descriptor 3 is not open");
        let file = OwnedFd::from(File::open("/dev/null").unwrap());
        let output = with_descriptor(program(ENTERED).arg("double"), Some(&file), 3, &marker);
        refused(&output, "descriptor 3 is no connected stream socket");
        let (ours, theirs) = UnixStream::pair().unwrap();
        let output = with_descriptor(program(ENTERED).arg("double"), Some(&theirs.into()), 0, &marker);
        refused(&output, "descriptor 3 is ");
        drop(ours);
    }
}

#[test]
fn a_socket_of_another_kind_is_an_error() {
    let _guard = common::guard();
    let marker = format!("{} 1 worker", std::process::id());
    let folder = tempfile::tempdir().unwrap();
    let listener = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    let (datagram, _other) = std::os::unix::net::UnixDatagram::pair().unwrap();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for socket in [listener.into(), datagram.into(), OwnedFd::from(tcp)] {
        let output = with_descriptor(program(ENTERED).arg("double"), Some(&socket), 3, &marker);
        refused(&output, "descriptor 3 is no connected stream socket");
    }
}

#[test]
fn another_process_at_the_other_end_is_an_error() {
    let _guard = common::guard();
    for role in ROLES {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let output = with_descriptor(program(ENTERED).arg("double"), Some(&theirs.into()), 3, &format!("1 1 {role}"));
        refused(&output, "is at the other end of descriptor 3");
        drop(ours);
    }
}

#[test]
fn a_grandchild_is_no_worker() {
    let _guard = common::guard();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut shell = program("sh");
    shell.args(["-c", "\"$0\" double; exit $?", ENTERED]);
    let output = with_descriptor(&mut shell, Some(&theirs.into()), 3, &format!("{} 1 worker", std::process::id()));
    refused(&output, "started it");
    drop(ours);
}

#[test]
fn another_user_at_the_other_end_is_an_error() {
    let _guard = common::guard();
    if !is_root("another_user_at_the_other_end_is_an_error") {
        return;
    }
    for role in ROLES {
        let (ours, theirs) = std::thread::spawn(pair_of_nobody).join().unwrap();
        let marker = format!("{} 1 {role}", std::process::id());
        let output = with_descriptor(program(ENTERED).arg("double"), Some(&theirs.into()), 3, &marker);
        refused(&output, "user 65534 is at the other end of descriptor 3, not user 0");
        drop(ours);
    }
}

/// A pair that another user has made: the thread that calls this is that user afterwards.
#[allow(unsafe_code, reason = "the C library changes the user of all threads")]
fn pair_of_nobody() -> (UnixStream, UnixStream) {
    // SAFETY: the call takes numbers, and changes the user of this thread alone.
    let result = unsafe { libc::syscall(libc::SYS_setresuid, -1, NOBODY, -1) };
    assert_eq!(result, 0);
    UnixStream::pair().unwrap()
}

#[test]
fn a_program_of_more_rights_takes_nothing_from_its_environment() {
    let _guard = common::guard();
    if !is_root("a_program_of_more_rights_takes_nothing_from_its_environment") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let copy = copy_for_everyone(folder.path(), 0o4755);
    let attack = |number, arguments: &[&str]| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut command = program(copy.to_str().unwrap());
        command.args(arguments).uid(NOBODY).gid(NOBODY).current_dir("/");
        command.env("POOLMAP_WORKERS", "none").env("POOLMAP_TRANSPORT", "pigeon").env("POOLMAP_FAULT", "nonsense");
        let output =
            with_descriptor(&mut command, Some(&theirs.into()), number, &format!("{} 1 worker", std::process::id()));
        drop(ours);
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    for number in [0, 3] {
        for mode in ["double", "process"] {
            let (code, stdout, stderr) = attack(number, &[mode]);
            assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
            let said = "main runs\nerror true this program runs with more rights than its user has";
            assert!(stdout.starts_with(said), "{stdout}");
        }
    }
}

#[test]
fn a_variable_of_someone_else_is_ignored() {
    let _guard = common::guard();
    for marker in ["", "someone else's", "7 1", "7 1 worker more"] {
        let output = run(program(ENTERED).arg("double").env(VARIABLE, marker));
        assert_eq!((text(&output.stdout), text(&output.stderr)), ("main runs\n[2, 4, 6]\n".to_owned(), String::new()));
    }
}

#[poolmap::test]
#[ignore = "it is run by `a_test_is_no_worker_of_a_stranger`"]
fn entered_by_a_test() {
    println!("the test runs");
}

#[test]
fn a_test_is_no_worker_of_a_stranger() {
    let _guard = common::guard();
    let mut command = program(std::env::current_exe().unwrap().to_str().unwrap());
    command.args(["authentication::entered_by_a_test", "--exact", "--ignored", "--nocapture"]);
    let output = with_descriptor(&mut command, None, 3, "1 1 worker");
    assert_eq!(output.status.code(), Some(70));
    assert!(!text(&output.stdout).contains("the test runs"));
    assert!(text(&output.stderr).contains("descriptor 3 is "), "{}", text(&output.stderr));
}
