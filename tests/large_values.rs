//! A large value is in a process as itself and as its bytes, and no third time: `tests/bin/large_values.rs` tells the peaks.
#![cfg(target_os = "linux")]

mod common;

const VALUE_MIB: u64 = 128;

/// Twice the value, what buffers grow by, and the program itself.
const PEAK_MIB: u64 = VALUE_MIB * 23 / 10 + 64;

#[poolmap::test]
fn a_large_value_is_no_more_than_twice_in_a_process() {
    let _guard = common::guard();
    for transport in ["memory", "socket"] {
        for value in ["argument", "result"] {
            for call in ["map", "apply", "process"] {
                let mut program = common::program(env!("CARGO_BIN_EXE_large_values"));
                program.args([value, call]);
                if transport == "socket" {
                    program.env("POOLMAP_TRANSPORT", "socket");
                }
                let output = common::run(&mut program);
                let stdout = common::text(&output.stdout);
                let stderr = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{transport} {value} {call}: {stdout}{stderr}");
                let peaks: Vec<u64> = stdout.split_whitespace().map(|peak| peak.parse().unwrap()).collect();
                let [parent, worker] = peaks[..] else { panic!("no peaks: {stdout}") };
                println!("{transport} {value} {call}: parent {parent} MiB, worker {worker} MiB");
                assert!(parent <= PEAK_MIB && worker <= PEAK_MIB, "{transport} {value} {call}: {parent} {worker} MiB");
            }
        }
    }
}
