//! The wall behind the others: workers are in an empty network and an empty tree of files, where the system allows it; and where it does
//! not, the pool says so. The program tests/bin/namespaced.rs checks it from inside.

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::libc;
use poolmap::{Pool, Sandbox, pool_try_map, worker};

use crate::common;
use crate::honest::refuse;
use crate::surroundings::{copy_for_others, is_root};

/// Runs the program, as root or as a user; returns its output.
fn run(user: u32, wanted: &str, change: impl FnOnce(&mut Command)) -> String {
    let (_folder, mut command) = copy_for_others(env!("CARGO_BIN_EXE_namespaced"));
    command.arg(wanted).env_remove("POOLMAP_START_METHOD");
    if user != 0 {
        command.uid(user).gid(user);
    }
    change(&mut command);
    let output = common::run(&mut command);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && printed.ends_with("done\n"),
        "{user} {wanted}: {}\n{printed}{errors}",
        output.status
    );
    printed + &errors
}

/// Root and a user, or this user alone.
fn users() -> &'static [u32] {
    if is_root() { &[0, 65534] } else { &[0] }
}

/// Whether a program of this user may have namespaces here, as the kernel itself says of another.
fn has_namespaces(user: u32) -> bool {
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-current-user", "--net", "--mount", "true"]);
    if user != 0 {
        unshare.uid(user).gid(user);
    }
    unshare.status().is_ok_and(|status| status.success())
}

/// Runs a check as each user that may have namespaces.
fn check(way: &str, change: impl Fn(&mut Command)) {
    let guard = common::guard();
    guard.allow(common::SOON);
    for &user in users() {
        if has_namespaces(user) {
            run(user, way, &change);
        } else {
            println!("no namespaces for user {user} here");
        }
    }
}

#[test]
fn nothing_is_reached_where_the_filter_lets_calls_through() {
    check("spawn", |_| ());
}

#[test]
fn a_thread_of_the_initializer_is_in_them_too() {
    check("initialized", |_| ());
}

#[test]
fn copies_of_a_fork_server_are_in_them() {
    check("copies", |_| ());
}

#[test]
fn a_process_for_each_task_is_in_them() {
    check("fresh", |_| ());
}

#[test]
fn the_workers_of_another_program_are_in_them() {
    check("program", |_| ());
}

#[test]
fn messages_over_the_socket_go_in_and_out() {
    check("spawn", |command| {
        command.env("POOLMAP_TRANSPORT", "socket");
    });
}

#[test]
fn what_is_opened_leaves_its_namespace_out() {
    let guard = common::guard();
    guard.allow(common::SOON);
    for &user in users() {
        let printed = run(user, "say", |_| ());
        if !has_namespaces(user) {
            continue;
        }
        for line in [
            "strict: network true, files true, nothing refused",
            "connects: network false, files true, nothing refused",
            "reads: network true, files false, nothing refused",
            "both: network false, files false, nothing refused",
        ] {
            assert!(printed.contains(line), "{user}: {printed}");
        }
    }
}

#[test]
fn where_the_system_refuses_them_the_pool_works_and_says_so() {
    let guard = common::guard();
    guard.allow(common::SOON);
    // A container's filter; `user.max_user_namespaces` of 0, as it shows itself; filters of fewer calls.
    for (refused, name) in [
        (
            vec![(libc::SYS_unshare, libc::EPERM), (libc::SYS_setns, libc::EPERM), (libc::SYS_mount, libc::EPERM)],
            "unshare",
        ),
        (vec![(libc::SYS_unshare, libc::ENOSPC)], "unshare"),
        (vec![(libc::SYS_setns, libc::EPERM)], "setns"),
    ] {
        for &user in users() {
            let printed = run(user, "say", |command| refuse(command, &refused, name));
            assert!(printed.contains(&format!("strict: network false, files false, {name}")), "{user}: {printed}");
            assert!(printed.contains("both: network false, files false, nothing refused"), "{user}: {printed}");
        }
    }
}

#[test]
fn where_the_system_refuses_one_the_other_stands() {
    let guard = common::guard();
    guard.allow(common::SOON);
    for &user in users().iter().filter(|&&user| has_namespaces(user)) {
        for (call, name) in
            [(libc::SYS_mount, "mount"), (libc::SYS_fsopen, "fsopen"), (libc::SYS_pivot_root, "pivot_root")]
        {
            let printed = run(user, "say", |command| refuse(command, &[(call, libc::EPERM)], name));
            assert!(printed.contains(&format!("strict: network true, files false, {name}")), "{user}: {printed}");
            assert!(printed.contains("reads: network true, files false, nothing refused"), "{user}: {printed}");
        }
    }
}

#[test]
fn an_initializer_that_gives_its_rights_up_keeps_its_worker_from_tasks() {
    let guard = common::guard();
    guard.allow(common::SOON);
    if is_root() && has_namespaces(0) {
        let printed = run(0, "change user", |_| ());
        assert!(!printed.contains("it has run"), "{printed}");
        assert!(printed.contains("its namespaces could not be entered"), "{printed}");
        assert!(printed.contains("the sandbox is to be `without_namespaces()`"), "{printed}");
    }
}

#[worker]
fn square(x: u64) -> u64 {
    x * x
}

#[poolmap::test]
fn several_pools_have_each_their_own() {
    let _guard = common::guard();
    let before = common::descriptors();
    let pools: Vec<Pool> =
        (0..3).map(|_| Pool::builder().workers(1).sandbox(Sandbox::strict()).build().unwrap()).collect();
    for pool in &pools {
        assert_eq!(pool_try_map!(in pool, square, [3]).unwrap()[0].as_ref().unwrap(), &9);
    }
    drop(pools);
    // The threads that have made them may be on their way out.
    common::wait_until("no namespace is open", || common::descriptors() == before);
}

#[worker]
fn crash(_task: u32) {
    common::segfault();
}

#[poolmap::test]
fn a_crash_has_its_calls_where_there_are_no_files() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).sandbox(Sandbox::strict()).build().unwrap();
    let outcome = &pool_try_map!(in &pool, crash, [1]).unwrap()[0];
    let calls = outcome.as_ref().unwrap_err().native_backtrace().unwrap();
    assert!(calls.contains("namespaces::crash"), "{calls}");
}
