//! The wall behind the others: workers are in an empty network and an empty tree of files, where the system allows it; and where it does
//! not, the pool says so. The program tests/bin/namespaced.rs checks it from inside.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::libc;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::ForkResult;
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

#[test]
fn rights_that_end_where_a_worker_is_executed_are_none() {
    let guard = common::guard();
    guard.allow(common::SOON);
    if is_root() && has_namespaces(0) {
        let printed = run(0, "bounded", |_| ());
        let refused = "strict: network false, files false, the rights to enter them end where the program is executed";
        assert!(printed.contains(refused), "{printed}");
    }
}

/// The root of a namespace of mounts is not that of a chroot in it.
#[test]
fn an_empty_tree_leads_out_of_no_chroot() {
    let guard = common::guard();
    guard.allow(common::SOON);
    if !is_root() || !has_namespaces(0) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let jail = CString::new(folder.path().as_os_str().as_bytes()).unwrap();
    let enter = move || {
        let (root, none, null) = (c"/".as_ptr(), c"none".as_ptr(), std::ptr::null());
        // SAFETY: the texts live through the calls, and end with a zero byte.
        let entered = unsafe {
            libc::unshare(libc::CLONE_NEWNS) == 0
                && libc::mount(none, root, none, libc::MS_REC | libc::MS_PRIVATE, null) == 0
                && libc::mount(root, jail.as_ptr(), none, libc::MS_BIND | libc::MS_REC, null) == 0
                && libc::chroot(jail.as_ptr()) == 0
                && libc::chdir(root) == 0
        };
        if entered { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    let printed = run(0, "say", |command| {
        // SAFETY: it makes system calls alone.
        unsafe { command.pre_exec(enter) };
    });
    assert!(printed.contains("strict: network true, files false, the program is in a chroot"), "{printed}");
}

#[poolmap::test]
fn a_program_that_ends_at_once_is_named_by_its_end() {
    let _guard = common::guard();
    for _ in 0..20 {
        let pool = Pool::builder().workers(1).program("/bin/false").sandbox(Sandbox::strict()).build().unwrap();
        let error = pool.apply(square { x: 1 }).unwrap_err().to_string();
        assert!(error.contains("exit code 1"), "{error}");
    }
}

/// The thread that makes namespaces is not in a fork.
#[poolmap::test]
fn a_fork_does_not_wait_for_them() {
    let _guard = common::guard();
    for _ in 0..20 {
        let builder = Pool::builder().workers(1).start_method(poolmap::StartMethod::ForkServer);
        let pool = builder.sandbox(Sandbox::strict()).build().unwrap();
        // SAFETY: the copy asks for the status, and ends.
        let copy = unsafe {
            match nix::unistd::fork().unwrap() {
                ForkResult::Parent { child } => child,
                ForkResult::Child => {
                    let _ = pool.sandbox_status();
                    libc::_exit(0)
                }
            }
        };
        let mut end = WaitStatus::StillAlive;
        common::wait_until("the copy has ended", || {
            end = waitpid(copy, Some(WaitPidFlag::WNOHANG)).unwrap();
            end != WaitStatus::StillAlive
        });
        assert_eq!(end, WaitStatus::Exited(copy, 0));
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
