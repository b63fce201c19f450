//! A program that is run alone, and by the launchers of clusters: what it prints must not depend on that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use poolmap::{
    Error, Pool, SharedSlice, TaskErrorKind, pool_for_each, pool_iter, pool_iter_unordered, pool_map,
    pool_map_captured, pool_reduce, pool_stream, pool_try_map, worker,
};

#[worker]
fn square(x: u64) -> u64 {
    x * x
}

#[worker]
fn sleepy(x: u64, millis: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(millis));
    x
}

#[worker]
fn picky(x: u64) -> Result<u64, String> {
    if x % 7 == 3 { Err(format!("{x} is odd in a way")) } else { Ok(x) }
}

#[worker]
fn faulty(x: u64) -> u64 {
    match x % 50 {
        7 => std::process::abort(),
        13 => panic!("task {x} panics"),
        _ => x,
    }
}

/// Dies in its first execution.
#[worker]
fn second_try(x: u64) -> (u64, u32) {
    let attempt = poolmap::current_worker().map_or(0, |worker| worker.attempt());
    if attempt < 2 {
        std::process::exit(3);
    }
    (x, attempt)
}

#[worker]
fn bulky(x: u64, bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte.wrapping_add(x as u8)).collect()
}

#[worker]
fn random(_x: u64) -> u64 {
    poolmap::task_seed().unwrap_or(0)
}

#[worker]
fn looked_up(table: &BTreeMap<u64, String>, key: u64) -> String {
    table.get(&key).cloned().unwrap_or_default()
}

#[worker]
fn total(numbers: SharedSlice<f64>, from: usize, to: usize) -> f64 {
    numbers[from..to].iter().sum()
}

#[worker]
fn ramp(x: u64) -> SharedSlice<u64> {
    (0..x).collect()
}

#[worker]
fn chatty(x: u64) -> u64 {
    println!("task {x} was here");
    x
}

#[worker]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

fn outcome<T: std::fmt::Debug>(outcome: &Result<T, poolmap::TaskError>) -> String {
    match outcome {
        Ok(output) => format!("{output:?}"),
        Err(error) => {
            let places = error.native_backtrace().filter(|_| matches!(error.kind(), TaskErrorKind::Crashed { .. }));
            let place = places.and_then(|places| places.lines().find(|line| line.contains("clustered::")));
            let place = place.and_then(|line| line.split(": ").nth(1)).unwrap_or_default();
            format!("{} after {} attempts: {:?} {place}", error.index(), error.attempts(), kind(error.kind()))
        }
    }
}

fn kind(kind: &TaskErrorKind) -> String {
    match kind {
        TaskErrorKind::Failed(error) => format!("failed: {error}"),
        TaskErrorKind::Panicked { message, location, .. } => format!("panicked: {message} at {location:?}"),
        TaskErrorKind::Crashed { signal, exit_code, .. } => format!("crashed: {signal:?} {exit_code:?}"),
        other => format!("{other:?}"),
    }
}

fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(7, |hash, &byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)))
}

fn maps() -> Result<(), Error> {
    println!("sum {}", pool_map!(square, 0..20_000)?.iter().sum::<u64>());
    println!("short {:?}", pool_map!(square, [1, 2, 3]; chunk_size = 1)?);
    println!("in order {}", pool_iter!(square, 0..5000)?.map(Result::unwrap).eq((0..5000).map(|x| x * x)));
    let mut unordered: Vec<_> = pool_iter_unordered!(square, 0..500)?.map(Result::unwrap).collect();
    unordered.sort_unstable();
    println!("unordered {}", hash(format!("{unordered:?}").as_bytes()));
    println!("first few {:?}", pool_iter!(square, 0..)?.take(5).map(Result::unwrap).collect::<Vec<_>>());
    println!("reduced {}", pool_reduce!(square, 0..10_000; with = add, identity = 0)?);
    println!("for each {:?}", pool_for_each!(square, 0..500)?);
    println!("empty {:?}", pool_map!(square, [0u64; 0])?);
    println!("mismatch {}", pool_map!(add, 0..3, 0..4).unwrap_err().is_length_mismatch());
    let stream = pool_stream!(square, 0..300)?;
    let streamed: Vec<_> = futures_lite::future::block_on(futures_lite::StreamExt::collect(stream));
    println!("streamed {}", streamed.into_iter().map(Result::unwrap).sum::<u64>());
    println!("seeds {:?}", pool_map!(random, 0..4; seed = 9)?);
    Ok(())
}

fn failures() -> Result<(), Error> {
    let outcomes = pool_try_map!(faulty, 0..120)?;
    outcomes.iter().filter(|outcome| outcome.is_err()).for_each(|failed| println!("{}", outcome(failed)));
    println!("others {}", outcomes.iter().flatten().sum::<u64>());
    pool_try_map!(picky, 0..12)?.iter().for_each(|done| println!("{}", outcome(done)));
    println!("stops {:?}", pool_map!(picky, 0..9).unwrap_err().task().map(|task| kind(task.kind())));
    println!("again {:?}", pool_map!(second_try, 0..6; attempts = 3)?);
    let late = pool_try_map!(sleepy, 0..4, [0, 60_000, 0, 60_000]; timeout = Duration::from_millis(300))?;
    late.iter().for_each(|done| println!("{}", outcome(done)));
    let over = pool_try_map!(sleepy, 0..3, [0, 60_000, 60_000]; deadline = Duration::from_secs(1), chunk_size = 1)?;
    println!("deadline {:?}", over.iter().map(Result::is_ok).collect::<Vec<_>>());
    let retried = pool_try_map!(picky, 2..5; retry_errors = 2)?;
    retried.iter().for_each(|done| println!("{}", outcome(done)));
    Ok(())
}

fn values() -> Result<(), Error> {
    let bulk = vec![3u8; 300_000];
    let sums: Vec<u64> = pool_map!(bulky, 0..40, std::iter::repeat(&bulk))?.iter().map(|bytes| hash(bytes)).collect();
    println!("bulk {}", hash(format!("{sums:?}").as_bytes()));
    let table: BTreeMap<u64, String> = (0..50_000).map(|key| (key, format!("value {key}"))).collect();
    println!("shared {:?}", pool_map!(looked_up, poolmap::shared(&table), [1, 49_999, 7])?);
    let numbers: SharedSlice<f64> = (0..1_000_000).map(f64::from).collect();
    let from = (0..10).map(|part| part * 100_000);
    println!(
        "slices {:?}",
        pool_map!(total, std::iter::repeat(&numbers), from.clone(), from.map(|from| from + 100_000))?
    );
    println!("outputs {:?}", pool_map!(ramp, [3, 100_000])?.iter().map(|ramp| ramp.len()).collect::<Vec<_>>());
    let (sender, _receiver) = poolmap::channel::<u64>()?;
    let refused = pool_map!(send, [1], [&sender]);
    println!("channel {}", if poolmap::cluster().is_some() { refused.is_err() } else { refused.is_ok() });
    if let (Err(error), true) = (&refused, poolmap::cluster().is_some()) {
        eprintln!("{error:#}");
    }
    Ok(())
}

#[worker]
fn send(x: u64, to: poolmap::Sender<u64>) -> bool {
    to.send(x).is_ok()
}

fn calls() -> Result<(), Error> {
    let pool = poolmap::global_pool()?;
    let handles: Vec<_> = (0..30).map(|x| pool.submit(square { x })).collect::<Result<_, _>>()?;
    println!("submitted {}", handles.into_iter().map(|handle| handle.join().unwrap()).sum::<u64>());
    println!("applied {}", pool.apply(square { x: 12 })?);
    let limited = pool.call(sleepy { x: 1, millis: 60_000 }).timeout(Duration::from_millis(200)).apply();
    println!("limited {:?}", limited.unwrap_err().task().map(|task| kind(task.kind())));
    let aborted = pool.call(sleepy { x: 1, millis: 60_000 }).submit()?;
    std::thread::sleep(Duration::from_millis(300));
    println!("aborted {}", aborted.abort());
    println!("cancelled {:?}", aborted.join().unwrap_err().task().map(|task| kind(task.kind())));
    Ok(())
}

/// Work for a few seconds, of which the caller does what it likes to the nodes.
fn slow() -> Result<(), Error> {
    eprintln!("begins");
    let done = pool_map!(sleepy, 0..60, std::iter::repeat(100))?;
    println!("slept {}", done.iter().sum::<u64>());
    Ok(())
}

#[worker]
fn at_host(x: u64) -> (u64, String) {
    std::thread::sleep(Duration::from_millis(100));
    (x, std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned())
}

/// Work for half a minute, while the network between the nodes is cut. Stderr says until when each host had a part in it.
fn long() -> Result<(), Error> {
    eprintln!("begins");
    let begin = Instant::now();
    let (mut outputs, mut hosts) = (Vec::new(), BTreeMap::<String, (usize, f64)>::new());
    for output in pool_iter_unordered!(at_host, 0..1000)? {
        let (_, (x, host)) = output.unwrap();
        outputs.push(x);
        let (tasks, last) = hosts.entry(host).or_default();
        (*tasks, *last) = (*tasks + 1, begin.elapsed().as_secs_f64());
    }
    let count = outputs.len();
    outputs.sort_unstable();
    outputs.dedup();
    println!("{count} outputs, {} different ones", outputs.len());
    hosts.iter().for_each(|(host, (tasks, last))| eprintln!("{host}: {tasks} tasks, the last after {last:.1} s"));
    Ok(())
}

fn own_pool() -> Result<(), Error> {
    let pool = Pool::builder().workers(2).build()?;
    println!("own pool {:?}", pool_map!(in &pool, square, 0..4)?);
    Ok(())
}

fn captured() -> Result<(), Error> {
    Pool::builder().output(poolmap::Output::Captured).build_global()?;
    for done in pool_map_captured!(chatty, 0..3)? {
        println!("{:?} {:?}", done.outcome.is_ok(), done.stdout);
    }
    Ok(())
}

/// Each node has as many workers as the program says, and work for them.
fn four_workers() -> Result<(), Error> {
    Pool::builder().workers(4).build_global()?;
    let workers: BTreeSet<u32> = pool_map!(own_pid, 0..80)?.into_iter().collect();
    let until = Instant::now() + Duration::from_secs(60);
    let counted = || poolmap::cluster().map_or(0, |cluster| cluster.workers());
    while counted() != 8 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("{} workers, all of them at work {}", counted(), workers.len() > 4);
    Ok(())
}

#[worker]
fn own_pid(_x: u64) -> u32 {
    std::thread::sleep(Duration::from_millis(50));
    std::process::id()
}

fn tagged() -> Result<(), Error> {
    Pool::builder().output(poolmap::Output::Tagged).build_global()?;
    pool_map!(chatty, 0..3).map(drop)
}

#[worker]
fn never() -> Result<(), String> {
    Err("there is no model".to_owned())
}

fn no_initializer() -> Result<(), Error> {
    let built = Pool::builder().initializer(never {}).build_global();
    let error = built.and_then(|_| pool_map!(square, 0..3)).unwrap_err();
    println!("start failure {}", error.is_start_failure());
    eprintln!("{error}");
    Ok(())
}

#[poolmap::main]
fn main() -> Result<(), Error> {
    let what = std::env::args().nth(1).unwrap_or_default();
    if let Some(nodes) = std::env::args().nth(2).and_then(|nodes| nodes.parse().ok()) {
        poolmap::wait_for_nodes(nodes, Duration::from_secs(60))?;
    }
    match what.as_str() {
        "all" => {
            maps().and_then(|()| failures()).and_then(|()| values()).and_then(|()| calls()).and_then(|()| own_pool())
        }
        "slow" => slow(),
        "long" => long(),
        "captured" => captured(),
        "tagged" => tagged(),
        "progress" => pool_map!(sleepy, 0..6, std::iter::repeat(50); progress).map(drop),
        "four-workers" => four_workers(),
        "no-initializer" => no_initializer(),
        "panic" => panic!("the driver panics"),
        "exit" => std::process::exit(3),
        "idle" => {
            std::thread::sleep(Duration::from_secs(10));
            Ok(())
        }
        "nothing" => Ok(()),
        "hang" => pool_map!(sleepy, 0..20, std::iter::repeat(600_000)).map(drop),
        other => panic!("there is no part `{other}`"),
    }
}
