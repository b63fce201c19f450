//! What a sandbox costs: the start of a worker, and a task there and back, beside a pool without one.

use std::time::{Duration, Instant};

use poolmap::{Pool, Sandbox, StartMethod, worker};

const STARTS: usize = 40;
const TASKS: u32 = 20_000;
const ROUNDS: usize = 7;

#[worker]
fn same(x: u32) -> u32 {
    x
}

fn pool(method: StartMethod, sandbox: Option<Sandbox>) -> Pool {
    let builder = Pool::builder().workers(1).start_method(method);
    let builder = sandbox.into_iter().fold(builder, |builder, sandbox| builder.sandbox(sandbox));
    builder.build().expect("this system has the walls")
}

/// How long a worker takes from the start of its pool to its first result.
fn start(method: StartMethod, sandbox: Option<Sandbox>) -> Duration {
    let begun = Instant::now();
    let pool = pool(method, sandbox);
    pool.apply(same { x: 1 }).expect("the worker runs it");
    begun.elapsed()
}

/// How long a call takes there and back.
fn round_trip(pool: &Pool) -> Duration {
    let begun = Instant::now();
    for x in 0..TASKS {
        pool.apply(same { x }).expect("the worker runs it");
    }
    begun.elapsed() / TASKS
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[poolmap::main]
fn main() {
    for method in [StartMethod::Spawn, StartMethod::ForkServer] {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..STARTS {
            without.push(start(method, None));
            with.push(start(method, Some(Sandbox::strict())));
        }
        let (without, with) = (median(without), median(with));
        println!("{method:?}: first result after {without:.2?}, in a sandbox {with:.2?}");
    }
    let pools = [None, Some(Sandbox::strict())].map(|sandbox| pool(StartMethod::Spawn, sandbox));
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        pools.iter().zip(&mut times).for_each(|(pool, times)| times.push(round_trip(pool)));
    }
    let [without, with] = times.map(median);
    println!("there and back in {without:.2?}, in a sandbox {with:.2?}");
}
