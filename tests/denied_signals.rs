//! Where a filter of system calls denies the ways to end a process, or to reap it, there is another; and where none works,
//! nobody waits.
#![cfg(target_os = "linux")]

mod common;

use common::{SOON, for_each, program, run, text};

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
    let calls = ["pidfd_open", "pidfd_send_signal", "kill", "tgkill", "waitid", "wait4", "prctl"];
    let cells = calls.into_iter().flat_map(|denied| ["EPERM", "ENOSYS"].map(|errno| (denied, errno)));
    for_each(cells.collect(), |(denied, errno)| {
        all_go_well(&[denied], errno, &["limit", "many kills", "drop", "process", "daemon", "stopped"]);
    });
}

#[test]
fn several_ways_to_end_or_reap_a_process_may_be_denied() {
    let _guard = common::guard();
    let sets: [&[&str]; 8] = [
        &["pidfd_send_signal", "kill"],
        &["pidfd_send_signal", "tgkill"],
        &["pidfd_send_signal", "waitid"],
        &["pidfd_open", "waitid"],
        &["pidfd_open", "kill"],
        &["pidfd_open", "pidfd_send_signal", "waitid", "tgkill", "prctl"],
        // No child can be waited for: its end is seen all the same.
        &["waitid", "wait4"],
        &["pidfd_open", "waitid", "wait4"],
    ];
    for_each(sets.to_vec(), |denied| {
        all_go_well(denied, "EPERM", &["limit", "many kills", "drop", "process", "daemon", "stopped"]);
    });
}

#[test]
fn a_worker_that_cannot_be_killed_is_asked_to_end() {
    let _guard = common::guard();
    let more: [(&[&str], &str); 3] = [(&[], "EPERM"), (&["pidfd_open"], "ENOSYS"), (&["waitid", "prctl"], "EPERM")];
    for_each(more.to_vec(), |(more, errno)| {
        all_go_well(&[&SIGNALS[..], more].concat(), errno, &["limit", "many kills", "drop", "daemon"]);
    });
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
