//! Where a wall is missing, the pool says so.

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::libc;
use poolmap::{Pool, Sandbox, TaskErrorKind, pool_try_map, worker};

use crate::common;
use crate::surroundings::{is_root, run_again};

/// Names the call that a container refuses, for the program that is run in it.
const REFUSED: &str = "POOLMAP_TEST_REFUSED";

#[worker]
fn open(path: &str) -> bool {
    path.is_empty() || std::fs::read(path).is_ok()
}

/// Makes the kernel answer calls with an error, as the profile of a container does.
pub(crate) fn refuse(command: &mut Command, refused: &[(libc::c_long, i32)], name: &str) {
    let instruction = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut program = vec![instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0)];
    for (number, error) in refused {
        program.push(instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, *number as u32));
        program.push(instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | error.cast_unsigned()));
    }
    program.push(instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW));
    command.env(REFUSED, name);
    let install = move || {
        let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
        // SAFETY: the calls take numbers, and a program that lives through them.
        let result = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter)
        };
        if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: it makes two system calls.
    unsafe { command.pre_exec(install) };
}

const EVERY_ATTEMPT: &str = "attacks::every_attempt_ends_as_it_must";

#[test]
fn every_attempt_ends_as_it_must_for_a_user() {
    // Others are users already.
    if is_root() {
        let guard = common::guard();
        guard.allow(common::SOON);
        run_again(EVERY_ATTEMPT, |command| {
            command.uid(65534).gid(65534);
        });
    }
}

#[test]
fn a_missing_wall_is_an_error_that_names_it() {
    let _guard = common::guard();
    let landlock = [(libc::SYS_landlock_create_ruleset, libc::ENOSYS)];
    run_again("honest::without_a_wall", |command| refuse(command, &landlock, "Landlock"));
    let seccomp = [(libc::SYS_seccomp, libc::EPERM)];
    run_again("honest::without_a_wall", |command| refuse(command, &seccomp, "seccomp"));
    let both = [landlock[0], seccomp[0]];
    run_again("honest::without_a_wall", |command| refuse(command, &both, "seccomp"));
}

#[poolmap::test]
#[ignore = "it is run by another test, with calls refused"]
fn without_a_wall() {
    let _guard = common::guard();
    let missing = std::env::var(REFUSED).unwrap();
    let builder = || Pool::builder().workers(1);
    let error = builder().sandbox(Sandbox::strict()).build().unwrap_err();
    assert!(error.is_invalid_option(), "{error}");
    assert!(error.to_string().contains(&missing) && error.to_string().contains("best_effort"), "{error}");
    let pool = builder().sandbox(Sandbox::strict().best_effort().without_namespaces()).build().unwrap();
    let status = pool.sandbox_status();
    assert!(!status.is_complete() && status.missing()[0].contains(&missing), "{status}");
    let outcome = &pool_try_map!(in &pool, open, ["/etc/passwd"]).unwrap()[0];
    let walls = (status.filters_system_calls(), status.landlock_version().is_some());
    match (walls, outcome.as_ref().map_err(|error| error.kind())) {
        // The filter has the call; Landlock alone makes it an error; with neither it succeeds, as was accepted.
        ((true, _), Err(TaskErrorKind::Denied { .. })) | ((false, true), Ok(false)) | ((false, false), Ok(true)) => {}
        (walls, outcome) => panic!("{walls:?}: {outcome:?}"),
    }
}

#[poolmap::test]
fn what_a_pool_holds_it_says() {
    let _guard = common::guard();
    let plain = Pool::builder().workers(1).build().unwrap();
    assert!(!plain.sandbox_status().is_complete());
    assert_eq!(plain.sandbox_status().to_string(), "no sandbox");
    let pool = Pool::builder().workers(1).sandbox(Sandbox::strict()).build().unwrap();
    let status = pool.sandbox_status();
    assert!(status.is_complete() && status.filters_system_calls() && status.landlock_version() >= Some(1), "{status}");
    let text = status.to_string();
    assert!(text.contains("filtered (seccomp)") && text.contains("Landlock, version"), "{text}");
    let error = Pool::builder().in_process().sandbox(Sandbox::strict()).build().unwrap_err();
    assert!(error.is_invalid_option() && error.to_string().contains("`sandbox`"), "{error}");
}

#[worker]
fn block_all_signals() {
    let (started, is_started) = std::sync::mpsc::channel();
    std::thread::Builder::new()
        .name("deaf".to_owned())
        .spawn(move || {
            nix::sys::signal::SigSet::all().thread_block().unwrap();
            started.send(()).unwrap();
            loop {
                std::thread::park();
            }
        })
        .unwrap();
    is_started.recv().unwrap();
}

#[poolmap::test]
fn a_thread_that_cannot_enter_keeps_its_worker_from_tasks() {
    let _guard = common::guard();
    let pool = Pool::builder()
        .workers(1)
        .output(poolmap::Output::Captured)
        .initializer(block_all_signals {})
        .sandbox(Sandbox::strict())
        .build()
        .unwrap();
    let outcome = &pool_try_map!(in &pool, open, [""]).map(|outcomes| format!("{:?}", outcomes[0]));
    let text = format!("{outcome:?}");
    assert!(!text.contains("Ok(true)"), "{text}");
}

#[worker]
fn let_no_signal_wait() {
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_SIGPENDING, 0, 0).unwrap();
}

/// As where another task of its user has taken all signals that may wait.
#[poolmap::test]
fn a_thread_that_cannot_be_asked_keeps_its_worker_from_tasks() {
    let guard = common::guard();
    guard.allow(common::SOON);
    // A copy has no other thread than those that are made for it.
    let builder = Pool::builder().workers(1).start_method(poolmap::StartMethod::Spawn);
    let pool = builder.initializer(let_no_signal_wait {}).sandbox(Sandbox::strict()).build().unwrap();
    // It has printed why.
    let outcome = &pool_try_map!(in &pool, open, [""]).unwrap()[0];
    let kind = outcome.as_ref().unwrap_err().kind();
    assert!(matches!(kind, TaskErrorKind::Crashed { exit_code: Some(70), .. }), "{kind:?}");
}
