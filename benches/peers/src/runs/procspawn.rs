//! The workloads over procspawn, which has no map: a task is a spawn, and where chunks are by default, a caller makes them
//! by hand.
//!
//! A spawn sends its arguments before it returns, and a message of more than the socket's buffer (about 200 KB) waits for a
//! worker to read it; but a worker's result is handed over only when its handle is joined, and until then the worker takes
//! nothing. One thread that has more such messages on their way than there are workers so waits for itself, forever. Hence
//! two rules here:
//!
//! 1. Where tasks can be chunked, a chunk is far smaller than the buffer, and many are on their way.
//! 2. Where a task is larger, each caller's thread has one on its way, and there are more threads than workers, so that the
//!    next message waits while a worker is busy.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use procspawn::{JoinHandle, Pool};
use serde::{Serialize, de::DeserializeOwned};
use serde_bytes::ByteBuf;

use super::WORKERS;
use crate::tasks::{self, rounds, timed};

/// Tasks on their way where messages are small.
const IN_FLIGHT: usize = 8 * WORKERS;
/// Threads that call where messages are large.
const CALLERS: usize = 2 * WORKERS;

/// A pool whose workers have answered.
pub fn warm() -> Pool {
    let pool = Pool::new(WORKERS).expect("processes start");
    let handles: Vec<_> = (0..2 * WORKERS).map(|_| pool.spawn((), |()| ())).collect();
    handles.into_iter().for_each(|handle| handle.join().expect("it is nothing"));
    pool
}

/// The time for so many tasks of a workload, or why it cannot be run.
pub fn run(pool: &Pool, workload: &str, n: usize) -> Result<Duration, &'static str> {
    let pairs = || (0..n as i64).map(|x| (x, x));
    Ok(match workload {
        "W1" => timed(|| each(pool, pairs(), |(x, y)| tasks::add(x, y))),
        "W2" => timed(|| chunked(pool, pairs(), 4096, |chunk| map(chunk, |(x, y)| tasks::add(x, y)))),
        "W3" => timed(|| chunked(pool, vec![rounds(10.0); n], 256, |chunk| map(chunk, tasks::spin))),
        "W3c" => timed(|| each(pool, vec![rounds(10.0); n], tasks::spin)),
        "W4" => timed(|| each(pool, vec![rounds(1000.0); n], tasks::spin)),
        "W5" => {
            let all: Vec<u64> = tasks::uneven(n).into_iter().map(rounds).collect();
            timed(|| each(pool, all, tasks::spin))
        }
        "W6" => {
            let block = tasks::block();
            let blocks = (0..n).map(|_| ByteBuf::from(block.as_slice()));
            timed(|| large(pool, blocks, |block| ByteBuf::from(tasks::echo(block.into_vec())), |block| block.len()))
        }
        "W7" | "W7c" => {
            let array = tasks::array(n);
            let slices = array.chunks(tasks::SLICE).map(<[f64]>::to_vec);
            timed(|| large(pool, slices, |slice| tasks::sum(&slice), |sum| sum))
        }
        "W7f" | "W7b" => return Err("its shared memory holds bytes only, and no numbers"),
        "W9" => {
            let lines = tasks::text(n, 40);
            timed(|| chunked(pool, lines, 2048, |chunk| map(chunk, |line: String| tasks::count(&line))))
        }
        "W9p" => {
            let paragraphs = tasks::text(n, 4096);
            timed(|| chunked(pool, paragraphs, 24, |chunk| map(chunk, |text: String| tasks::words(&text))))
        }
        "W10" => timed(|| chunked(pool, tasks::items(n), 512, |chunk| map(chunk, |item: Vec<u8>| tasks::weigh(&item)))),
        other => panic!("no workload {other}"),
    })
}

/// Runs in a worker: the tasks of one chunk.
fn map<T, R>(chunk: Vec<T>, task: fn(T) -> R) -> Vec<R> {
    chunk.into_iter().map(task).collect()
}

/// One message a task, by rule 1.
fn each<A, R>(pool: &Pool, all: impl IntoIterator<Item = A>, task: fn(A) -> R) -> Vec<R>
where
    A: Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned + Send + 'static,
{
    let join = |handle: JoinHandle<R>| handle.join().expect("no task fails");
    let (mut waiting, mut results) = (VecDeque::new(), Vec::new());
    for item in all {
        waiting.push_back(pool.spawn(item, task));
        if waiting.len() > IN_FLIGHT {
            results.extend(waiting.pop_front().map(join));
        }
    }
    results.extend(waiting.into_iter().map(join));
    results
}

/// Chunks of so many tasks, by rule 1.
fn chunked<T, R>(pool: &Pool, all: impl IntoIterator<Item = T>, size: usize, task: fn(Vec<T>) -> Vec<R>) -> Vec<R>
where
    T: Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned + Send + 'static,
{
    let mut all = all.into_iter();
    let chunks = std::iter::from_fn(|| {
        let chunk: Vec<T> = all.by_ref().take(size).collect();
        (!chunk.is_empty()).then_some(chunk)
    });
    each(pool, chunks, task).into_iter().flatten().collect()
}

/// One large message a task, by rule 2; the results in any order.
fn large<A, R, U: Send>(
    pool: &Pool,
    all: impl Iterator<Item = A> + Send,
    task: fn(A) -> R,
    seen: impl Fn(R) -> U + Sync,
) -> Vec<U>
where
    A: Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned + Send + 'static,
{
    let all = Mutex::new(all);
    let results = Mutex::new(Vec::new());
    let call = || {
        loop {
            let Some(item) = all.lock().expect("no caller panics").next() else { break };
            let result = seen(pool.spawn(item, task).join().expect("no task fails"));
            results.lock().expect("no caller panics").push(result);
        }
    };
    std::thread::scope(|scope| (0..CALLERS).for_each(|_| drop(scope.spawn(call))));
    results.into_inner().expect("no caller panics")
}
