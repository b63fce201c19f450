//! One workload, timed by the driver; prints its figures as `name value` lines. `cluster.py` runs it under each launcher, and a peer
//! beside it.
//!
//! The driver has no workers (`POOLMAP_DRIVER_WORKERS=0`), so each task travels to an agent and back.

use std::time::{Duration, Instant};

use poolmap::{TaskErrorKind, pool_iter, pool_map, pool_try_map, worker};

const TASKS: usize = 10_000;
const LARGE: usize = 200;
const SLEEPS: usize = 400;
const CRASHES: usize = 3_000;

#[worker]
fn echo(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

#[worker]
fn sleep(millis: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(millis));
    millis
}

/// Dies at every hundredth task.
#[worker]
fn fragile(index: usize) -> usize {
    if index % 100 == 99 {
        std::process::abort();
    }
    index
}

fn main() -> poolmap::Result<()> {
    poolmap::init();
    let what = std::env::args().nth(1).unwrap_or_default();
    let agents = 2;
    poolmap::wait_for_nodes(agents, Duration::from_secs(30))?;
    let workers = poolmap::cluster().map_or(agents, |cluster| cluster.workers());
    pool_map!(sleep, [1; 8]; chunk_size = 1)?;
    let start = Instant::now();
    match what.as_str() {
        // One by one is asked for; what is known to be short still travels together.
        "single" => {
            let rows = vec![7u8; 1 << 10];
            let count = pool_map!(echo, std::iter::repeat_n(&rows, TASKS); chunk_size = 1)?.len();
            println!("tasks_per_second {:.0}", count as f64 / start.elapsed().as_secs_f64());
        }
        "together" => {
            let rows = vec![7u8; 1 << 10];
            let count = pool_map!(echo, std::iter::repeat_n(&rows, TASKS))?.len();
            println!("tasks_per_second {:.0}", count as f64 / start.elapsed().as_secs_f64());
        }
        "latency" => {
            let rows = vec![7u8; 1 << 10];
            let mut times = Vec::new();
            let mut last = Instant::now();
            // One at a time for each worker: a task is read as another is given out.
            let results = pool_iter!(echo, std::iter::repeat_n(&rows, TASKS / 5); chunk_size = 1, window = 1)?;
            for result in results {
                result?;
                times.push(last.elapsed());
                last = Instant::now();
            }
            times.sort_unstable();
            println!("p50_us {}", times[times.len() / 2].as_micros());
            println!("p99_us {}", times[times.len() * 99 / 100].as_micros());
        }
        "large" => {
            let rows = vec![7u8; 1 << 20];
            let count = pool_map!(echo, std::iter::repeat_n(&rows, LARGE); chunk_size = 1)?.len();
            println!("megabytes_per_second_each_way {:.0}", count as f64 * 1.048_576 / start.elapsed().as_secs_f64());
        }
        "sleep" => {
            pool_map!(sleep, std::iter::repeat_n(10, SLEEPS); chunk_size = 1)?;
            let best = SLEEPS as f64 * 0.01 / workers as f64;
            println!("efficiency_percent {:.1}", 100.0 * best / start.elapsed().as_secs_f64());
        }
        "crashes" => {
            let outcomes = pool_try_map!(fragile, 0..CRASHES; chunk_size = 1)?;
            let right = |(index, outcome): (usize, &Result<usize, poolmap::TaskError>)| match outcome {
                Ok(output) => *output == index && index % 100 != 99,
                Err(error) => matches!(error.kind(), TaskErrorKind::Crashed { .. }) && index % 100 == 99,
            };
            println!(
                "right {}",
                outcomes.iter().enumerate().filter(|&(index, outcome)| right((index, outcome))).count()
            );
            println!("tasks_per_second {:.0}", CRASHES as f64 / start.elapsed().as_secs_f64());
        }
        // The launcher's time of processor is read by who has started it.
        "idle" => std::thread::sleep(Duration::from_secs(10)),
        other => panic!("there is no workload `{other}`"),
    }
    Ok(())
}
