//! What does a job log cost, for tasks of 10 µs, and what a timeline? The same map runs without one and with each, in turn, on a pool of as
//! many workers as there are CPUs, and the ratios are printed, of the medians and of the rounds; and the processor time of this process for a
//! task, which says the same on a machine that others use too. `cargo bench --bench job_log [-- MICROSECONDS [TASKS [ROUNDS]]]`, in a minute.

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{compute, cpu_time, median, number};
use poolmap::{Pool, pool_map, worker};

/// Takes so many microseconds of the processor.
#[worker]
fn work(x: u64, microseconds: u64) -> u64 {
    compute(x, Duration::from_micros(microseconds))
}

#[derive(Clone, Copy)]
enum Way<'a> {
    Plain,
    Log(&'a Path),
    Timeline(&'a Path),
}

/// The time that the map takes, and that of the processor in this process.
fn run(pool: &Pool, tasks: u64, microseconds: u64, way: Way<'_>) -> [Duration; 2] {
    let (xs, all) = (0..tasks, std::iter::repeat(microseconds));
    let (start, cpu_start) = (Instant::now(), cpu_time());
    let results = match way {
        Way::Plain => pool_map!(in pool, work, xs, all),
        Way::Log(path) => pool_map!(in pool, work, xs, all; job_log = path),
        Way::Timeline(path) => pool_map!(in pool, work, xs, all; timeline = path),
    };
    let times = [start.elapsed(), cpu_time() - cpu_start];
    assert!(results.expect("no task fails").into_iter().eq(0..tasks));
    times
}

#[poolmap::main]
fn main() {
    let (microseconds, tasks, rounds) = (number(0, 10), number(1, 200_000), number(2, 11));
    let pool = Pool::new().expect("workers can be started");
    pool.ready().expect("they start");
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let [log, timeline] = ["log.csv", "timeline.html"].map(|name| folder.path().join(name));
    let ways = [("neither", Way::Plain), ("a job log", Way::Log(&log)), ("a timeline", Way::Timeline(&timeline))];
    println!("{tasks} tasks of {microseconds} µs, {} workers, {rounds} rounds", pool.stats().workers());
    run(&pool, tasks, microseconds, Way::Plain);
    let mut times: [Vec<[Duration; 2]>; 3] = Default::default();
    for _ in 0..rounds {
        for ((_, way), times) in ways.iter().zip(&mut times) {
            times.push(run(&pool, tasks, microseconds, *way));
        }
    }
    let plain: Vec<Duration> = times[0].iter().map(|[wall, _]| *wall).collect();
    for ((name, _), times) in ways.iter().zip(&times) {
        let wall: Vec<Duration> = times.iter().map(|[wall, _]| *wall).collect();
        let mut ratios: Vec<f64> = wall.iter().zip(&plain).map(|(a, b)| a.as_secs_f64() / b.as_secs_f64()).collect();
        ratios.sort_by(f64::total_cmp);
        let cpu = median(times.iter().map(|[_, cpu]| *cpu).collect()) / tasks as u32;
        println!(
            "{name}: {:.2?}, ratio of the medians {:.4}, median of the ratios {:.4} ({:.4} to {:.4}), this process {cpu:.0?} a task",
            median(wall.clone()),
            median(wall).as_secs_f64() / median(plain.clone()).as_secs_f64(),
            ratios[ratios.len() / 2],
            ratios[0],
            ratios[ratios.len() - 1],
        );
    }
}
