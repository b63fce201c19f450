//! Tasks that print in a sandbox: as much as they like, and not more than is theirs.

use nix::libc;
use poolmap::{Output, Pool, Sandbox, StartMethod, pool_map_captured, pool_try_map, worker};

use crate::attempts::call;
use crate::common;
use crate::surroundings::run_again;

/// Prints so many lines of 1 KiB.
#[worker]
fn print(lines: usize) -> usize {
    for line in 0..lines {
        println!("{line:01023}");
    }
    lines
}

#[poolmap::test]
fn a_task_may_print_more_than_is_kept() {
    let _guard = common::guard();
    for memory_limit in [None, Some(64 << 20)] {
        for method in [StartMethod::Spawn, StartMethod::ForkServer] {
            let builder = Pool::builder().workers(1).output(Output::Captured).start_method(method);
            let builder = memory_limit.iter().fold(builder, |builder, &limit| builder.memory_limit(limit));
            let pool = builder.sandbox(Sandbox::strict()).build().unwrap();
            // In all that is more than a file may have.
            for _ in 0..4 {
                let printed = pool_map_captured!(in &pool, print, [25_000]).unwrap();
                assert_eq!(printed[0].outcome.as_ref().ok(), Some(&25_000), "{:?}", printed[0].outcome);
                assert_eq!(printed[0].stdout.lines().last(), Some(&*format!("{:01023}", 24_999)));
            }
            assert_eq!(pool.stats().workers_lost(), 0);
        }
    }
}

const LIMIT: u64 = 64 << 20;

/// Writes into each file of this worker's, up to some bytes each; returns how many that took in all.
#[worker]
fn flood(bytes_max: u64) -> u64 {
    let block = vec![1_u8; 1 << 20];
    // Not one with a name, as the output of this test may be.
    let is_unnamed_file = |descriptor: usize| {
        let mut facts = [0_u64; 18];
        // The third word counts names, and the mode is the lower half of the fourth (x86-64).
        call(libc::SYS_fstat, [descriptor, facts.as_mut_ptr().addr()]) == 0
            && facts[2] == 0
            && facts[3] as u32 & 0o170_000 == 0o100_000
    };
    let fill = |descriptor: usize| {
        let mut written = 0;
        while written < bytes_max {
            match call(libc::SYS_write, [descriptor, block.as_ptr().addr(), block.len()]) {
                count @ 1.. => written += count as u64,
                _ => break,
            }
        }
        written
    };
    (1..64).filter(|descriptor| is_unnamed_file(*descriptor)).map(fill).sum()
}

#[poolmap::test]
fn what_a_task_prints_takes_no_memory_beyond_its_limit() {
    let _guard = common::guard();
    for method in [StartMethod::Spawn, StartMethod::ForkServer] {
        let builder = || {
            let builder = Pool::builder().workers(1).output(Output::Captured).start_method(method);
            builder.memory_limit(LIMIT)
        };
        // Three files can grow: for what is printed, and for where that begins. The memory that is shared with the parent is written over.
        let pool = builder().sandbox(Sandbox::strict()).build().unwrap();
        let flooded = pool.apply(flood { bytes_max: 2 * LIMIT }).unwrap();
        assert!((LIMIT..=4 * LIMIT).contains(&flooded), "{flooded}");
        let pool = builder().build().unwrap();
        let flooded = pool.apply(flood { bytes_max: 2 * LIMIT }).unwrap();
        assert!(flooded > 4 * LIMIT, "without a sandbox it could: {flooded}");
    }
}

/// In the file that the program prints to, before it does.
const LOGGED: &str = "what was logged before";

/// Reads each descriptor from its beginning; returns by which it found the text, whose first half it is given.
#[worker]
fn read_log(first_half: &str) -> Vec<usize> {
    let sought = [first_half, &LOGGED[first_half.len()..]].concat();
    let finds = |descriptor: &usize| {
        let mut room = [0_u8; 64];
        let count = call(libc::SYS_pread64, [*descriptor, room.as_mut_ptr().addr(), room.len(), 0]);
        count > 0 && room.starts_with(sought.as_bytes())
    };
    (0..64).filter(finds).collect()
}

#[test]
fn a_task_cannot_read_what_the_program_has_printed() {
    let guard = common::guard();
    guard.allow(common::SOON);
    run_again("printing::the_log", |command| {
        let mut log = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut log, LOGGED.as_bytes()).unwrap();
        command.env(HAS_LOG, "1").stdin(log);
    });
}

const HAS_LOG: &str = "POOLMAP_TEST_LOG";

#[poolmap::test]
#[ignore = "another test runs it, with a file as its output"]
fn the_log() {
    let _guard = common::guard();
    assert!(std::env::var_os(HAS_LOG).is_some());
    // `run_again` reads the output that this test is given, so the file comes as another descriptor.
    let (stdout, stderr) = (nix::unistd::dup(std::io::stdout()).unwrap(), nix::unistd::dup(std::io::stderr()).unwrap());
    nix::unistd::dup2_stdout(std::io::stdin()).unwrap();
    nix::unistd::dup2_stderr(std::io::stdin()).unwrap();
    let mut found = Vec::new();
    for output in [Output::Inherited, Output::Tagged, Output::Captured] {
        for method in [StartMethod::Spawn, StartMethod::ForkServer] {
            let builder = || Pool::builder().workers(1).output(output).start_method(method);
            let walled = builder().sandbox(Sandbox::strict().deny_quietly()).build().unwrap();
            let open = builder().build().unwrap();
            for pool in [walled, open] {
                found.push(pool_try_map!(in &pool, read_log, [&LOGGED[..7]]).map(|mut outcomes| outcomes.remove(0)));
            }
        }
    }
    nix::unistd::dup2_stdout(stdout).unwrap();
    nix::unistd::dup2_stderr(stderr).unwrap();
    for found in found.chunks(2) {
        let [walled, open] = [0, 1].map(|place| found[place].as_ref().unwrap().as_ref().unwrap());
        assert!(walled.is_empty(), "{walled:?}");
        assert!(!open.is_empty(), "without a sandbox it can");
    }
}
