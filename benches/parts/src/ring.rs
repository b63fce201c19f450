//! How many bytes a second go through the memory that parent and worker share, for tasks of many sizes: results through the
//! worker's ring, arguments through the arena. The largest is larger than the ring, and goes through it in parts.
//!
//! A call is a map of many tasks, so that what a call itself takes does not count. Each result is dropped as it comes, so
//! that the allocator can give the same memory again: fresh memory takes longer than the copy.

use std::borrow::Cow;
use std::hint::black_box;
use std::iter::repeat_n;
use std::sync::LazyLock;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use poolmap::{pool_iter, worker};

use crate::workers::warm;

/// Bytes of one argument or result.
const SIZES: [usize; 6] = [0, 64, 4 << 10, 64 << 10, 1 << 20, BYTES_MAX];
const BYTES_MAX: usize = 8 << 20;

/// A call moves about so many bytes, in no more and no fewer tasks than these.
const CALL_BYTES: usize = 32 << 20;
const TASKS_MAX: usize = 4096;
const TASKS_MIN: usize = 4;

/// Made once in each process, so that a task has nothing to do but to send.
static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| vec![7; BYTES_MAX]);

#[worker]
fn send(bytes: usize) -> Cow<'static, [u8]> {
    Cow::Borrowed(&BYTES[..bytes])
}

#[worker]
fn receive(bytes: &[u8]) {
    black_box(bytes);
}

#[divan::bench(args = SIZES)]
fn results(bencher: Bencher, bytes: usize) {
    let pool = warm();
    let call = || {
        let results = pool_iter!(in &pool, send, repeat_n(bytes, tasks_of(bytes))).expect("the pool is open");
        results.for_each(|result| drop(black_box(result.expect("no task fails"))));
    };
    call();
    counted(bencher, bytes).bench_local(call);
}

#[divan::bench(args = SIZES)]
fn arguments(bencher: Bencher, bytes: usize) {
    let pool = warm();
    let argument = &BYTES[..bytes];
    let call = || {
        let results = pool_iter!(in &pool, receive, repeat_n(argument, tasks_of(bytes))).expect("the pool is open");
        results.for_each(|result| result.expect("no task fails"));
    };
    call();
    counted(bencher, bytes).bench_local(call);
}

/// The tasks of one call.
fn tasks_of(bytes: usize) -> usize {
    CALL_BYTES.checked_div(bytes).unwrap_or(TASKS_MAX).clamp(TASKS_MIN, TASKS_MAX)
}

fn counted<'a, 'b>(bencher: Bencher<'a, 'b>, bytes: usize) -> Bencher<'a, 'b> {
    let tasks = tasks_of(bytes);
    bencher.counter(BytesCount::new(bytes * tasks)).counter(ItemsCount::new(tasks))
}
