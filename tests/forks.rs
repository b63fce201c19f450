//! Processes that are forked from one that has pools: their copies of these are errors, and hurt nobody.

mod common;

use std::os::unix::process::ExitStatusExt;

use common::{program, run, text};

const FORKING: &str = env!("CARGO_BIN_EXE_forking");

/// Runs the program in a way, over memory and over the socket.
#[track_caller]
fn goes_well(how: &str) {
    let _guard = common::guard();
    for transport in ["memory", "socket"] {
        let output = run(program(FORKING).arg(how).env("POOLMAP_TRANSPORT", transport));
        let (code, signal) = (output.status.code(), output.status.signal());
        assert_eq!((code, signal), (Some(0), None), "{how} over {transport}: {}", text(&output.stderr));
    }
}

#[test]
fn a_copy_drops_its_pool_and_the_parent_keeps_it() {
    goes_well("drop");
}

#[test]
fn a_copy_exits_and_the_parent_goes_on() {
    goes_well("exit");
}

#[test]
fn a_copy_returns_from_main_and_the_parent_goes_on() {
    goes_well("return");
}

#[test]
fn a_copy_ends_no_global_pool_of_its_parents() {
    goes_well("shutdown_global");
}

#[test]
fn every_entry_is_an_error_at_once_in_a_copy() {
    goes_well("entries");
}

#[test]
fn a_copy_that_ran_no_handlers_knows_that_it_is_one() {
    goes_well("raw");
}

#[test]
fn a_handle_that_is_awaited_in_a_copy_is_ready_with_an_error() {
    goes_well("await");
}

#[test]
fn a_copy_has_pools_and_processes_of_its_own() {
    goes_well("own");
}

#[test]
fn a_copy_of_a_copy_is_one_too() {
    goes_well("again");
}

#[test]
fn a_copy_of_a_worker_has_pools_of_its_own() {
    goes_well("task");
}

#[test]
fn a_copy_lets_go_of_nothing_that_processes_share() {
    goes_well("between");
}

#[test]
fn copies_that_are_made_while_others_map_have_pools_of_their_own() {
    goes_well("busy");
}

#[test]
fn an_iterator_that_is_continued_in_a_copy_ends_with_an_error() {
    goes_well("iterators");
}

#[test]
fn an_input_that_forks_spoils_no_map() {
    goes_well("iterator_forks");
}

#[test]
fn a_copy_that_goes_on_with_an_input_writes_over_no_argument() {
    goes_well("copy_has_another_item");
}

#[test]
fn a_callback_that_forks_ends_with_its_copy() {
    goes_well("callback_forks");
}

#[test]
fn a_daemon_has_workers_of_its_own_and_those_of_its_parent_end() {
    let _guard = common::guard();
    for transport in ["memory", "socket"] {
        let folder = tempfile::tempdir().unwrap();
        let output = run(program(FORKING).arg("daemon").arg(folder.path()).env("POOLMAP_TRANSPORT", transport));
        assert!(output.status.success(), "{}", text(&output.stderr));
        let done = folder.path().join("done");
        common::wait_until("the daemon has mapped", || done.exists());
        assert_eq!(std::fs::read_to_string(done).unwrap(), "right");
        let workers = std::fs::read_to_string(folder.path().join("workers")).unwrap();
        for pid in workers.split(' ').map(|pid| pid.parse().unwrap()) {
            common::wait_until("the parent's workers have ended", || !common::is_alive(pid));
        }
    }
}
