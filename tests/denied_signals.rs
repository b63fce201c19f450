//! Where a filter of system calls denies the ways to end a process, or to reap it, there is another; and where none works,
//! nobody waits.
#![cfg(target_os = "linux")]

mod common;

use common::{SOON, program, run, text};

const RESTRICTED: &str = env!("CARGO_BIN_EXE_restricted");
/// Every way to send a signal to a process.
const SIGNALS: [&str; 3] = ["pidfd_send_signal", "kill", "tgkill"];

/// What the program says of each use where these calls are denied with this error; none where there are no filters.
fn uses(denied: &[&str], errno: &str, uses: &[&str]) -> Option<Vec<String>> {
    let denied = Vec::from_iter(denied.iter().map(|call| format!("{call}={errno}"))).join(",");
    let output = run(program(RESTRICTED).arg(&denied).args(uses));
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{denied}: {:?}\n{stdout}{stderr}", output.status);
    let lines = Vec::from_iter(stdout.lines().map(str::to_owned));
    if lines == ["not here"] {
        eprintln!("not shown here: this system has no filters, or not the call: {denied}");
        return None;
    }
    assert_eq!(lines.len(), uses.len(), "{denied}: {stdout}");
    for line in &lines {
        let (_, time) = line.split_once('(').unwrap();
        let (millis, _) = time.split_once(" ms)").unwrap();
        assert!(millis.parse::<u128>().unwrap() < SOON.as_millis(), "{denied}: {line}");
    }
    Some(lines)
}

/// The uses go as if nothing was denied.
fn all_go_well(denied: &[&str], errno: &str, of: &[&str]) {
    for line in uses(denied, errno, of).unwrap_or_default() {
        assert!(line.contains(": ok "), "{denied:?} {errno}: {line}");
    }
}

#[test]
fn one_way_to_end_or_reap_a_process_may_be_denied() {
    let _guard = common::guard();
    for denied in ["pidfd_open", "pidfd_send_signal", "kill", "tgkill", "waitid", "wait4", "prctl"] {
        for errno in ["EPERM", "ENOSYS"] {
            all_go_well(&[denied], errno, &["limit", "many kills", "drop", "process", "daemon", "stopped"]);
        }
    }
}

#[test]
fn several_ways_to_end_or_reap_a_process_may_be_denied() {
    let _guard = common::guard();
    let sets: [&[&str]; 6] = [
        &["pidfd_send_signal", "kill"],
        &["pidfd_send_signal", "tgkill"],
        &["pidfd_send_signal", "waitid"],
        &["pidfd_open", "waitid"],
        &["pidfd_open", "kill"],
        &["pidfd_open", "pidfd_send_signal", "waitid", "tgkill", "prctl"],
    ];
    for denied in sets {
        all_go_well(denied, "EPERM", &["limit", "many kills", "drop", "process", "daemon", "stopped"]);
    }
}

#[test]
fn where_no_child_can_be_waited_for_its_end_is_seen_all_the_same() {
    let _guard = common::guard();
    for denied in [&["waitid", "wait4"][..], &["pidfd_open", "waitid", "wait4"]] {
        all_go_well(denied, "EPERM", &["limit", "many kills", "drop", "process", "daemon", "stopped"]);
    }
}

#[test]
fn a_worker_that_cannot_be_killed_is_asked_to_end() {
    let _guard = common::guard();
    all_go_well(&SIGNALS, "EPERM", &["limit", "many kills", "drop", "daemon"]);
    all_go_well(&[&SIGNALS[..], &["pidfd_open"]].concat(), "ENOSYS", &["limit", "many kills", "drop", "daemon"]);
    all_go_well(&[&SIGNALS[..], &["waitid", "prctl"]].concat(), "EPERM", &["limit", "many kills", "drop", "daemon"]);
}

#[test]
fn a_worker_that_nothing_ends_costs_its_seat_and_nobody_waits_for_it() {
    let _guard = common::guard();
    let cannot = "could not be ended: could not send it SIGKILL: EPERM";
    let Some(lines) = uses(&SIGNALS, "EPERM", &["stopped", "all stopped"]) else {
        return;
    };
    assert!(lines[0].contains("ok Ok(true) Err(") && lines[0].contains(cannot), "{}", lines[0]);
    assert!(lines[1].contains("ok Err(") && lines[1].contains(cannot), "{}", lines[1]);
}

#[test]
fn a_process_that_nothing_ends_is_given_up() {
    let _guard = common::guard();
    for line in uses(&SIGNALS, "EPERM", &["process", "stopped process"]).unwrap_or_default() {
        assert!(line.contains("could not be: could not send it SIGKILL: EPERM"), "{line}");
    }
}
