//! What processes use together: channels, mutexes, semaphores, events, barriers, counters; and what becomes of it when one of
//! them is killed.

mod channels;
#[path = "../common/mod.rs"]
mod common;
mod counters_and_events;
mod kill_stress;
mod ownership;
mod travel;

use common::{SOON, kill};
use poolmap::{Pool, TaskError, TaskErrorKind};

fn pool(workers: usize) -> Pool {
    let pool = Pool::builder().workers(workers).build().unwrap();
    pool.ready().unwrap();
    pool
}

/// Ends this process as nothing in it could.
fn kill_self() -> ! {
    kill(std::process::id(), "KILL");
    loop {
        std::thread::sleep(SOON);
    }
}

fn is_killed(outcome: &Result<(), TaskError>) -> bool {
    matches!(outcome, Err(error) if matches!(error.kind(), TaskErrorKind::Crashed { signal: Some(9), .. }))
}
