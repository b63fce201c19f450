//! A Process that dies at any moment, or that its program cannot start, is an error that says so, and nobody waits for it.

mod common;

use common::{program, run, text};

const PROCESSES: &str = env!("CARGO_BIN_EXE_processes");

/// What becomes of two calls, one that fails, and one that panics, when their processes meet with this.
fn told(fault: &str) -> Vec<String> {
    let output = run(program(PROCESSES).arg("faults").env("POOLMAP_FAULT", fault));
    assert!(output.status.success(), "{fault}: {}", text(&output.stderr));
    text(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn a_process_that_dies_at_any_moment_is_an_error_unless_its_output_was_sent() {
    let _guard = common::guard();
    let killed = "None Some(9)";
    let crashed = format!("crashed Some(9) None: {killed}");
    // Nothing that the program does itself ends it by SIGKILL, so its start is not what failed.
    for fault in ["entered:kill", "before-hello:kill", "sending:truncate@1"] {
        assert_eq!(told(fault), vec![crashed.clone(); 4], "{fault}");
    }
    let before_the_reply = [
        "after-hello:kill",
        "parked:kill",
        "woken:kill",
        "begun:kill",
        "decoded:kill",
        "encoded:kill",
        "uncounted:kill",
        "sent:kill@1",
        "sent:kill@2",
        "sent:kill@3",
        "sending:kill@4",
        "sending:truncate@3",
    ];
    for fault in before_the_reply {
        assert_eq!(told(fault)[..2], [crashed.clone(), crashed.clone()], "{fault}");
    }
    assert_eq!(told("sending:truncate@4")[..2], [crashed.clone(), crashed]);
    for fault in ["finished:kill", "sent:kill@4", "closing:kill"] {
        assert_eq!(told(fault)[..2], [format!("ok true: {killed}"), format!("ok true: {killed}")], "{fault}");
    }
}

#[test]
fn delays_at_every_moment_change_nothing() {
    let _guard = common::guard();
    let expected =
        ["ok true: Some(0) None", "ok true: Some(0) None", "failed: Some(1) None", "panicked: Some(101) None"];
    for fault in ["", "all:delay=5", "all:jitter=3000,seed=1", "all:jitter=3000,seed=2"] {
        assert_eq!(told(fault), expected, "{fault}");
    }
}

#[test]
fn where_descriptors_are_few_a_start_is_an_error_and_those_that_run_go_on() {
    let _guard = common::guard();
    let output = run(program(PROCESSES).args(["few descriptors", "30"]));
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("true as before\n".to_owned(), String::new()));
}

#[test]
fn a_program_that_ignores_its_children_gets_outputs_and_learns_of_deaths() {
    let _guard = common::guard();
    let output = run(program(PROCESSES).arg("ignores SIGCHLD"));
    assert_eq!(text(&output.stdout), "ok true: None None\ncrashed None None: None None\n");
}

#[test]
fn a_process_that_does_not_get_ready_is_an_error_that_says_why() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let output = run(program(env!("CARGO_BIN_EXE_late_init")).arg("process").arg(folder.path().join("first")));
    let said = text(&output.stdout);
    assert!(said.starts_with("true process `late` ended before it was ready, with exit code 3: "), "{said}");
    assert!(said.contains("call init() first in `main`"), "{said}");
}
