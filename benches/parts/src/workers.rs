//! The pools that the parts are measured on, and the task of no work.

use poolmap::{Pool, worker};

/// A task of no work: it gives back what it was given.
#[worker]
pub fn same(number: u64) -> u64 {
    number
}

/// A pool whose workers have answered.
pub fn answered(workers: usize) -> Pool {
    let pool = Pool::builder().workers(workers).build().expect("processes start");
    pool.ready().expect("processes answer");
    pool
}

/// A pool of one worker that has run a task.
pub fn warm() -> Pool {
    let pool = answered(1);
    pool.apply(same { number: 1 }).expect("no task fails");
    pool
}
