//! What a Process sees of the handles that it was given when its parent has ended: values that were sent, the end of its channels,
//! and memory that stays.

mod common;

use common::{program, run, text, wait_until};

fn seen_after(how: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = run(program(env!("CARGO_BIN_EXE_orphan")).arg(how).arg(folder.path()));
    assert!(output.status.success() || how == "aborts", "{}", text(&output.stderr));
    let seen = folder.path().join("seen");
    wait_until("the Process tells what it sees", || seen.exists());
    std::fs::read_to_string(seen).unwrap()
}

#[test]
fn a_process_whose_parent_returns_sees_the_ends_of_its_channels() {
    let _guard = common::guard();
    let expected = "sum 499500, received 1, received 2, then disconnected, not sent: disconnected";
    assert_eq!(seen_after("returns"), expected);
}

#[test]
fn a_process_whose_parent_dies_sees_its_death_in_its_channels() {
    let _guard = common::guard();
    for how in ["exits", "aborts"] {
        let expected = "sum 499500, received 1, received 2, then owner died, not sent: owner died";
        assert_eq!(seen_after(how), expected, "{how}");
    }
}
