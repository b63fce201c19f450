//! The cost of a process for each task, by a fork server and by executing the program; and of memory of its own for each worker, for a round
//! trip and for a map. The ways run in turn, and the medians are printed. `cargo bench --bench fresh_process [-- TASKS [ROUNDS]]`, in half a
//! minute.

mod common;

use std::hint::black_box;
use std::time::{Duration, Instant};

use common::{median, number};
use poolmap::{Builder, Pool, StartMethod, pool_map, worker};

const WORKERS: usize = 2;
/// Tasks of a map, and round trips, for each process that a task has.
const TASKS_OF_MAP: u64 = 500;
const ROUND_TRIPS: u64 = 10;

#[worker]
fn next(x: u64) -> u64 {
    black_box(x) + 1
}

#[worker]
fn length(text: &str) -> usize {
    black_box(text).len()
}

/// The work that a pool is measured with.
#[derive(Clone, Copy)]
enum Work {
    RoundTrips,
    Map,
    Texts,
}

fn run(pool: &Pool, work: Work, tasks: u64) -> Duration {
    let start = Instant::now();
    match work {
        Work::RoundTrips => {
            for x in 0..tasks {
                assert_eq!(pool.apply(next { x }).expect("no task fails"), x + 1);
            }
        }
        Work::Map => {
            let outputs = pool_map!(in pool, next, 0..tasks).expect("no task fails");
            assert!(outputs.into_iter().eq(1..=tasks));
        }
        Work::Texts => {
            let texts = (0..tasks).map(|task| "x".repeat(task as usize % 2000));
            let outputs = pool_map!(in pool, length, texts).expect("no task fails");
            assert!(outputs.into_iter().eq((0..tasks).map(|task| task as usize % 2000)));
        }
    }
    start.elapsed()
}

fn builder() -> Builder {
    Pool::builder().workers(WORKERS)
}

#[poolmap::main]
fn main() {
    let [tasks, rounds] = [number(0, 1000), number(1, 5)];
    let ways: [(&str, Builder, Work, u64); 9] = [
        ("fresh process, fork server", builder().fresh_process(), Work::Map, tasks),
        (
            "a worker a task, fork server",
            builder().start_method(StartMethod::ForkServer).max_tasks_per_worker(1),
            Work::Map,
            tasks,
        ),
        ("fresh process, executed", builder().fresh_process().start_method(StartMethod::Spawn), Work::Map, tasks / 5),
        ("round trip, shared arena", builder(), Work::RoundTrips, tasks * ROUND_TRIPS),
        ("round trip, memory of its own", builder().private_memory(), Work::RoundTrips, tasks * ROUND_TRIPS),
        ("map of numbers, shared arena", builder(), Work::Map, tasks * TASKS_OF_MAP),
        ("map of numbers, memory of its own", builder().private_memory(), Work::Map, tasks * TASKS_OF_MAP),
        ("map of texts, shared arena", builder(), Work::Texts, tasks * TASKS_OF_MAP / 5),
        ("map of texts, memory of its own", builder().private_memory(), Work::Texts, tasks * TASKS_OF_MAP / 5),
    ];
    let pools = ways.each_ref().map(|(_, builder, ..)| {
        let pool = builder.clone().build().expect("processes start");
        pool.ready().expect("processes start");
        pool
    });
    let mut times = ways.each_ref().map(|_| Vec::new());
    for _ in 0..=rounds {
        for (((_, _, work, tasks), pool), times) in ways.iter().zip(&pools).zip(&mut times) {
            times.push(run(pool, *work, *tasks));
        }
    }
    for ((name, _, _, tasks), times) in ways.iter().zip(times) {
        // The first round warms up.
        let all = median(times[1..].to_vec());
        let each = all / u32::try_from(*tasks).expect("some thousands");
        println!("{name:36} {each:>10.2?} a task {:>12.0} a second", *tasks as f64 / all.as_secs_f64());
    }
}
