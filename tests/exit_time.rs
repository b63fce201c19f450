//! Pools, Processes and what they share, used when the program is already ending: in a handler of `atexit`, and in the Drop of a
//! thread-local. Each use gives the right results or an error; the program does not abort, does not hang, and leaves no process.

mod common;

use common::{program, run, text};

const PLACES: [&str; 5] = ["atexit", "tls", "tls-thread", "unwinding", "exit"];

/// Uses something at every place, cold and warm.
fn at_every_place(what: &str, transport: &str) {
    let _guard = common::guard();
    // With musl, the thread-locals of the main thread are not dropped.
    for place in PLACES.into_iter().filter(|place| *place != "tls" || !cfg!(target_env = "musl")) {
        // Over the socket it is the same code of this process but for the way of a chunk.
        for warm in if transport == "socket" { &["cold"][..] } else { &["cold", "warm"] } {
            let mut command = program(env!("CARGO_BIN_EXE_exit_time"));
            // What is left of it holds the pipes open, so the run does not end before all of its processes have.
            let output =
                run(command.args([place, what, warm]).env("POOLMAP_TRANSPORT", transport).env("RUST_BACKTRACE", "0"));
            let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
            let said = format!("{place} {what} {warm} ({transport}): {:?}\n{stdout}\n{stderr}", output.status);
            let code = match place {
                "unwinding" => 101,
                "exit" => 3,
                _ => 0,
            };
            assert_eq!(output.status.code(), Some(code), "{said}");
            let at_end = if place == "exit" { "atexit" } else { place };
            assert!(stdout.lines().any(|line| line.starts_with(at_end)), "{said}");
            assert!(!stdout.contains("WRONG"), "{said}");
            for early in ["warm: ", "first: "] {
                let right = format!("{early}right");
                assert!(stdout.lines().all(|line| !line.starts_with(early) || line == right), "{said}");
            }
        }
    }
}

macro_rules! at_the_end {
    ($($test:ident: $what:literal,)+) => {
        $(
            #[poolmap::test]
            fn $test() {
                at_every_place($what, "memory");
                at_every_place($what, "socket");
            }
        )+
    };
}

at_the_end! {
    maps_work_at_the_end: "map",
    shared_slices_work_at_the_end: "slice",
    arrays_are_filled_at_the_end: "slice-mut",
    channels_work_at_the_end: "channel",
    mutexes_work_at_the_end: "mutex",
    processes_work_at_the_end: "process",
    pools_of_ones_own_work_at_the_end: "pool",
}

#[poolmap::test]
fn a_program_ends_while_a_thread_of_it_maps() {
    let _guard = common::guard();
    for what in ["map", "process", "pool"] {
        let output = run(program(env!("CARGO_BIN_EXE_exit_time")).args(["detached", what]));
        assert_eq!(output.status.code(), Some(0), "{what}: {}", text(&output.stderr));
    }
}
