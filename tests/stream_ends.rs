//! Maps as streams: how they end, who wakes whom, and what the program's code does to them.

mod common;
#[path = "common/streams.rs"]
mod streams;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

use common::numbers::zeros;
use futures_lite::{Stream, StreamExt, stream};
use nix::libc;
use poolmap::{
    Counter, Event, Pool, PoolStream, SharedSliceMut, pool_map, pool_stream, pool_stream_unordered, shared, worker,
};
use streams::{Woken, begin, begin_with, block_on, feed, guard, poll, poll_until};

#[worker]
fn square(x: u64) -> u64 {
    x * x
}

#[worker]
fn arrive_and_wait(number: u64, arrived: &Counter, go: &Event) -> u64 {
    arrived.add(1);
    go.wait();
    number
}

#[worker]
fn hang(arrived: &Counter) {
    arrived.add(1);
    loop {
        std::thread::park();
    }
}

#[worker]
fn fill(mut part: SharedSliceMut<u64>, arrived: &Counter) {
    arrived.add(1);
    loop {
        part.iter_mut().for_each(|number| *number = std::hint::black_box(*number + 1));
    }
}

fn woken() -> (Arc<Woken>, Waker) {
    let woken = Arc::new(Woken::default());
    (Arc::clone(&woken), Waker::from(woken))
}

#[poolmap::test]
fn a_stream_that_is_dropped_stops_its_tasks() {
    let _guard = guard();
    let pool = common::ready_pool(2);
    for on_another_thread in [false, true] {
        let arrived = Counter::new(0).unwrap();
        let mut stream = pool_stream!(in &pool, hang, std::iter::repeat_n(&arrived, 1000)).unwrap();
        poll_until(&mut stream, "both workers are busy", || arrived.get() == 2);
        if on_another_thread {
            std::thread::scope(|scope| scope.spawn(|| drop(stream)).join().unwrap());
        } else {
            drop(stream);
        }
        assert_eq!(pool.apply(square { x: 3 }).unwrap(), 9);
        assert_eq!(arrived.get(), 2);
    }
    assert_eq!(pool.stats().workers_lost(), 0, "workers that were ended for a call are not lost");
}

#[poolmap::test]
fn a_stream_that_has_ended_stays_ended() {
    let _guard = guard();
    let pool = common::pool(1);
    let (feeder, fed) = feed();
    let mut stream = pool_stream!(in &pool, square, poolmap::stream(fed)).unwrap();
    feeder.send(2);
    feeder.close();
    assert_eq!(block_on(stream.try_next()).unwrap(), Some(4));
    for _ in 0..3 {
        // The input, which would not be polled after its end, is not.
        assert_eq!(block_on(stream.try_next()).unwrap(), None);
    }
    assert_eq!(format!("{stream:?}"), "PoolStream { is_terminated: true, .. }");
}

#[poolmap::test]
fn the_last_waker_is_woken_on_whatever_thread_the_stream_is_polled() {
    let _guard = guard();
    let pool = common::ready_pool(1);
    let (arrived, go) = (Counter::new(0).unwrap(), Event::new().unwrap());
    let (first, first_waker) = woken();
    let (second, second_waker) = woken();
    let mut stream = pool_stream!(in &pool, arrive_and_wait, 0..1, shared(&arrived), shared(&go)).unwrap();
    begin_with(&mut stream, &first, &first_waker);
    common::wait_until("the task has begun", || arrived.get() == 1);
    let by_second = Arc::clone(&second);
    let (mut stream, before) = std::thread::scope(|scope| {
        let polled = scope.spawn(move || {
            let before = begin_with(&mut stream, &by_second, &second_waker);
            (stream, before)
        });
        polled.join().unwrap()
    });
    let of_first = first.times();
    go.set();
    common::wait_until("the second is woken", || second.times() == before + 1);
    assert_eq!(first.times(), of_first);
    assert!(matches!(poll(&mut stream, &first_waker), Poll::Ready(Some(Ok(0)))));
    drop(stream);
    // Nothing keeps a waker.
    drop(first_waker);
    assert_eq!((Arc::strong_count(&first), Arc::strong_count(&second)), (1, 1));
}

#[poolmap::test]
fn a_panic_of_an_input_reaches_the_caller_and_ends_the_stream() {
    let _guard = guard();
    let pool = common::pool(2);
    fn panics_at_three(x: u64) -> u64 {
        assert!(x < 3, "three");
        x
    }
    fn ends(mut stream: PoolStream<'_, u64>) {
        let mut items = 0;
        let panicked = loop {
            match catch_unwind(AssertUnwindSafe(|| block_on(stream.try_next()))) {
                Ok(item) => items += item.unwrap().map_or(100, |_| 1),
                Err(payload) => break payload,
            }
        };
        assert_eq!(panicked.downcast_ref(), Some(&"three"));
        assert!(items <= 3);
        assert_eq!(block_on(stream.try_next()).unwrap(), None);
    }
    ends(pool_stream!(in &pool, square, (0..9).map(panics_at_three)).unwrap());
    ends(pool_stream!(in &pool, square, poolmap::stream(stream::iter(0..9).map(panics_at_three))).unwrap());
    assert_eq!(pool.apply(square { x: 3 }).unwrap(), 9);
}

#[poolmap::test]
fn a_pool_that_ends_wakes_its_streams() {
    let _guard = guard();
    let (woken, waker) = woken();
    for drops in [false, true] {
        let pool = common::ready_pool(1);
        let arrived = Counter::new(0).unwrap();
        let (_feeder, fed) = feed::<u64>();
        let mut idle = pool_stream_unordered!(in &pool, square, poolmap::stream(fed)).unwrap();
        let mut stream = pool_stream!(in &pool, hang, [&arrived]).unwrap();
        poll_until(&mut stream, "the task has begun", || arrived.get() == 1);
        begin_with(&mut stream, &woken, &waker);
        let before = begin_with(&mut idle, &woken, &waker);
        if drops {
            drop(pool);
        } else {
            pool.terminate();
        }
        assert_eq!(woken.times(), before + 2);
        assert!(block_on(stream.try_next()).unwrap_err().is_closed());
        assert!(block_on(idle.try_next()).unwrap_err().is_closed());
        assert!(block_on(stream.try_next()).unwrap().is_none() && block_on(idle.try_next()).unwrap().is_none());
    }
    // A pool that is joined ends the tasks that have begun, and no others.
    let pool = common::ready_pool(1);
    let mut stream = pool_stream!(in &pool, square, 0..).unwrap();
    assert_eq!(block_on(stream.try_next()).unwrap(), Some(0));
    pool.join().unwrap();
    let failed = std::iter::from_fn(|| Some(block_on(stream.try_next()))).find_map(Result::err).unwrap();
    assert!(failed.is_closed(), "{failed}");
}

#[poolmap::test]
fn a_pool_that_cannot_start_fails_its_streams() {
    #[worker]
    fn refuse() -> Result<(), String> {
        Err("no licence".to_owned())
    }

    let _guard = guard();
    let pool = Pool::builder().workers(1).initializer(refuse {}).build().unwrap();
    let mut stream = pool_stream!(in &pool, square, 0..3).unwrap();
    let error = block_on(stream.try_next()).unwrap_err();
    assert!(error.is_start_failure(), "{error}");
    assert!(format!("{error:#}").contains("no licence"), "{error:#}");
    assert_eq!(block_on(stream.try_next()).unwrap(), None);
}

/// Does something when it is woken, and when it is dropped.
struct Does {
    woken: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    dropped: AtomicBool,
}

impl Does {
    fn waker(woken: impl FnOnce() + Send + 'static, panics_dropped: bool) -> Waker {
        Waker::from(Arc::new(Self {
            woken: Mutex::new(Some(Box::new(woken))),
            dropped: AtomicBool::new(!panics_dropped),
        }))
    }
}

impl Wake for Does {
    fn wake(self: Arc<Self>) {
        let woken = self.woken.lock().unwrap().take();
        woken.into_iter().for_each(|woken| woken());
    }
}

impl Drop for Does {
    fn drop(&mut self) {
        assert!(self.dropped.load(Ordering::Relaxed), "a waker's drop panics");
    }
}

#[poolmap::test]
fn wakers_that_panic_or_use_the_pool_end_nothing() {
    let _guard = guard();
    let pool = Arc::new(common::ready_pool(1));
    let (arrived, go) = (Counter::new(0).unwrap(), Event::new().unwrap());
    let (told, tell) = std::sync::mpsc::channel();
    let of_waker = Arc::clone(&pool);
    let uses = move || told.send(pool_map!(in &of_waker, square, [1, 2, 3])).unwrap();
    let wakers =
        [Does::waker(|| panic!("a waker's wake panics"), false), Does::waker(|| (), true), Does::waker(uses, false)];
    let mut streams: Vec<_> = wakers
        .iter()
        .map(|_| pool_stream!(in &pool, arrive_and_wait, [7], shared(&arrived), shared(&go)).unwrap())
        .collect();
    for (stream, waker) in streams.iter_mut().zip(wakers) {
        begin(stream);
        assert!(poll(stream, &waker).is_pending());
        let _ = catch_unwind(AssertUnwindSafe(|| drop(waker)));
    }
    go.set();
    assert_eq!(tell.recv_timeout(common::SOON).unwrap().unwrap(), [1, 4, 9]);
    for mut stream in streams {
        assert_eq!(block_on(stream.try_next()).unwrap(), Some(7));
    }
    // One that drops the pool, on the pool's own thread.
    let (_feeder, fed) = feed::<u64>();
    let mut stream = pool_stream!(in &pool, square, poolmap::stream(fed)).unwrap();
    go.clear();
    let mut other = pool_stream!(in &pool, arrive_and_wait, [7], shared(&arrived), shared(&go)).unwrap();
    let (told, tell) = std::sync::mpsc::channel();
    let drops = move || {
        drop(pool);
        told.send(()).unwrap();
    };
    let drops = Does::waker(drops, false);
    begin(&mut stream);
    begin(&mut other);
    assert!(poll(&mut other, &drops).is_pending());
    go.set();
    tell.recv_timeout(common::SOON).unwrap();
    assert!(block_on(stream.try_next()).unwrap_err().is_closed());
    common::wait_until("the pool's thread has ended", || !common::threads().contains("poolmap-stream"));
}

#[poolmap::test]
fn a_stream_that_is_leaked_keeps_what_its_tasks_write_to() {
    let _guard = guard();
    if !common::has_shared_memory() {
        return;
    }
    let pool = common::ready_pool(2);
    let arrived = Counter::new(0).unwrap();
    let mut array = zeros(200);
    let mut stream = pool_stream!(in &pool, fill, array.chunks_mut(100), shared(&arrived)).unwrap();
    poll_until(&mut stream, "both tasks have begun", || arrived.get() == 2);
    // It is let go of at the end, for the check of what is left.
    let leaked = Box::into_raw(Box::new(stream)).cast::<()>();
    assert!(!array.wait_timeout(Duration::from_millis(10)));
    drop(pool);
    assert!(array.wait_timeout(common::SOON));
    assert!(array.iter().all(|&number| number > 0));

    // One that is dropped lets go of it by itself.
    let pool = common::ready_pool(2);
    let mut stream = pool_stream!(in &pool, fill, array.chunks_mut(100), shared(&arrived)).unwrap();
    poll_until(&mut stream, "both tasks have begun", || arrived.get() == 4);
    drop(stream);
    assert!(array.wait_timeout(common::SOON));
    free(leaked);
}

#[allow(unsafe_code, reason = "a leak that can be taken back")]
fn free(leaked: *mut ()) {
    // SAFETY: it was such a box, and is freed once.
    drop(unsafe { Box::from_raw(leaked.cast::<PoolStream<'_, ()>>()) });
}

#[poolmap::test]
fn a_stream_that_is_polled_in_a_fork_ends_with_an_error() {
    let _guard = guard();
    let pool = common::ready_pool(1);
    let (arrived, go) = (Counter::new(0).unwrap(), Event::new().unwrap());
    let waker = Waker::noop();
    let mut waits = pool_stream!(in &pool, arrive_and_wait, 0..5, shared(&arrived), shared(&go)).unwrap();
    let mut unordered = pool_stream_unordered!(in &pool, square, 0..1000).unwrap();
    begin(&mut waits);
    common::wait_until("the task has begun", || arrived.get() == 1);
    begin(&mut unordered);
    let child = fork();
    if child == 0 {
        let is_right = ends_with_forked(&mut waits, waker) && ends_with_forked(&mut unordered, waker);
        let refused = pool_stream!(in &pool, square, 0..3).is_err_and(|error| error.is_forked());
        drop((waits, unordered));
        exit(if is_right && refused { 10 } else { 11 });
    }
    assert_eq!(wait(child), 10);
    go.set();
    assert!(block_on(waits.try_collect::<_, _, Vec<_>>()).unwrap().into_iter().eq(0..5));
    assert_eq!(block_on(unordered.count()), 1000);
}

fn ends_with_forked<T>(stream: &mut (impl Stream<Item = poolmap::Result<T>> + Unpin), waker: &Waker) -> bool {
    matches!(poll(stream, waker), Poll::Ready(Some(Err(error))) if error.is_forked())
        && matches!(poll(stream, waker), Poll::Ready(None))
}

#[allow(unsafe_code, reason = "the test forks")]
fn fork() -> libc::pid_t {
    // SAFETY: the copy polls, drops and exits; the other threads are those of pools, whose locks a copy does not take.
    unsafe { libc::fork() }
}

#[allow(unsafe_code, reason = "the test forks")]
fn exit(code: i32) -> ! {
    // SAFETY: nothing of the test's harness runs in the copy.
    unsafe { libc::_exit(code) }
}

#[allow(unsafe_code, reason = "the test forks")]
fn wait(child: libc::pid_t) -> i32 {
    let mut status = 0;
    // SAFETY: the pointer is to a number of ours.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    libc::WEXITSTATUS(status)
}
