//! A fault in poolmap: each outcome as it comes from one map.

use std::time::Instant;

use poolmap::{Error, Pool, pool_iter_unordered, pool_map, worker};

use super::{kill_idle, kind};
use crate::faults::Fault;
use crate::report;
use crate::task::{self, Answer, Item, LIMIT, WORKERS};

#[worker]
fn run_task(item: Item) -> Answer {
    task::run(&item)
}

#[worker]
fn warm_up(_index: usize) -> u32 {
    task::warm_up()
}

pub fn run(fault: Fault) {
    let pool = Pool::builder().workers(WORKERS).build().expect("processes start");
    let pids = pool_map!(in &pool, warm_up, 0..2 * WORKERS; chunk_size = 1).expect("nothing fails yet");
    report::ready();
    if fault == Fault::IdleKilled {
        kill_idle(pids[0]);
    }
    let start = Instant::now();
    let items = task::items(fault);
    if fault.has_time_limit() {
        tell_all(pool_iter_unordered!(in &pool, run_task, items; timeout = LIMIT));
    } else {
        tell_all(pool_iter_unordered!(in &pool, run_task, items));
    }
    report::done(start.elapsed());
}

fn tell_all(outcomes: Result<impl Iterator<Item = Result<(usize, Answer), Error>>, Error>) {
    match outcomes {
        Ok(outcomes) => outcomes.for_each(tell),
        Err(error) => tell(Err(error)),
    }
}

fn tell(outcome: Result<(usize, Answer), Error>) {
    match outcome {
        Ok((index, answer)) => report::result(index, answer.value),
        Err(error) => match error.task() {
            Some(task) => report::error(task.index(), kind(&format!("{:?}", task.kind()))),
            None => report::failure(kind(&format!("{error:?}"))),
        },
    }
}
