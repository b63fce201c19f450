//! A start that the system refuses is an error that names the cause and what helps.

use std::os::unix::process::CommandExt;
use std::process::Output;

use nix::libc;

use crate::common::{self, program, run, text};
use crate::{ENTERED, NOBODY, copy_for_everyone, is_root};

fn says(output: &Output, words: &[&str]) {
    let stdout = text(&output.stdout);
    assert!(stdout.starts_with("main runs\nerror true "), "{stdout}{}", text(&output.stderr));
    for word in words {
        assert!(stdout.contains(word), "{word}: {stdout}");
    }
    assert!(!stdout.contains("init()") && !stdout.contains("ulimit -n"), "{stdout}");
}

#[test]
fn a_large_environment_is_named() {
    let _guard = common::guard();
    let output = run(program(ENTERED).arg("large environment"));
    says(&output, &["worker 0 of 1 could not be started", "Argument list too long", "environment"]);
}

#[test]
#[allow(unsafe_code, reason = "std sets no limits")]
fn a_limit_of_processes_is_named() {
    let _guard = common::guard();
    if !is_root("a_limit_of_processes_is_named") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let copy = copy_for_everyone(folder.path(), 0o755);
    for mode in ["double", "process"] {
        let mut command = program(copy.to_str().unwrap());
        command.arg(mode).uid(NOBODY).gid(NOBODY).current_dir("/");
        // SAFETY: the call may be made between fork and exec, and reads a structure that lives through it.
        unsafe {
            command.pre_exec(|| {
                let none = libc::rlimit { rlim_cur: 1, rlim_max: 1 };
                if libc::setrlimit(libc::RLIMIT_NPROC, &raw const none) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        says(&run(&mut command), &["could not be started", "`ulimit -u`", "pids.max"]);
    }
}

/// Runs the program in a mount namespace of its own, in which something was done before; none where there can be none.
fn in_namespace(before: &str, mode: &str) -> Option<Output> {
    if !is_root("a test with mounts of its own") {
        return None;
    }
    let script = format!("mount --make-rprivate / && {before} && echo ready >&2 && exec \"$0\" {mode}");
    let output = run(program("unshare").args(["--mount", "sh", "-c", &script, ENTERED]));
    let is_ready = text(&output.stderr).contains("ready\n");
    if !is_ready {
        eprintln!("skipped: no mount namespace: {}", text(&output.stderr));
    }
    is_ready.then_some(output)
}

#[test]
fn a_system_without_proc_is_named() {
    let _guard = common::guard();
    for mode in ["double", "process"] {
        if let Some(output) = in_namespace("mount -t tmpfs none /proc", mode) {
            says(&output, &["/proc", "must be mounted"]);
        }
    }
}

#[test]
fn a_missing_null_device_is_named() {
    let _guard = common::guard();
    for mode in ["double", "process"] {
        if let Some(output) = in_namespace("exec </dev/null && mount -t tmpfs none /dev", mode) {
            says(&output, &["could not open /dev/null", "No such file", "must be there"]);
        }
    }
}
