//! The cost of recording a map of tasks of 10 µs, beside the same map without.

use std::path::Path;
use std::time::Duration;

use poolmap::{Pool, pool_map, worker};

use crate::figures::median;
use crate::runs::WORKERS;
use crate::tasks::{self, rounds, timed};

/// The option of each map, and how many times the time of the plain one it may take.
pub const RECORDED: [(&str, Option<f64>); 4] =
    [("job_log", Some(1.03)), ("timeline", None), ("journal", Some(1.05)), ("save_failed", None)];
const ROUNDS: usize = 7;
const TASKS: usize = 100_000;
const MICROSECONDS: f64 = 10.0;

#[worker]
fn work(rounds: u64) -> u64 {
    tasks::spin(rounds)
}

/// Prints the median of the ratios of neighbours: `recorded job_log` and so on.
pub fn run() {
    let folder = std::env::temp_dir().join(format!("poolmap-peers-{}", std::process::id()));
    let pool = Pool::builder().workers(WORKERS).build().expect("processes start");
    let all = vec![rounds(MICROSECONDS); TASKS];
    let plain = || timed(|| pool_map!(in &pool, work, &all).expect("no task fails"));
    plain();
    let mut ratios = RECORDED.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        let plain = plain();
        for ((option, _), ratios) in RECORDED.iter().zip(&mut ratios) {
            std::fs::create_dir(&folder).expect("there is room for a folder");
            ratios.push(map(&pool, &all, option, &folder).as_secs_f64() / plain.as_secs_f64());
            std::fs::remove_dir_all(&folder).expect("nobody else uses it");
        }
    }
    for ((option, _), ratios) in RECORDED.iter().zip(ratios) {
        println!("recorded {option} {}", median(ratios).expect("there are some"));
    }
}

fn map(pool: &Pool, all: &[u64], option: &str, folder: &Path) -> Duration {
    let path = folder.join("recorded");
    timed(|| {
        match option {
            "job_log" => pool_map!(in pool, work, all; job_log = &path),
            "timeline" => pool_map!(in pool, work, all; timeline = &path),
            "journal" => pool_map!(in pool, work, all; journal = &path),
            _ => pool_map!(in pool, work, all; save_failed = folder),
        }
        .expect("no task fails")
    })
}
