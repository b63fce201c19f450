//! A worker that dies in any state of the protocol costs the task that it was running, and no delay loses a wake-up. The states
//! are the points of `runtime/src/failpoints.rs`; `tests/bin/faulty.rs` runs the maps, and checks that each task has one outcome,
//! in order, that results are right, that no death is blamed twice, and that the pool goes on and leaves nothing.

mod common;

use std::time::{Duration, Instant};

use common::{for_each, for_each_of};

/// How many tasks have no result after workers have died at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cost {
    /// No task was running.
    Nothing,
    /// One for each death: a task was running.
    Each,
    /// A task was running or not; or one was, as far as the parent can know (see `SOCKET`).
    AtMostEach,
}

use Cost::{AtMostEach, Each, Nothing};

/// A point, a load whose workers come by it, the times that are tried, and what it costs.
type At = (&'static str, &'static str, &'static [u32], Cost);

const ONCE: &[u32] = &[1];
const RARE: &[u32] = &[1, 2];
const OFTEN: &[u32] = &[1, 2, 7, 3, 1, 20];

/// Where chunks and results are in shared memory.
const MEMORY: [At; 36] = [
    ("entered:kill", "short", ONCE, Nothing),
    ("before-hello:kill", "short", ONCE, Nothing),
    ("after-hello:kill", "short", ONCE, Nothing),
    ("idle:kill", "iterated", RARE, Nothing),
    ("parked:kill", "late", RARE, Nothing),
    ("woken:kill", "late", RARE, Nothing),
    ("before-claim:kill", "iterated", RARE, Nothing),
    ("claimed:kill", "unordered", RARE, Nothing),
    ("begun:kill", "short", OFTEN, Each),
    ("decoded:kill", "unordered", OFTEN, Each),
    ("returned:kill", "short", OFTEN, Each),
    ("encoded:kill", "iterated", OFTEN, Each),
    ("uncounted:kill", "short", OFTEN, Each),
    ("uncounted:kill", "results", OFTEN, Each),
    ("finished:kill", "short", OFTEN, Nothing),
    ("finished:kill", "results", OFTEN, Nothing),
    // Of what was recalled, a task may be counted that is then not run.
    ("counted:kill", "uneven", OFTEN, AtMostEach),
    ("begun:kill", "uneven", OFTEN, Each),
    ("finished:kill", "uneven", OFTEN, Nothing),
    // What has no result together is of one task, which ends the call, and others of it with it.
    ("begun:kill", "folded", OFTEN, AtMostEach),
    ("folded:kill", "folded", OFTEN, AtMostEach),
    ("part-sent:kill", "folded", RARE, AtMostEach),
    ("uncounted:kill", "folded", OFTEN, AtMostEach),
    ("finished:kill", "folded", OFTEN, Nothing),
    ("noted:kill", "panics", OFTEN, Each),
    // It is also come by where the end of the ring is left out, before a task begins.
    ("head-written:kill", "results", RARE, AtMostEach),
    ("part-sent:kill", "results", RARE, Each),
    ("no-room:kill", "results", ONCE, Each),
    // Also where a result waits for room.
    ("ringing:kill", "iterated", RARE, AtMostEach),
    ("memory-come:kill", "memory", RARE, Nothing),
    ("memory-forgotten:kill", "memory", RARE, Nothing),
    ("output-sent:kill", "outputs", OFTEN, Each),
    ("uncounted:kill", "outputs", OFTEN, Each),
    ("finished:kill", "outputs", OFTEN, Nothing),
    ("sending:truncate", "short", ONCE, Nothing),
    ("closing:kill", "short", ONCE, Nothing),
];

/// Where they go over the socket.
const SOCKET: [At; 21] = [
    ("entered:kill", "short", ONCE, Nothing),
    ("before-hello:kill", "short", ONCE, Nothing),
    ("after-hello:kill", "short", ONCE, Nothing),
    ("idle:kill", "iterated", RARE, Nothing),
    ("parked:kill", "iterated", OFTEN, Nothing),
    ("woken:kill", "iterated", OFTEN, Nothing),
    ("before-claim:kill", "iterated", RARE, Nothing),
    ("claimed:kill", "unordered", RARE, Nothing),
    ("begun:kill", "short", OFTEN, Each),
    ("decoded:kill", "unordered", OFTEN, Each),
    ("returned:kill", "short", OFTEN, Each),
    ("encoded:kill", "iterated", OFTEN, Each),
    ("uncounted:kill", "results", OFTEN, Each),
    ("finished:kill", "short", OFTEN, Nothing),
    ("finished:kill", "results", OFTEN, Nothing),
    ("sending:truncate", "short", OFTEN, AtMostEach),
    ("sending:truncate", "results", OFTEN, AtMostEach),
    ("sent:kill", "panics", OFTEN, AtMostEach),
    ("memory-come:kill", "memory", RARE, Nothing),
    ("memory-forgotten:kill", "memory", RARE, Nothing),
    ("closing:kill", "short", ONCE, Nothing),
];

/// What became of a case: how many workers failed, how many tasks have no result, and how the call ended if it did.
#[derive(Debug)]
struct Came {
    case: String,
    failed: u32,
    errors: u32,
    ended: Option<String>,
}

/// The channels that there are here, and what deaths cost over each.
fn channels() -> Vec<(&'static str, &'static [At])> {
    let memory: (_, &[At]) = ("memory", &MEMORY);
    let socket: (_, &[At]) = ("socket", &SOCKET);
    if common::shares_memory() { vec![memory, socket] } else { vec![socket] }
}

/// The load as a program's argument knows it, how many tasks, and what more is asked of the parent.
fn load(name: &str) -> (&str, u32, &str) {
    match name {
        "short" | "uneven" => (name, 1000, ""),
        "long" => ("long", 2, ""),
        // Workers sleep before their first tasks come.
        "late" => ("iterated", 150, ",parent-entry:delay=2"),
        "panics" | "iterated" | "unordered" | "streamed" => (name, 150, ""),
        _ => (name, 100, ""),
    }
}

fn case(fault: &str, at: &str, workers: u32, chunk: u32, tokens: u32) -> String {
    let (load, tasks, more) = load(at);
    format!("load={load} workers={workers} chunk={chunk} tasks={tasks} tokens={tokens} fault={fault}{more}")
}

/// Twelve programs at once, each with up to five workers, may have to share one processor that is busy already.
const PROGRAM_TIME: Duration = Duration::from_secs(300);

/// The guard of a test that runs many programs.
fn patient_guard() -> common::Guard {
    let guard = common::guard();
    guard.allow(2 * PROGRAM_TIME);
    guard
}

/// Runs some cases in one program, one after another.
fn run(channel: &str, cases: &[String]) -> Vec<Came> {
    let folder = tempfile::tempdir().unwrap();
    let mut program = common::program(env!("CARGO_BIN_EXE_faulty"));
    // What a panic's backtrace holds takes long, and is not what these tests are about.
    program.arg(folder.path()).args(cases).env("POOLMAP_TRANSPORT", channel).env_remove("RUST_BACKTRACE");
    let output = common::run_within(PROGRAM_TIME, &mut program);
    let (stdout, stderr) = (common::text(&output.stdout), common::text(&output.stderr));
    assert!(output.status.success(), "{channel}: {}\n{stdout}\n{stderr}", output.status);
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines.len(), cases.len(), "{stdout}");
    lines.iter().map(|line| came(channel, line)).collect()
}

fn came(channel: &str, line: &str) -> Came {
    println!("{channel} {line}");
    let (case, rest) = line.split_once(": ").unwrap();
    let (counts, ended) = match rest.split_once(" ended with: ") {
        Some((counts, ended)) => (counts, Some(ended.to_owned())),
        None => (rest, None),
    };
    let count = |name: &str| {
        let mut fields = counts.split(' ').filter_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        fields.next().map_or(0, |number| number.parse().unwrap())
    };
    Came { case: format!("{channel} {case}"), failed: count("failed"), errors: count("errors"), ended }
}

#[test]
fn a_worker_killed_at_any_point_costs_the_task_that_it_was_running() {
    let _guard = patient_guard();
    let jobs = channels().into_iter().flat_map(|(channel, points)| points.iter().map(move |at| (channel, at)));
    for_each(jobs.collect(), |(channel, &(fault, at, times, cost))| {
        let cells = [1, 2, 5].into_iter().flat_map(|workers| [(workers, 0), (workers, 1)]);
        let cases: Vec<String> = cells
            .zip(times.iter().cycle())
            .map(|((workers, chunk), time)| case(&format!("{fault}@{time}"), at, workers, chunk, 3))
            .collect();
        let mut came = run(channel, &cases);
        if at == "late" && came.iter().all(|came| came.failed == 0) {
            // The processor is so busy that no worker got to sleep in this time.
            came.extend(run(channel, &[cases[0].replace("delay=2", "delay=200")]));
        }
        for Came { case, failed, errors, ended } in &came {
            assert!(ended.is_none(), "{case}: {ended:?}");
            match cost {
                Nothing => assert_eq!(*errors, 0, "{case}: no task was running"),
                Each => assert_eq!(errors, failed, "{case}: a task was running"),
                AtMostEach => assert!(errors <= failed, "{case}: {errors} errors of {failed} deaths"),
            }
        }
        // Where the system has no memory to share, none is sent.
        let may_be_missed = at == "memory" && !common::shares_memory();
        let is_tried = came.iter().any(|came| came.failed > 0);
        assert!(is_tried || may_be_missed, "no worker came by {fault} ({channel}, {at})");
    });
}

#[test]
fn any_other_end_at_a_point_costs_the_same() {
    let _guard = patient_guard();
    for (channel, points) in channels() {
        for_each(vec!["abort", "exit=3"], |end| {
            let tried = points.iter().filter(|(_, at, ..)| !at.contains("late"));
            let (cases, costs): (Vec<String>, Vec<Cost>) = tried
                .filter_map(|(fault, at, _, cost)| Some((fault.strip_suffix("kill")?, at, cost)))
                .map(|(point, at, &cost)| (case(&format!("{point}{end}@1"), at, 2, 0, 2), cost))
                .unzip();
            for (came, cost) in run(channel, &cases).iter().zip(costs) {
                let (least, most) = match cost {
                    Nothing => (0, 0),
                    Each => (came.failed, came.failed),
                    AtMostEach => (0, came.failed),
                };
                assert!(came.ended.is_none() && (least..=most).contains(&came.errors), "{came:?}");
            }
        });
    }
}

#[test]
fn a_worker_that_stops_at_any_point_and_goes_on_costs_nothing() {
    let _guard = patient_guard();
    for (channel, points) in channels() {
        let stops = points.iter().filter_map(|(fault, at, ..)| Some((fault.strip_suffix("kill")?, *at)));
        // A stopped worker takes no processor.
        for_each_of(12, stops.collect::<Vec<_>>(), |(point, at)| {
            for came in run(channel, &[case(&format!("{point}stop@1"), at, 2, 0, 4)]) {
                assert!(came.ended.is_none() && came.errors == 0, "{came:?}");
            }
        });
    }
}

#[test]
fn workers_that_get_on_may_die_without_end() {
    let _guard = patient_guard();
    for (channel, _) in channels() {
        let cases: Vec<String> = [1, 2]
            .into_iter()
            .flat_map(|workers| ["begun:kill@4", "finished:kill@4"].map(|fault| case(fault, "short", workers, 50, 40)))
            .collect();
        for came in run(channel, &cases) {
            assert_eq!((came.failed, came.ended.as_deref()), (40, None), "{}", came.case);
            if came.case.contains("begun") {
                assert_eq!(came.errors, 40, "{}", came.case);
            } else {
                assert_eq!(came.errors, 0, "{}", came.case);
            }
        }
    }
}

#[test]
fn workers_that_never_get_to_a_task_fail_the_call() {
    let _guard = patient_guard();
    for (channel, _) in channels() {
        let faults = ["entered:abort", "before-hello:abort", "after-hello:abort", "before-claim:abort"];
        let cases: Vec<String> = faults.iter().map(|fault| case(fault, "short", 2, 0, 40)).collect();
        for came in run(channel, &cases) {
            let ended = came.ended.unwrap_or_else(|| panic!("{} gave results", came.case));
            assert!(ended.contains("ended before it was ready, killed by signal 6"), "{ended}");
        }
    }
}

#[test]
fn workers_that_are_killed_before_they_get_to_a_task_cost_nothing() {
    let _guard = patient_guard();
    for (channel, _) in channels() {
        // Nothing tells a process's own SIGKILL from that of another.
        let faults = ["entered:kill", "before-hello:kill", "after-hello:kill", "before-claim:kill"];
        let cases: Vec<String> = faults.iter().map(|fault| case(fault, "short", 2, 0, 40)).collect();
        for came in run(channel, &cases) {
            assert_eq!((came.failed, came.errors, &came.ended), (40, 0, &None), "{}", came.case);
        }
    }
}

#[test]
fn a_parent_that_is_slow_at_any_point_loses_nothing() {
    let _guard = patient_guard();
    let points = [
        "entry",
        "assigned",
        "sending",
        "take-back",
        "recall",
        "take",
        "released",
        "parked",
        "sleeping",
        "woken",
        "attending",
        "reaping",
    ];
    for (channel, _) in channels() {
        for_each(points.to_vec(), |point| {
            let fault = format!("parent-{point}:delay=2,begun:kill@9");
            let cases = ["iterated", "streamed", "results", "uneven"].map(|at| case(&fault, at, 2, 0, 3));
            for came in run(channel, &cases) {
                // What runs beside a stream has some of the errors.
                let is_one_of_several = came.case.contains("load=streamed") && came.errors < came.failed;
                let is_each = came.errors == came.failed;
                assert!(came.ended.is_none() && (is_each || is_one_of_several), "{came:?}");
            }
        });
    }
}

#[test]
fn a_hello_that_another_thread_has_taken_is_no_end_of_a_worker() {
    let _guard = patient_guard();
    for_each(channels(), |(channel, _)| {
        // The driver has seen a worker's end, and is so slow to look after it that it finds the hello of the next one there; the
        // supervisor was woken by that hello, and comes later still.
        let fault = "returned:kill@1,parent-attending:delay=20,parent-woken:delay=32";
        for came in run(channel, &[case(fault, "long", 1, 1, 1)]) {
            assert_eq!((came.failed, came.errors, &came.ended), (1, 1, &None), "{}", came.case);
        }
    });
}

/// How long random delays are tried; as long as wanted by `POOLMAP_STRESS_SECONDS`.
fn stress_time() -> Duration {
    Duration::from_secs(common::asked("POOLMAP_STRESS_SECONDS", 4))
}

#[test]
fn no_wake_up_is_lost_whatever_the_delays() {
    let guard = common::guard();
    guard.allow(PROGRAM_TIME + stress_time());
    let started = Instant::now();
    let deaths: Vec<&str> = MEMORY.iter().map(|(fault, ..)| *fault).collect();
    let mut seed = 0;
    while started.elapsed() < stress_time() {
        let seeds: Vec<usize> = (seed..seed + 4).collect();
        seed += seeds.len();
        for_each(seeds, |seed| {
            let (channel, _) = channels()[seed / 2 % channels().len()];
            let jitter = format!("all:jitter={},seed={seed}", [50, 300, 2000][seed % 3]);
            let fault = |round: usize| match seed % 2 {
                0 => jitter.clone(),
                _ => format!("{jitter},{}@{}", deaths[(seed + 7 * round) % deaths.len()], 1 + (seed / 8 + round) % 9),
            };
            let loads = ["iterated", "unordered", "streamed", "memory", "results", "outputs", "folded", "uneven"]
                .into_iter()
                .enumerate();
            let cases: Vec<String> = loads
                .map(|(round, at)| case(&fault(round), at, [1, 2, 5][(seed + round) % 3], [0, 1, 9][seed / 3 % 3], 3))
                .collect();
            for came in run(channel, &cases) {
                assert!(came.ended.is_none() && came.errors <= came.failed, "{came:?}");
            }
        });
    }
}
