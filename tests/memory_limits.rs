//! Programs whose files, address space or locked memory are limited: what shares memory takes less, or goes another way, or is an
//! error that names the limit. It never ends the program.
#![cfg(target_os = "linux")]

mod common;

use common::{program, run, text};

const LIMITED: &str = env!("CARGO_BIN_EXE_memory_limits");

/// What a program under a limit says, which must end by itself.
fn told(arguments: &[&str], transport: &str) -> Vec<String> {
    let mut command = program(LIMITED);
    let output = run(command.args(arguments).env("POOLMAP_TRANSPORT", transport).env("RUST_BACKTRACE", "0"));
    let said = format!("{arguments:?} ({transport}): {}\n{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{:?}: {said}", output.status);
    assert!(!said.contains("WRONG"), "{said}");
    text(&output.stdout).lines().map(str::to_owned).collect()
}

/// Checks that each line is right, or an error that names a limit; some must be right.
fn check(lines: &[String], must_be_right: &[&str], limit: &str) {
    for line in lines {
        let is_named = line.contains(": error: ") && line.contains(limit);
        assert!(line.ends_with(": right") || is_named, "{line}\n{lines:#?}");
    }
    for name in must_be_right {
        assert!(lines.contains(&format!("{name}: right")), "{name}: {lines:#?}");
    }
}

const UNSHARED: [&str; 5] = ["map", "large", "shared", "slice", "process"];
const ALL: [&str; 9] = ["map", "large", "shared", "slice", "slice-mut", "channel", "mutex", "process", "captured"];

#[poolmap::test]
fn under_a_limit_for_files_work_goes_on_or_is_an_error_that_names_it() {
    let _guard = common::guard();
    for transport in ["memory", "socket"] {
        for bytes in [0, 4 << 10, 1 << 20, 5 << 20, 40 << 20] {
            let lines = told(&["files", &bytes.to_string()], transport);
            assert_eq!(lines.len(), ALL.len(), "{lines:#?}");
            // What needs no file works as it does without a limit.
            let must: &[&str] = match bytes {
                0..0x10_0000 => &UNSHARED,
                0x10_0000..0x200_0000 => &["map", "large", "shared", "slice", "mutex", "process", "captured"],
                _ => &ALL,
            };
            check(&lines, must, "ulimit -f");
        }
    }
}

#[poolmap::test]
fn a_limit_for_files_that_comes_after_the_pool_is_an_error_at_most() {
    let _guard = common::guard();
    for transport in ["memory", "socket"] {
        for bytes in [0, 4 << 10, 1 << 20, 5 << 20] {
            let folder = tempfile::tempdir().unwrap();
            let lines = told(&["files-later", &bytes.to_string(), folder.path().to_str().unwrap()], transport);
            assert_eq!(lines.len(), ALL.len() + 1, "{lines:#?}");
            check(&lines, if transport == "socket" { &UNSHARED } else { &["map"] }, "ulimit -f");
        }
    }
}

#[poolmap::test]
fn in_little_address_space_a_map_works_or_is_an_error_that_names_it() {
    let _guard = common::guard();
    for (mib, workers) in [(1000, 4), (300, 4), (200, 2), (100, 2), (64, 1)] {
        check(&told(&["address-space", &mib.to_string(), &workers.to_string()], "memory"), &["map"], "ulimit -v");
    }
    for mib in [48, 40, 32] {
        check(&told(&["address-space", &mib.to_string(), "1"], "memory"), &[], "ulimit -v");
    }
}

#[poolmap::test]
fn a_program_that_locks_its_memory_locks_little_of_a_pool() {
    let _guard = common::guard();
    let lines = told(&["locked", "0"], "memory");
    if lines[0].starts_with("skipped") {
        return eprintln!("{}", lines[0]);
    }
    let (grew, lines): (Vec<String>, Vec<String>) = lines.into_iter().partition(|line| line.starts_with("grew "));
    check(&lines, &ALL, "ulimit -l");
    let kib: u64 = grew[0].trim_start_matches("grew ").parse().unwrap();
    assert!(kib < 40 << 10, "the pool took {kib} KiB");
}

#[poolmap::test]
fn where_little_may_be_locked_a_map_works_or_is_an_error() {
    let _guard = common::guard();
    for kib in [8 << 10, 4 << 10] {
        let lines = told(&["locked", &kib.to_string()], "memory");
        if lines[0].starts_with("skipped") {
            eprintln!("{}", lines[0]);
            continue;
        }
        let lines: Vec<String> = lines.into_iter().filter(|line| !line.starts_with("grew ")).collect();
        check(&lines, &[], "");
    }
}
