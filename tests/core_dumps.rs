//! Core dumps: they are small, and hold nothing of the memory that processes share.
#![cfg(target_os = "linux")]

mod common;

use std::os::unix::fs::MetadataExt;

use common::{program, run, text};
use tempfile::TempDir;

/// Without what is shared and reserved, a core has the stacks and the heap of a small program.
const CORE_BYTES_MAX: u64 = 40 << 20;

fn contains(bytes: &[u8], text: &str) -> bool {
    let (first, text) = (text.as_bytes()[0], text.as_bytes());
    let mut left = bytes;
    while let Some(at) = left.iter().position(|&byte| byte == first) {
        if left[at..].starts_with(text) {
            return true;
        }
        left = &left[at + 1..];
    }
    false
}

/// Runs the program where one of its processes dumps core; false where this system puts cores elsewhere.
fn dumps(process: &str, transport: &str) {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    if pattern.trim() != "core" {
        eprintln!("skipped: cores go to {pattern:?}, and not to the current folder");
        return;
    }
    let folder = TempDir::new().unwrap();
    let mut command = program(env!("CARGO_BIN_EXE_core_dumps"));
    let output = run(command.arg(process).current_dir(&folder).env("POOLMAP_TRANSPORT", transport));
    let said = format!("{process} ({transport}): {:?}\n{}", output.status, text(&output.stderr));
    let stdout = text(&output.stdout);
    assert!(process == "parent" || output.status.success(), "{said}");
    let cores = common::files(folder.path());
    if cores.is_empty() {
        eprintln!("skipped: this system dumps no core here");
        return;
    }
    for core in cores {
        let taken = core.metadata().unwrap().blocks() * 512;
        assert!(taken <= CORE_BYTES_MAX, "{said}: a core of {taken} bytes");
        let bytes = std::fs::read(&core).unwrap();
        // What this process wrote itself stands in its own heap too.
        for secret in stdout.lines().filter(|line| !line.starts_with("grew ")) {
            assert!(process == "parent" || !contains(&bytes, secret), "{said}: the core holds {secret}");
        }
    }
    let grew = stdout.lines().find_map(|line| line.strip_prefix("grew ")).expect(&said);
    assert!(grew.parse::<u64>().unwrap() < 4 << 20, "{said}: the dump made {grew} bytes of shared memory");
}

#[poolmap::test]
fn a_workers_core_has_nothing_of_the_memory_that_is_shared() {
    let _guard = common::guard();
    dumps("worker", "memory");
}

#[poolmap::test]
fn a_processs_core_has_nothing_of_the_memory_that_is_shared() {
    let _guard = common::guard();
    dumps("process", "memory");
    dumps("process", "socket");
}

#[poolmap::test]
fn a_parents_core_is_small() {
    let _guard = common::guard();
    dumps("parent", "memory");
    dumps("parent", "socket");
}
