//! The cost of keeping tasks apart: memory of their own, a process for each, and a sandbox.

use poolmap::{Builder, Pool, Sandbox, StartMethod, pool_map, worker};

use crate::figures::median;
use crate::runs::WORKERS;
use crate::tasks::timed;

/// The start methods, by the names that they have here.
pub const STARTED: [(&str, StartMethod); 2] = [("spawn", StartMethod::Spawn), ("copy", StartMethod::ForkServer)];
const STARTS: usize = 31;
/// Further workers of a pool, and pools.
const FURTHER: usize = 12;
const POOLS: usize = 5;
const CALLS: u32 = 20_000;
const TASKS: u32 = 2000;
const ROUNDS: usize = 5;

#[worker]
fn same(x: u32) -> u32 {
    x
}

/// Prints, in seconds: `apart start spawn plain` and `… sandbox`, from the building of a pool to its first output; `apart further spawn
/// plain` and `… sandbox`, until a pool has a worker more; `apart call plain` and `… sandbox`, a call there and back; `apart fresh spawn`,
/// a task that has a process of its own.
pub fn run() {
    for (name, method) in STARTED {
        let builder = || Pool::builder().workers(1).start_method(method);
        let [mut plain, mut inside] = [Vec::new(), Vec::new()];
        for _ in 0..STARTS {
            plain.push(start(builder()));
            inside.push(start(builder().sandbox(Sandbox::strict())));
        }
        println!("apart start {name} plain {}", median(plain).expect("there are some"));
        println!("apart start {name} sandbox {}", median(inside).expect("there are some"));
        let [mut plain, mut inside] = [Vec::new(), Vec::new()];
        for _ in 0..POOLS {
            let pools = [builder(), builder().sandbox(Sandbox::strict())].map(started);
            for workers in 2..2 + FURTHER {
                plain.push(further(&pools[0], workers));
                inside.push(further(&pools[1], workers));
            }
        }
        println!("apart further {name} plain {}", median(plain).expect("there are some"));
        println!("apart further {name} sandbox {}", median(inside).expect("there are some"));
        let pool =
            Pool::builder().workers(WORKERS).start_method(method).fresh_process().build().expect("processes start");
        pool.ready().expect("processes answer");
        let map = || pool_map!(in &pool, same, 0..TASKS).expect("no task fails");
        let times = (0..ROUNDS).map(|_| timed(map).as_secs_f64() / f64::from(TASKS)).collect();
        println!("apart fresh {name} {}", median(times).expect("there are some"));
    }
    let pools = [Pool::builder(), Pool::builder().sandbox(Sandbox::strict())];
    let pools = pools.map(|builder| builder.workers(1).build().expect("this system has the walls"));
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        pools.iter().zip(&mut times).for_each(|(pool, times)| times.push(call(pool)));
    }
    for (name, times) in ["plain", "sandbox"].iter().zip(times) {
        println!("apart call {name} {}", median(times).expect("there are some"));
    }
}

/// A pool that has answered.
fn started(builder: Builder) -> Pool {
    let pool = builder.build().expect("this system has the walls");
    pool.apply(same { x: 1 }).expect("no task fails");
    pool
}

/// The seconds from the building of a pool to its first output.
fn start(builder: Builder) -> f64 {
    let mut pool = None;
    // It ends behind the clock.
    timed(|| pool = Some(started(builder))).as_secs_f64()
}

/// The seconds until a pool has so many workers, which is one more than it had.
fn further(pool: &Pool, workers: usize) -> f64 {
    let start = || {
        pool.resize(workers).expect("processes start");
        pool.ready().expect("processes answer");
    };
    timed(start).as_secs_f64()
}

/// The seconds of one call, on a warm pool.
fn call(pool: &Pool) -> f64 {
    let calls = || (0..CALLS).for_each(|x| assert_eq!(pool.apply(same { x }).expect("no task fails"), x));
    timed(calls).as_secs_f64() / f64::from(CALLS)
}
