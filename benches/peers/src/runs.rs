//! Each workload over each library: how long it takes, and for how many tasks. A pool is warm before the clock starts.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use poolmap::{pool_iter_unordered, pool_map, worker};
use rayon::prelude::*;

use crate::tasks;

pub const WORKERS: usize = 2;

macro_rules! workers {
    ($($name:ident($($parameter:ident: $type:ty),*) -> $output:ty;)*) => {$(
        #[worker]
        fn $name($($parameter: $type),*) -> $output {
            tasks::$name($($parameter),*)
        }
    )*};
}

workers! {
    add(x: i64, y: i64) -> i64;
    spin(rounds: u64) -> u64;
    echo(bytes: Vec<u8>) -> Vec<u8>;
    sum(numbers: &[f64]) -> f64;
    count(line: &str) -> usize;
    words(paragraph: &str) -> std::collections::HashMap<String, u32>;
    weigh(bytes: &[u8]) -> u64;
}

/// How many tasks a library runs of a workload: fewer where it is slow, and the time for one is compared.
pub fn tasks_of(workload: &str, library: &str) -> usize {
    let slow = library != "poolmap" && library != "rayon";
    match workload {
        "W1" if slow => 2_000,
        "W1" => 300_000,
        "W2" => 10_000_000,
        "W3c" if slow => 2_000,
        "W3" | "W3c" => 50_000,
        "W4" => 500,
        "W5" => 3_000,
        "W6" => 200,
        "W7" => 64,
        "W9" if slow => 200_000,
        "W9" => 2_000_000,
        "W9p" => 10_000,
        "W10" if slow => 100_000,
        "W10" => 1_000_000,
        "W8" => 2,
        other => panic!("no workload {other}"),
    }
}

fn timed<T>(run: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    std::hint::black_box(run());
    start.elapsed()
}

/// The rounds of `spin` for so many microseconds, from the environment: one calibration for all libraries of a run.
fn rounds(micros: u64) -> u64 {
    let each: f64 = std::env::var("PEERS_ROUNDS").ok().and_then(|each| each.parse().ok()).expect("the runner sets it");
    (micros as f64 * each) as u64
}

fn array() -> Vec<f64> {
    (0..(256 << 20) / 8).map(|index| index as f64).collect()
}

pub fn poolmap(workload: &str) -> poolmap::Result<Duration> {
    let n = tasks_of(workload, "poolmap");
    let pool = poolmap::Pool::builder().workers(WORKERS).build()?;
    pool.ready()?;
    pool_map!(in &pool, add, 0..1000, 0..1000)?;
    let long = n as i64;
    Ok(match workload {
        "W1" => timed(|| pool_map!(in &pool, add, 0..long, 0..long; chunk_size = 1).unwrap()),
        "W2" => timed(|| pool_map!(in &pool, add, 0..long, 0..long).unwrap()),
        "W3" => timed(|| pool_map!(in &pool, spin, vec![rounds(10); n]).unwrap()),
        "W3c" => timed(|| pool_map!(in &pool, spin, vec![rounds(10); n]; chunk_size = 1).unwrap()),
        "W4" => timed(|| pool_map!(in &pool, spin, vec![rounds(1000); n]).unwrap()),
        "W5" => {
            let all: Vec<u64> = tasks::uneven(n).into_iter().map(rounds).collect();
            timed(|| pool_map!(in &pool, spin, all).unwrap())
        }
        "W6" => {
            let block = vec![7u8; 1 << 20];
            timed(|| pool_map!(in &pool, echo, std::iter::repeat_n(&block, n)).unwrap())
        }
        "W7" => {
            let array = array();
            timed(|| pool_map!(in &pool, sum, array.chunks(array.len() / n)).unwrap())
        }
        "W9" => {
            let lines = tasks::text(n, 40);
            timed(|| pool_map!(in &pool, count, &lines).unwrap())
        }
        "W9p" => {
            let paragraphs = tasks::text(n, 4096);
            timed(|| pool_map!(in &pool, words, &paragraphs).unwrap())
        }
        "W10" => timed(|| {
            let items = (0..n).map(|item| vec![item as u8; 256]);
            pool_iter_unordered!(in &pool, weigh, items).unwrap().map(|result| result.unwrap().1).sum::<u64>()
        }),
        other => panic!("no workload {other}"),
    })
}

pub fn rayon(workload: &str) -> Duration {
    let n = tasks_of(workload, "rayon");
    rayon::ThreadPoolBuilder::new().num_threads(WORKERS).build_global().expect("it is built once");
    rayon::broadcast(|_| ());
    let long = n as i64;
    let spun = |all: Vec<u64>, least: usize| {
        timed(|| all.into_par_iter().with_max_len(least).map(tasks::spin).collect::<Vec<_>>())
    };
    match workload {
        "W1" => {
            timed(|| (0..n).into_par_iter().with_max_len(1).map(|x| tasks::add(x as i64, x as i64)).collect::<Vec<_>>())
        }
        "W2" => timed(|| (0..long).into_par_iter().map(|x| tasks::add(x, x)).collect::<Vec<_>>()),
        "W3" => spun(vec![rounds(10); n], usize::MAX),
        "W3c" => spun(vec![rounds(10); n], 1),
        "W4" => spun(vec![rounds(1000); n], usize::MAX),
        "W5" => spun(tasks::uneven(n).into_iter().map(rounds).collect(), usize::MAX),
        "W6" => {
            let block = vec![7u8; 1 << 20];
            timed(|| (0..n).into_par_iter().map(|_| tasks::echo(block.clone())).collect::<Vec<_>>())
        }
        "W7" => {
            let array = array();
            timed(|| array.par_chunks(array.len() / n).map(tasks::sum).collect::<Vec<_>>())
        }
        "W9" => {
            let lines = tasks::text(n, 40);
            timed(|| lines.par_iter().map(|line| tasks::count(line)).collect::<Vec<_>>())
        }
        "W9p" => {
            let paragraphs = tasks::text(n, 4096);
            timed(|| paragraphs.par_iter().map(|text| tasks::words(text)).collect::<Vec<_>>())
        }
        "W10" => {
            timed(|| (0..n).map(|item| vec![item as u8; 256]).par_bridge().map(|item| tasks::weigh(&item)).sum::<u64>())
        }
        other => panic!("no workload {other}"),
    }
}

/// procspawn has no map: a task is a spawn, and where chunks are by default, a caller makes them by hand, eight for each
/// worker.
pub fn procspawn(workload: &str) -> Duration {
    let n = tasks_of(workload, "procspawn");
    let pool = procspawn::Pool::new(WORKERS).expect("processes start");
    let warm: Vec<_> = (0..8).map(|_| pool.spawn((), |()| ())).collect();
    warm.into_iter().for_each(|handle| handle.join().expect("it is nothing"));
    macro_rules! each {
        ($all:expr, $task:expr) => {{
            let all = $all;
            timed(move || {
                let (mut waiting, mut results) = (VecDeque::new(), Vec::new());
                for item in all {
                    waiting.push_back(pool.spawn(item, $task));
                    if waiting.len() > 8 * WORKERS {
                        results.extend(waiting.pop_front().map(|handle| handle.join().expect("no task fails")));
                    }
                }
                results.extend(waiting.into_iter().map(|handle| handle.join().expect("no task fails")));
                results
            })
        }};
    }
    macro_rules! chunked {
        ($all:expr, $task:expr) => {{
            let all = $all;
            let size = all.len().div_ceil(8 * WORKERS);
            let chunks: Vec<Vec<_>> = all.chunks(size).map(<[_]>::to_vec).collect();
            each!(chunks, |chunk| chunk.into_iter().map($task).collect::<Vec<_>>())
        }};
    }
    let pairs = || (0..n as i64).map(|x| (x, x)).collect::<Vec<_>>();
    match workload {
        "W1" => each!(pairs(), |(x, y)| tasks::add(x, y)),
        "W2" => chunked!(pairs(), |(x, y)| tasks::add(x, y)),
        "W3" => chunked!(vec![rounds(10); n], tasks::spin),
        "W3c" => each!(vec![rounds(10); n], tasks::spin),
        "W4" => each!(vec![rounds(1000); n], tasks::spin),
        "W5" => each!(tasks::uneven(n).into_iter().map(rounds).collect::<Vec<_>>(), tasks::spin),
        "W6" => each!(vec![vec![7u8; 1 << 20]; n], tasks::echo),
        "W7" => {
            let array = array();
            each!(array.chunks(array.len() / n).map(<[f64]>::to_vec).collect::<Vec<_>>(), |part| tasks::sum(&part))
        }
        "W9" => chunked!(tasks::text(n, 40), |line| tasks::count(&line)),
        "W9p" => chunked!(tasks::text(n, 4096), |text| tasks::words(&text)),
        "W10" => chunked!((0..n).map(|item| vec![item as u8; 256]).collect::<Vec<_>>(), |item| tasks::weigh(&item)),
        other => panic!("no workload {other}"),
    }
}

/// W8: a pool of two, two tasks, and the end. The runner times the whole process.
pub fn start(library: &str) {
    match library {
        "poolmap" => {
            let pool = poolmap::Pool::builder().workers(WORKERS).build().expect("processes start");
            pool_map!(in &pool, add, [1, 2], [3, 4]; chunk_size = 1).expect("no task fails");
        }
        "rayon" => {
            rayon::ThreadPoolBuilder::new().num_threads(WORKERS).build_global().expect("it is built once");
            rayon::join(|| tasks::add(1, 3), || tasks::add(2, 4));
        }
        "procspawn" => {
            let pool = procspawn::Pool::new(WORKERS).expect("processes start");
            let handles =
                [pool.spawn((1, 3), |(x, y)| tasks::add(x, y)), pool.spawn((2, 4), |(x, y)| tasks::add(x, y))];
            handles.into_iter().for_each(|handle| assert!(handle.join().is_ok()));
        }
        "crossmist" => {
            let children = [(1, 3), (2, 4)].map(|(x, y)| cross_add.spawn(x, y).expect("a process starts"));
            children.into_iter().for_each(|child| assert!(child.join().is_ok()));
        }
        other => panic!("no library {other}"),
    }
}

#[crossmist::func]
fn cross_add(x: i64, y: i64) -> i64 {
    tasks::add(x, y)
}
