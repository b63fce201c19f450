//! A fault in procspawn: a task is a spawn, and its caller ends it by its handle.

use std::time::{Duration, Instant};

use procspawn::{JoinHandle, Pool, SpawnError};

use super::{kill_idle, kind};
use crate::faults::Fault;
use crate::report;
use crate::task::{self, Answer, Item, LIMIT, WORKERS};

/// How long one handle is waited for, before it is the next one's turn.
const TURN: Duration = Duration::from_millis(1);

pub fn run(fault: Fault) {
    let pool = Pool::new(WORKERS).expect("processes start");
    let handles: Vec<_> = (0..2 * WORKERS).map(|_| pool.spawn((), |()| task::warm_up())).collect();
    let pids: Vec<u32> = handles.into_iter().map(|handle| handle.join().expect("nothing fails yet")).collect();
    report::ready();
    if fault == Fault::IdleKilled {
        kill_idle(pids[0]);
    }
    let start = Instant::now();
    let spawn = |item| pool.spawn(item, |item: Item| task::run(&item));
    let mut pending: Vec<(usize, JoinHandle<Answer>)> = task::items(fault).map(spawn).enumerate().collect();
    while !pending.is_empty() {
        let late = fault.has_time_limit() && start.elapsed() > LIMIT;
        pending.retain_mut(|(index, handle)| match handle.join_timeout(TURN) {
            Err(error) if error.is_timeout() && !late => true,
            outcome => {
                tell(*index, outcome);
                if late {
                    handle.kill().expect("it has not been joined");
                }
                false
            }
        });
    }
    report::done(start.elapsed());
}

fn tell(index: usize, outcome: Result<Answer, SpawnError>) {
    match outcome {
        Ok(answer) => report::result(index, answer.value),
        Err(error) => {
            let debug = format!("{error:?}");
            // The error itself has one type, which hides its kind in everything but this text.
            report::error(index, kind(debug.trim_start_matches("SpawnError { kind: ")));
        }
    }
}
