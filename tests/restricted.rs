//! Under every small limit, and where a filter denies any system call that this crate makes: right results, or an error that
//! names the cause. Never a hang, a panic, a signal's death of the program, or a process that is left.

mod common;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::time::Duration;

use common::{program, run, text};
use nix::libc;

const RESTRICTED: &str = env!("CARGO_BIN_EXE_restricted");
/// What the program does under each restriction; the first takes neither pools nor processes.
const USES: [&str; 6] = ["none", "map", "slice", "channel", "limit", "process"];
/// All cells together, on a busy machine.
const ALL_TIME_MAX: Duration = Duration::from_secs(1200);

/// The causes that an error may name. The last are a program's that the system does not even start.
const CAUSES: [&str; 13] = [
    "Operation not permitted",
    "Function not implemented",
    "Too many open files",
    // The same, as musl says it.
    "No file descriptors available",
    "Cannot allocate memory",
    "Resource temporarily unavailable",
    "File too large",
    "raise `ulimit -v`",
    "RLIMIT_FSIZE",
    "no anonymous memory that processes share",
    "no memory to share",
    "killed by signal 6",
    "error while loading shared libraries",
];

/// The limits of a shell's `ulimit`, and small values of each.
const LIMITS: [(&str, &[&str]); 8] = [
    ("-f", &["0", "1", "8", "64", "512", "4096", "20000", "100000"]),
    ("-n", &["3", "4", "5", "6", "7", "8", "10", "12", "14", "16", "20", "24"]),
    ("-u", &["1", "2", "3", "5", "10"]),
    ("-v", &["4000", "8000", "20000", "30000", "50000", "200000", "600000"]),
    ("-s", &["64", "128", "256", "1024"]),
    ("-c", &["0", "1", "unlimited"]),
    ("-l", &["0", "64"]),
    ("-d", &["500", "4000", "20000", "100000"]),
];

/// Those that an allocation fails under.
const MEMORY_LIMITS: [&str; 2] = ["ulimit -v", "ulimit -d"];

/// The system calls that this crate, std and libc make for it.
const CALLS: [&str; 34] = [
    "fcntl",
    "getrandom",
    "getsockopt",
    "memfd_create",
    "ftruncate",
    "fallocate",
    "socketpair",
    "sendmsg",
    "recvmsg",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "poll",
    "ppoll",
    "pidfd_open",
    "pidfd_send_signal",
    "waitid",
    "wait4",
    "kill",
    "tgkill",
    "close_range",
    "prctl",
    "prlimit64",
    "sched_yield",
    "sched_getaffinity",
    "madvise",
    "membarrier",
    "clone3",
    "setpgid",
    "getpgid",
    "statx",
    "sigaltstack",
    "openat",
];

/// A user who owns nothing.
const NOBODY: u32 = 65534;

/// What is wrong with what the program did under a restriction, a line each.
fn faults(restriction: &str, output: &Output) -> Vec<String> {
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    let lines = Vec::from_iter(stdout.lines());
    if !lines.first().is_some_and(|line| line.starts_with("none ")) {
        // The program itself does not run so, or the system has not got this restriction.
        return Vec::new();
    }
    let mut faults = Vec::new();
    let has_no_memory = MEMORY_LIMITS.iter().any(|limit| restriction.contains(limit))
        && output.status.signal() == Some(libc::SIGABRT)
        && stderr.contains("memory allocation of ");
    for (place, of) in USES.iter().enumerate() {
        let Some(line) = lines.get(place) else {
            // Where an allocation fails that cannot return an error, std says so and ends the program.
            if has_no_memory {
                return faults;
            }
            faults.push(format!(
                "{restriction}: {of}: {:?} {:?}\n{stderr}",
                output.status.code(),
                output.status.signal()
            ));
            return faults;
        };
        let is_named = CAUSES.iter().any(|cause| line.contains(cause) || stderr.contains(cause));
        if !(line.contains(": ok") || line.contains(": error: ") && is_named) {
            faults.push(format!("{restriction}: {line}"));
        }
    }
    if !output.status.success() || stderr.contains("panicked") {
        faults.push(format!("{restriction}: {:?}\n{stderr}", output.status));
    }
    faults
}

/// Does what is to be done for each cell, and says which have gone wrong.
fn check(cells: Vec<(String, Command)>) {
    let all_faults = Mutex::new(Vec::new());
    common::for_each(cells, |(restriction, mut command)| {
        let output = run(&mut command);
        all_faults.lock().unwrap().extend(faults(&restriction, &output));
    });
    let all_faults = all_faults.into_inner().unwrap();
    assert!(all_faults.is_empty(), "{} cells have gone wrong:\n{}", all_faults.len(), all_faults.join("\n"));
}

#[test]
fn under_every_limit_a_use_goes_well_or_fails_with_its_cause() {
    let guard = common::guard();
    guard.allow(ALL_TIME_MAX);
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("restricted");
    std::fs::copy(RESTRICTED, &copy).unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut cells = Vec::new();
    for (limit, values) in LIMITS {
        for value in values {
            let mut shell = program("sh");
            // Some shells have another letter for processes.
            let set = match limit {
                "-u" => {
                    format!("if (ulimit -u {value}) 2> /dev/null; then ulimit -u {value}; else ulimit -p {value}; fi")
                }
                _ => format!("ulimit {limit} {value}"),
            };
            shell.args(["-c", &format!("{set} && exec \"$0\" \"$@\"")]);
            if limit == "-u" && is_root {
                // Root has no limit of processes.
                shell.arg(&copy).uid(NOBODY).gid(NOBODY).current_dir("/");
            } else {
                shell.arg(RESTRICTED);
            }
            shell.arg("").args(USES);
            cells.push((format!("ulimit {limit} {value}"), shell));
        }
    }
    check(cells);
}

#[test]
fn without_any_system_call_a_use_goes_well_or_fails_with_its_cause() {
    let guard = common::guard();
    guard.allow(ALL_TIME_MAX);
    let mut cells = Vec::new();
    for call in CALLS {
        for errno in ["ENOSYS", "EPERM"] {
            let denied = format!("{call}={errno}");
            let mut command = program(RESTRICTED);
            command.arg(&denied).args(USES);
            cells.push((denied, command));
        }
    }
    check(cells);
}
