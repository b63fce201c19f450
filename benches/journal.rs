//! What does a journal cost, for tasks of 10 µs? The same map runs with a journal and without one, in turn, on a pool of as many workers
//! as there are CPUs, and the ratio is printed, of the medians and of each pair; and the processor time of this process, which says the
//! same on a machine that others use too; then what it takes to find all outputs in the journal, in a second process. `cargo bench --bench journal [-- MICROSECONDS [TASKS [ROUNDS]]]`, in a minute.

mod common;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{compute, cpu_time, median, number};
use poolmap::{Pool, pool_map, worker};

/// Takes so many microseconds of the processor.
#[worker]
fn work(x: u64, microseconds: u64) -> u64 {
    compute(x, Duration::from_micros(microseconds))
}

/// The time that the map takes, and that of the processor in this process.
fn run(pool: &Pool, tasks: u64, microseconds: u64, journal: Option<&Path>) -> [Duration; 2] {
    let (xs, all) = (0..tasks, std::iter::repeat(microseconds));
    let (start, cpu_start) = (Instant::now(), cpu_time());
    let results = match journal {
        Some(journal) => pool_map!(in pool, work, xs, all; journal = journal),
        None => pool_map!(in pool, work, xs, all),
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
    if let Some(journal) = std::env::var_os("JOURNAL_OF_PARENT") {
        let [time, _] = run(&pool, tasks, microseconds, Some(Path::new(&journal)));
        println!("all {tasks} outputs found: {time:.2?}, {:.2?} a task", time / tasks as u32);
        return;
    }
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let (mut with, mut without, mut ratios, mut cpu) = (Vec::new(), Vec::new(), Vec::new(), [Vec::new(), Vec::new()]);
    run(&pool, tasks, microseconds, None);
    for round in 0..rounds {
        // Each map has a file of its own: what is in it is not taken.
        let journal = folder.path().join(round.to_string());
        let both = [run(&pool, tasks, microseconds, None), run(&pool, tasks, microseconds, Some(&journal))];
        ratios.push(both[1][0].as_secs_f64() / both[0][0].as_secs_f64());
        without.push(both[0][0]);
        with.push(both[1][0]);
        cpu.iter_mut().zip(both).for_each(|(times, [_, time])| times.push(time));
    }
    ratios.sort_by(f64::total_cmp);
    let (with, without) = (median(with), median(without));
    println!("{tasks} tasks of {microseconds} µs, {} workers, {rounds} rounds", pool.stats().workers());
    println!("without a journal: {without:.2?}, with one: {with:.2?}");
    println!(
        "ratio of the medians {:.4}, median of the ratios {:.4} ({:.4} to {:.4})",
        with.as_secs_f64() / without.as_secs_f64(),
        ratios[ratios.len() / 2],
        ratios[0],
        ratios[ratios.len() - 1],
    );
    let [cpu_without, cpu_with] = cpu.map(|times| median(times) / tasks as u32);
    println!("this process, for each task: without {cpu_without:.0?}, with {cpu_with:.0?}");
    let own = std::env::current_exe().expect("a program has a file");
    let mut second = Command::new(own);
    second
        .args([microseconds, tasks].map(|number| number.to_string()))
        .env("JOURNAL_OF_PARENT", folder.path().join("0"));
    second.status().expect("it can be started");
}
