//! Maps as streams: the runtimes that poll them, their inputs, their order, and how much they read.

mod common;
#[path = "common/streams.rs"]
mod streams;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_lite::{Stream, StreamExt, future, stream};
use poolmap::{
    Counter, Error, Event, Pool, TaskErrorKind, current_worker, global_pool, pool_map, pool_stream,
    pool_stream_unordered, shared, worker,
};
use streams::{Woken, begin, begin_with, block_on, feed, guard, poll};

const SHORT: Duration = Duration::from_millis(100);

#[worker]
fn square(x: u64) -> u64 {
    x * x
}

/// Earlier ones take longer.
#[worker]
fn late_first(x: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(30 / (x + 1)));
    x
}

#[worker]
fn arrive_and_wait(number: u64, arrived: &Counter, go: &Event) -> u64 {
    arrived.add(1);
    go.wait();
    number
}

#[worker]
fn add(x: u64, y: u64) -> u64 {
    x + y
}

#[worker]
fn scale(x: u64, by: &[u64]) -> u64 {
    x * by[0]
}

#[worker]
fn length(text: &str) -> usize {
    text.len()
}

#[worker]
fn fallible(x: u64) -> Result<u64, String> {
    match x {
        3 => std::process::abort(),
        5 => Err("five".to_owned()),
        7 => panic!("seven"),
        9 => loop {
            std::thread::park();
        },
        _ => Ok(x),
    }
}

#[worker]
fn second_time(x: u64) -> Result<u64, String> {
    if current_worker().unwrap().attempt() == 1 && x % 10 == 3 { Err("not yet".to_owned()) } else { Ok(x) }
}

#[worker]
fn hang(x: u64) -> u64 {
    loop {
        std::thread::park_timeout(Duration::from_secs(x));
    }
}

#[worker]
fn large(bytes: usize) -> Vec<u8> {
    vec![7; bytes]
}

/// Runs the same under each runtime; where it has several threads, on another than this.
fn under_each_runtime<T: Send + 'static>(make: impl Fn() -> future::Boxed<T>) -> Vec<(&'static str, T)> {
    let current = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let multi = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let of_tokio = |runtime: &tokio::runtime::Runtime| runtime.block_on(async { tokio::spawn(make()).await.unwrap() });
    vec![
        ("tokio, current_thread", of_tokio(&current)),
        ("tokio, multi_thread", of_tokio(&multi)),
        ("smol", smol::block_on(smol::spawn(make()))),
        ("ten lines", block_on(make())),
    ]
}

#[poolmap::test]
fn results_come_in_order_under_every_runtime() {
    let _guard = guard();
    let pool = Arc::new(common::pool(2));
    let results = under_each_runtime(|| {
        let pool = Arc::clone(&pool);
        Box::pin(async move {
            let late: Vec<u64> = pool_stream!(in &pool, late_first, 0..20)?.try_collect().await?;
            let squares: Vec<u64> = pool_stream!(in &pool, square, 0..10_000)?.try_collect().await?;
            let empty = pool_stream!(in &pool, square, 0..0)?.count().await;
            Ok::<_, Error>((late, squares, empty))
        })
    });
    for (runtime, result) in results {
        let (late, squares, empty) = result.unwrap();
        assert!(late.into_iter().eq(0..20), "{runtime}");
        assert!(squares.into_iter().eq((0..10_000).map(|x| x * x)), "{runtime}");
        assert_eq!(empty, 0, "{runtime}");
    }
}

#[poolmap::test]
fn results_come_as_tasks_finish_under_every_runtime() {
    let _guard = guard();
    let pool = Arc::new(common::ready_pool(2));
    let results = under_each_runtime(|| {
        let pool = Arc::clone(&pool);
        Box::pin(async move {
            // The first task ends when another has given its result.
            let (arrived, go) = (Counter::new(0)?, Event::new()?);
            let mut stream = pool_stream_unordered!(in &pool, arrive_or_pass, 0..3, shared(&arrived), shared(&go))?;
            let first = stream.try_next().await?;
            go.set();
            let mut all: Vec<_> = stream.try_collect().await?;
            all.extend(first);
            all.sort_unstable();
            let mut many: Vec<_> = pool_stream_unordered!(in &pool, square, 0..5_000)?.try_collect().await?;
            many.sort_unstable();
            Ok::<_, Error>((first.unwrap().0, all, many))
        })
    });
    for (runtime, result) in results {
        let (first, all, many) = result.unwrap();
        assert_ne!(first, 0, "{runtime}");
        assert_eq!(all, [(0, 0), (1, 1), (2, 2)], "{runtime}");
        assert!(many.into_iter().eq((0..5_000).map(|x| (x as usize, x * x))), "{runtime}");
    }
}

/// The first waits.
#[worker]
fn arrive_or_pass(number: u64, arrived: &Counter, go: &Event) -> u64 {
    arrived.add(1);
    if number == 0 {
        go.wait();
    }
    number
}

#[poolmap::test]
fn an_item_that_is_there_starts_its_task_at_once() {
    let _guard = guard();
    let pool = common::ready_pool(3);
    let (arrived, go) = (Counter::new(0).unwrap(), Event::new().unwrap());
    for chunk_size in [1, 64] {
        let (feeder, items) = feed();
        arrived.set(0);
        go.clear();
        let results = std::thread::scope(|scope| {
            let consumer = scope.spawn(|| {
                let items = poolmap::stream(items);
                let (arrived, go) = (std::iter::repeat(&arrived), shared(&go));
                let stream = pool_stream!(in &pool, arrive_and_wait, items, arrived, go; chunk_size = chunk_size)?;
                block_on(stream.try_collect::<_, _, Vec<_>>())
            });
            // No task ends, and no further item comes.
            for number in 0..3 {
                feeder.send(number);
                common::wait_until("the task has begun", || arrived.get() == number as i64 + 1);
            }
            go.set();
            for number in 3..100 {
                feeder.send(number);
            }
            feeder.close();
            consumer.join().unwrap()
        });
        assert!(results.unwrap().into_iter().eq(0..100), "{chunk_size}");
    }
}

#[poolmap::test]
fn streams_iterators_and_shared_values_are_read_together() {
    let _guard = guard();
    let pool = common::pool(2);
    let sums = |result: poolmap::Result<poolmap::PoolStream<'_, u64>>| block_on(result?.try_collect::<_, _, Vec<_>>());
    assert_eq!(sums(pool_stream!(in &pool, add, poolmap::stream(stream::iter(0..3)), 10..13)).unwrap(), [10, 12, 14]);
    let (left, right) =
        (stream::iter(0..1000).filter(|x| x % 2 == 0), stream::unfold(1, |x| async move { Some((x, x + 2)) }));
    let both = sums(pool_stream!(in &pool, add, poolmap::stream(left), poolmap::stream(right); shortest)).unwrap();
    assert!(both.into_iter().eq((0..500).map(|x| 4 * x + 1)));
    let one = [3];
    assert_eq!(
        sums(pool_stream!(in &pool, scale, poolmap::stream(stream::iter([1, 2])), shared(&one[..]))).unwrap(),
        [3, 6]
    );
    // What is borrowed need not be cloned, and tuples are one input.
    let texts = ["a".to_owned(), "bc".to_owned()];
    let lengths = pool_stream!(in &pool, length, poolmap::stream(stream::iter(&texts))).unwrap();
    assert_eq!(block_on(lengths.try_collect::<_, _, Vec<_>>()).unwrap(), [1, 2]);
    assert_eq!(sums(pool_stream!(in &pool, add, *[(1, 2), (3, 4)])).unwrap(), [3, 7]);
    // An endless stream whose next item is not there holds no end up.
    let endless = streams::endless::<u64>();
    assert_eq!(sums(pool_stream!(in &pool, add, 0..0, poolmap::stream(endless))).unwrap(), [0; 0]);
}

#[poolmap::test]
fn inputs_that_do_not_end_together_are_an_error() {
    let _guard = guard();
    let pool = common::pool(2);
    assert!(pool_stream!(in &pool, add, [1, 2], [3]).unwrap_err().is_length_mismatch());
    assert!(pool_stream!(in &pool, add, [1, 2], poolmap::stream(stream::iter([3]))).unwrap_err().is_length_mismatch());
    let unknown = || poolmap::stream(stream::iter([1, 2, 3]).filter(|_| true));
    for (stream, ended_after) in [
        (pool_stream!(in &pool, add, unknown(), [1, 2].into_iter().filter(|_| true)), 2),
        (pool_stream!(in &pool, add, 0..4, unknown()), 3),
    ] {
        let items: Vec<_> = block_on(stream.unwrap().collect());
        assert_eq!(items.len(), ended_after + 1);
        assert!(items[..ended_after].iter().all(Result::is_ok));
        let error = items[ended_after].as_ref().unwrap_err();
        assert!(error.is_length_mismatch(), "{error}");
    }
    let shortest = pool_stream!(in &pool, add, unknown(), [1, 2]; shortest).unwrap();
    assert_eq!(block_on(shortest.try_collect::<_, _, Vec<_>>()).unwrap(), [2, 4]);
}

#[poolmap::test]
fn a_stream_reads_no_more_than_its_window() {
    let _guard = guard();
    let pool = common::ready_pool(2);
    let pulled = AtomicU64::new(0);
    let input = (0..).inspect(|_| {
        pulled.fetch_add(1, Ordering::Relaxed);
    });
    let pulled = || pulled.load(Ordering::Relaxed);
    let mut stream = pool_stream!(in &pool, square, input; window = 10).unwrap();
    assert_eq!(pulled(), 0, "nothing is read before the first poll");
    for x in 0..500 {
        assert_eq!(block_on(stream.try_next()).unwrap(), Some(x * x));
        assert!(pulled() <= x + 11, "{} after {x}", pulled());
    }
    // Nobody polls: the rest of the pool goes on.
    assert_eq!(pool_map!(in &pool, square, 0..1000).unwrap().len(), 1000);
    assert!(pulled() <= 510);
}

#[poolmap::test]
fn results_that_nobody_takes_are_in_nobodys_way() {
    let _guard = guard();
    let pool = common::ready_pool(2);
    let mut idle: Vec<_> =
        (0..3).map(|_| pool_stream!(in &pool, large, std::iter::repeat_n(1 << 18, 100)).unwrap()).collect();
    // Each reads some, and is polled no more. A first result may be there already, if the workers were quick.
    let taken: Vec<_> = idle.iter_mut().map(|stream| usize::from(poll(stream, Waker::noop()).is_ready())).collect();
    let sizes = block_on(pool_stream!(in &pool, large, 1..100).unwrap().try_collect::<_, _, Vec<_>>()).unwrap();
    assert!(sizes.iter().map(Vec::len).eq(1..100));
    assert_eq!(pool_map!(in &pool, large, [3_000_000; 10]).unwrap().len(), 10);
    assert_eq!(block_on(pool.submit(square { x: 3 }).unwrap()).unwrap(), 9);
    for (mut stream, taken) in idle.into_iter().zip(taken) {
        let mut left = 100 - taken;
        while let Some(bytes) = block_on(stream.try_next()).unwrap() {
            assert_eq!(bytes.len(), 1 << 18);
            left -= 1;
        }
        assert_eq!(left, 0);
    }
}

#[poolmap::test]
fn a_failed_task_is_one_item_whatever_it_fails_by() {
    let _guard = guard();
    let pool = common::pool(2);
    // A panic of a loaded machine, which looks up the names of its backtrace, takes long.
    let limit = Duration::from_secs(3);
    let stream = pool_stream!(in &pool, fallible, 0..12; timeout = limit).unwrap();
    let items: Vec<_> = block_on(stream.collect());
    assert_eq!(items.len(), 12);
    for (index, item) in (0..).zip(items) {
        let kind = item.as_ref().map_err(|error| (error.task().unwrap().index(), error.task().unwrap().kind()));
        match (index, kind) {
            (3, Err((3, TaskErrorKind::Crashed { .. })))
            | (5, Err((5, TaskErrorKind::Failed(_))))
            | (7, Err((7, TaskErrorKind::Panicked { .. })))
            | (9, Err((9, TaskErrorKind::TimedOut { .. }))) => {}
            (_, Ok(&x)) => assert_eq!(x, index),
            (_, other) => panic!("{index}: {other:?}"),
        }
    }
    let stream = pool_stream_unordered!(in &pool, fallible, [1, 3, 2]; attempts = 2).unwrap();
    let items: Vec<_> = block_on(stream.collect());
    let failed: Vec<_> = items.iter().filter_map(|item| item.as_ref().err()).collect();
    assert_eq!((items.len(), failed.len()), (3, 1));
    assert_eq!(failed[0].task().unwrap().attempts(), 2);
}

#[poolmap::test]
fn tasks_are_executed_again_while_the_stream_waits() {
    let _guard = guard();
    let pool = common::pool(2);
    let wait = Duration::from_millis(20);
    let again = pool_stream!(in &pool, second_time, 0..100; retry_errors = 1, retry_backoff = wait).unwrap();
    assert!(block_on(again.try_collect::<_, _, Vec<_>>()).unwrap().into_iter().eq(0..100));
    let again = pool_stream_unordered!(in &pool, second_time, 0..100; retry_errors = 1, retry_backoff = wait).unwrap();
    assert_eq!(block_on(again.try_collect::<_, _, Vec<_>>()).unwrap().len(), 100);
}

#[poolmap::test]
fn a_deadline_comes_whether_tasks_run_or_the_input_has_no_item() {
    let _guard = guard();
    let pool = common::pool(2);
    let stream = pool_stream!(in &pool, hang, 0..2; deadline = SHORT).unwrap();
    let items: Vec<_> = block_on(stream.collect());
    assert_eq!(items.len(), 2);
    for item in items {
        let error = item.unwrap_err();
        assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::TimedOut { limit: SHORT, .. }), "{error}");
    }
    let (feeder, fed) = feed();
    feeder.send(4);
    let stream = pool_stream!(in &pool, square, poolmap::stream(fed); deadline = SHORT).unwrap();
    let items: Vec<_> = block_on(stream.collect());
    assert_eq!(items.len(), 2);
    assert_eq!(items[0].as_ref().unwrap(), &16);
    assert!(items[1].as_ref().unwrap_err().is_deadline());
}

#[poolmap::test]
fn nothing_starts_before_the_first_task() {
    let _guard = guard();
    let (feeder, fed) = feed();
    let mut stream = pool_stream!(square, poolmap::stream(fed)).unwrap();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let before = begin_with(&mut stream, &woken, &waker);
    assert_eq!(block_on(pool_stream!(square, 0..0).unwrap().count()), 0);
    assert_eq!(global_pool().unwrap().workers(), []);
    feeder.send(5);
    assert_eq!(woken.times(), before + 1);
    assert_eq!(block_on(stream.try_next()).unwrap(), Some(25));
    let before = begin_with(&mut stream, &woken, &waker);
    // The global pool ends under it.
    poolmap::shutdown_global();
    assert_eq!(woken.times(), before + 1);
    assert!(block_on(stream.try_next()).unwrap_err().is_closed());
    assert_eq!(block_on(stream.try_next()).unwrap(), None);

    // The same where it had not started.
    let (_feeder, fed) = feed::<u64>();
    let mut stream = pool_stream!(square, poolmap::stream(fed)).unwrap();
    let before = begin_with(&mut stream, &woken, &waker);
    poolmap::shutdown_global();
    assert_eq!(woken.times(), before + 1);
    assert!(block_on(stream.try_next()).unwrap_err().is_closed());
}

#[poolmap::test]
fn the_thread_of_the_runtime_is_never_blocked() {
    let _guard = guard();
    let pool = common::pool(2);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (arrived, go) = (Counter::new(0).unwrap(), Event::new().unwrap());
    let (results, ticks) = runtime.block_on(async {
        // More tasks than workers, none of which ends before the timer has ticked behind the first.
        let input = pool_stream!(in &pool, arrive_and_wait, 0..50, shared(&arrived), shared(&go)).unwrap();
        let ticking = async {
            let mut ticks = 0;
            let mut ticker = tokio::time::interval(Duration::from_millis(2));
            while ticks < 20 || arrived.get() == 0 {
                ticker.tick().await;
                ticks += 1;
            }
            go.set();
            ticks
        };
        tokio::join!(input.try_collect::<_, _, Vec<_>>(), ticking)
    });
    assert!(results.unwrap().into_iter().eq(0..50));
    assert!(ticks >= 20);
}

#[poolmap::test]
fn streams_maps_and_calls_share_a_pool() {
    let _guard = guard();
    let pool = common::pool(2);
    let pool = &pool;
    const TASKS: u64 = 5_000;
    std::thread::scope(|scope| {
        let mapped = scope.spawn(|| pool_map!(in pool, square, 0..TASKS).unwrap());
        let iterated = scope.spawn(|| poolmap::pool_iter!(in pool, square, 0..TASKS).unwrap().count());
        let streams: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    runtime.block_on(async {
                        let input = poolmap::stream(stream::iter(0..TASKS));
                        let (first, second) =
                            (pool_stream!(in pool, square, 0..TASKS)?, pool_stream_unordered!(in pool, square, input)?);
                        let (first, second) =
                            tokio::join!(first.try_collect::<_, _, Vec<_>>(), second.try_collect::<_, _, Vec<_>>());
                        Ok::<_, Error>((first?, second?.len()))
                    })
                })
            })
            .collect();
        for x in 0..200 {
            assert_eq!(pool.submit(square { x }).unwrap().join().unwrap(), x * x);
            assert_eq!(block_on(pool.submit(square { x }).unwrap()).unwrap(), x * x);
        }
        let expected: Vec<u64> = (0..TASKS).map(|x| x * x).collect();
        assert_eq!(mapped.join().unwrap(), expected);
        assert_eq!(iterated.join().unwrap(), TASKS as usize);
        for stream in streams {
            let (ordered, unordered) = stream.join().unwrap().unwrap();
            assert!(ordered == expected && unordered == TASKS as usize);
        }
    });
}

#[poolmap::test]
fn calls_are_served_beside_a_stream_that_waits() {
    let _guard = guard();
    let pool = common::ready_pool(2);
    let go = Event::new().unwrap();
    let arrived = Counter::new(0).unwrap();
    let waker = Waker::noop();
    let mut stream = pool_stream!(in &pool, arrive_and_wait, [1], shared(&arrived), shared(&go)).unwrap();
    begin(&mut stream);
    common::wait_until("the task has begun", || arrived.get() == 1);
    for x in 0..20 {
        assert_eq!(pool.apply(square { x }).unwrap(), x * x);
        assert_eq!(block_on(pool.submit(square { x }).unwrap()).unwrap(), x * x);
        assert_eq!(pool_map!(in &pool, square, [x]).unwrap(), [x * x]);
    }
    go.set();
    assert_eq!(block_on(stream.try_next()).unwrap(), Some(1));
    assert!(matches!(poll(&mut stream, waker), Poll::Ready(None)));
}

#[poolmap::test]
fn a_stream_is_what_its_type_says() {
    let _guard = guard();
    fn is_movable<S: Stream + Unpin + Send>(stream: S) -> S {
        stream
    }
    let pool = Pool::builder().workers(1).build().unwrap();
    let stream = is_movable(pool_stream!(in &pool, square, 0..3).unwrap());
    assert_eq!(format!("{stream:?}"), "PoolStream { is_terminated: false, .. }");
    drop(is_movable(pool_stream_unordered!(in &pool, square, 0..3).unwrap()));
    assert!(pool_stream!(in &pool, square, 0..3; window = 0).unwrap_err().is_invalid_option());
    pool.close();
    assert!(pool_stream!(in &pool, square, 0..3).unwrap_err().is_closed());
}

#[poolmap::test]
fn a_map_reads_the_results_of_a_stream_of_the_same_pool() {
    let _guard = guard();
    let pool = common::pool(2);
    let mut squares = pool_stream!(in &pool, square, 0..2000).unwrap();
    let squares = std::iter::from_fn(|| block_on(squares.try_next()).unwrap());
    let fourth = pool_map!(in &pool, square, squares; window = 3).unwrap();
    assert!(fourth.into_iter().eq((0..2000).map(|x| x * x * x * x)));
}
