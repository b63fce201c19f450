//! Calls that are submitted one by one, and their handles.

mod common;

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use poolmap::{Pool, TaskErrorKind, as_completed, pool_iter_unordered, pool_map, wait_any, wait_any_timeout, worker};

#[worker]
fn double(x: usize) -> usize {
    2 * x
}

#[worker]
fn sleep(millis: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(millis));
    millis
}

#[worker]
fn touch_and_sleep(path: &str, millis: u64) {
    std::fs::write(path, "").unwrap();
    std::thread::sleep(Duration::from_millis(millis));
}

#[worker]
fn fail(text: &str) -> Result<(), String> {
    Err(text.to_owned())
}

#[worker]
fn abort() {
    std::process::abort();
}

#[worker]
fn bytes(count: usize) -> Vec<u8> {
    vec![7; count]
}

#[worker]
fn length(bytes: &[u8]) -> usize {
    bytes.len()
}

const MINUTE: u64 = 60_000;

#[poolmap::test]
fn each_of_many_handles_has_its_own_output() {
    let _guard = common::guard();
    for workers in [1, 2, 5] {
        let pool = common::pool(workers);
        let handles: Vec<_> = (0..2000).map(|x| pool.submit(double { x }).unwrap()).collect();
        for (x, handle) in handles.into_iter().enumerate().rev() {
            assert_eq!(handle.join().unwrap(), 2 * x);
        }
        assert_eq!(pool.submit(double { x: 21 }).unwrap().join().unwrap(), 42);
    }
}

#[poolmap::test]
fn a_failed_call_has_its_own_error_with_index_0() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let before = pool.submit(double { x: 1 }).unwrap();
    let failed = pool.submit(fail { text: "no".into() }).unwrap();
    let crashed = pool.submit(abort {}).unwrap();
    let after = pool.submit(double { x: 2 }).unwrap();
    let error = failed.join().unwrap_err();
    assert_eq!(error.task().unwrap().index(), 0);
    assert!(format!("{error:#}").contains("task 0 of `submit::fail` (text: \"no\") failed: no"), "{error}");
    let error = crashed.join().unwrap_err();
    assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::Crashed { signal: Some(6), .. }), "{error}");
    assert_eq!((before.join().unwrap(), after.join().unwrap()), (2, 4));
}

#[poolmap::test]
fn large_arguments_and_outputs_come_whole() {
    let _guard = common::guard();
    let pool = common::pool(2);
    for count in [0, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 40 << 20] {
        let output = pool.submit(bytes { count }).unwrap();
        let argument = pool.submit(length { bytes: vec![1; count] }).unwrap();
        assert_eq!(output.join().unwrap().len(), count);
        assert_eq!(argument.join().unwrap(), count);
    }
}

#[poolmap::test]
fn a_handle_that_ran_out_of_time_stays_good() {
    let _guard = common::guard();
    let pool = common::pool(1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("begun").to_str().unwrap().to_owned();
    let mut slow = pool.submit(touch_and_sleep { path: path.clone(), millis: 500 }).unwrap();
    assert_eq!(slow.join_timeout(Duration::from_millis(1)).unwrap(), None);
    assert_eq!(slow.join_timeout(Duration::MAX).unwrap(), Some(()));
    assert!(slow.join_timeout(Duration::ZERO).unwrap_err().is_taken());
    assert!(slow.join().unwrap_err().is_taken());
}

#[poolmap::test]
fn a_callback_that_is_set_once_the_output_was_taken_hears_of_that() {
    let _guard = common::guard();
    let pool = common::pool(1);
    let mut handle = pool.submit(length { bytes: vec![1; 3] }).unwrap();
    assert_eq!(handle.join_timeout(Duration::MAX).unwrap(), Some(3));
    let (sender, receiver) = std::sync::mpsc::channel();
    handle.on_done(move |output| sender.send(output).unwrap());
    let output = receiver.recv_timeout(common::SOON).expect("the callback is called");
    assert!(output.unwrap_err().is_taken());
}

#[poolmap::test]
fn what_no_worker_has_begun_can_be_cancelled() {
    let _guard = common::guard();
    let pool = common::pool(1);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let running = pool.submit(touch_and_sleep { path: path("running"), millis: MINUTE }).unwrap();
    let waiting: Vec<_> = ["a", "b", "c"]
        .map(|name| pool.submit(touch_and_sleep { path: path(name), millis: 0 }).unwrap())
        .into_iter()
        .collect();
    common::wait_until("the first runs", || folder.path().join("running").exists());
    assert!(!running.cancel());
    // Where no memory is shared, the first of them is at the worker.
    for handle in waiting.into_iter().skip(1) {
        assert!(handle.cancel());
        assert!(!handle.cancel());
        assert!(handle.is_finished());
        let error = handle.join().unwrap_err();
        assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::Cancelled), "{error}");
        assert!(error.to_string().contains("was cancelled"), "{error}");
    }
    drop(pool);
    assert!(running.join().unwrap_err().is_closed());
    assert!(!folder.path().join("b").exists() && !folder.path().join("c").exists());
}

#[poolmap::test]
fn a_dropped_handle_cancels_what_has_not_begun() {
    let _guard = common::guard();
    let pool = common::pool(1);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let running = pool.submit(touch_and_sleep { path: path("running"), millis: 300 }).unwrap();
    let next = pool.submit(touch_and_sleep { path: path("next"), millis: 0 }).unwrap();
    drop(pool.submit(touch_and_sleep { path: path("dropped"), millis: 0 }).unwrap());
    running.join().unwrap();
    next.join().unwrap();
    assert_eq!(pool.apply(double { x: 1 }).unwrap(), 2);
    assert!(!folder.path().join("dropped").exists());
}

#[poolmap::test]
fn callbacks_run_once_each_and_may_submit_and_panic() {
    let _guard = common::guard();
    // A callback outlives the test's borrows.
    let pool: &'static Pool = Box::leak(Box::new(common::pool(2)));
    let (sender, receiver) = channel();
    for x in 0..50 {
        let sender = sender.clone();
        pool.submit(double { x }).unwrap().on_done(move |output| {
            let output = output.unwrap();
            pool.submit(double { x: output }).unwrap().on_done(move |output| sender.send(output.unwrap()).unwrap());
            assert!(x != 7, "a callback panics");
        });
    }
    let late = pool.submit(double { x: 1000 }).unwrap();
    common::wait_until("it is finished", || late.is_finished());
    late.on_done(move |output| sender.send(output.unwrap()).unwrap());
    let mut outputs: Vec<usize> = (0..51).map(|_| receiver.recv_timeout(common::SOON).unwrap()).collect();
    outputs.sort_unstable();
    let expected: Vec<usize> = (0..50).map(|x| 4 * x).chain([2000]).collect();
    assert_eq!(outputs, expected);
    pool.terminate();
}

#[poolmap::test]
fn a_callback_may_end_its_pool() {
    let _guard = common::guard();
    let (sender, receiver) = channel();
    let pool = common::pool(1);
    let handle = pool.submit(double { x: 1 }).unwrap();
    handle.on_done(move |output| {
        drop(pool);
        sender.send(output.unwrap()).unwrap();
    });
    assert_eq!(receiver.recv_timeout(common::SOON).unwrap(), 2);
    common::wait_until("its thread has ended", || !common::threads().contains("poolmap-done"));
}

#[poolmap::test]
fn a_callback_may_join_its_pool() {
    let _guard = common::guard();
    let (sender, receiver) = channel();
    let pool: &'static Pool = Box::leak(Box::new(common::pool(2)));
    let others: Vec<_> = (0..20).map(|_| pool.submit(sleep { millis: 10 }).unwrap()).collect();
    let first = pool.submit(double { x: 1 }).unwrap();
    let last = pool.submit(sleep { millis: 20 }).unwrap();
    let later = sender.clone();
    last.on_done(move |output| later.send(output.unwrap()).unwrap());
    first.on_done(move |_| {
        pool.join().unwrap();
        sender.send(0).unwrap();
    });
    let mut sent = [(); 2].map(|()| receiver.recv_timeout(common::SOON).unwrap());
    sent.sort_unstable();
    assert_eq!(sent, [0, 20]);
    assert!(others.into_iter().all(|handle| handle.join().unwrap() == 10));
    common::wait_until("its thread has ended", || !common::threads().contains("poolmap-done"));
}

#[poolmap::test]
fn outputs_come_as_they_are_completed() {
    let _guard = common::guard();
    let (one, two) = (common::pool(1), common::pool(2));
    let slow = one.submit(sleep { millis: 400 }).unwrap();
    let handles = vec![slow, two.submit(sleep { millis: 0 }).unwrap(), two.submit(sleep { millis: 1 }).unwrap()];
    assert!(matches!(wait_any(&handles), Some(1 | 2)));
    let completed: Vec<(usize, u64)> = as_completed(handles).map(|(place, output)| (place, output.unwrap())).collect();
    assert_eq!(completed.last(), Some(&(0, 400)));
    assert_eq!(completed.len(), 3);
    assert_eq!(wait_any::<u64>(&[]), None);
    assert_eq!(as_completed::<u64>([]).count(), 0);
    assert_eq!(wait_any_timeout::<u64>(&[], common::SOON), None);
}

#[poolmap::test]
fn a_wait_for_one_of_several_ends_with_its_time() {
    let _guard = common::guard();
    let submit = |pool: &Pool, millis| pool.submit(sleep { millis }).unwrap();
    let busy = common::pool(2);
    let handles = vec![submit(&busy, 60_000), submit(&busy, 60_000), submit(&busy, 1)];
    for time in [Duration::ZERO, Duration::from_millis(5)] {
        assert_eq!(wait_any_timeout(&handles, time), None);
    }
    let mut completed = as_completed(handles);
    assert!(completed.next_timeout(Duration::ZERO).is_none());
    assert!(completed.next_timeout(Duration::from_millis(5)).is_none());
    assert_eq!((completed.remaining(), completed.len()), (3, 3));
    drop(completed);
    let pool = common::pool(2);
    let handles = vec![submit(&pool, 1), submit(&pool, 2)];
    assert!(wait_any_timeout(&handles, Duration::MAX).is_some());
    let mut completed = as_completed(handles);
    let places: Vec<usize> =
        std::iter::from_fn(|| completed.next_timeout(common::SOON)).map(|(place, _)| place).collect();
    assert_eq!((places.len(), completed.remaining()), (2, 0));
    assert!(completed.next().is_none() && completed.next_timeout(Duration::MAX).is_none());
}

#[poolmap::test]
fn maps_and_handles_go_on_beside_each_other() {
    let _guard = common::guard();
    let pool = common::pool(2);
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let pool = &pool;
            scope.spawn(move || {
                for x in 0..200 {
                    let handle = pool.submit(double { x }).unwrap();
                    if thread == 0 {
                        common::wait_until("it is finished", || handle.is_finished());
                    }
                    assert_eq!(handle.join().unwrap(), 2 * x);
                }
            });
        }
        for _ in 0..50 {
            let expected: Vec<usize> = (0..1000).map(|x| 2 * x).collect();
            assert_eq!(pool_map!(in &pool, double, 0..1000).unwrap(), expected);
        }
    });
    // A map that nobody pulls does not hold up a handle.
    let mut lazy = pool_iter_unordered!(in &pool, double, 0..).unwrap();
    assert!(lazy.next().is_some());
    let handle = pool.submit(double { x: 4 }).unwrap();
    common::wait_until("it is finished", || handle.is_finished());
    assert_eq!(handle.join().unwrap(), 8);
}

#[poolmap::test]
fn an_argument_that_does_not_encode_is_an_error_of_submit() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).frame_bytes_max(4096).build().unwrap();
    let error = pool.submit(length { bytes: vec![0; 5000] }).unwrap_err();
    assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::Encode(..)), "{error}");
    assert_eq!(pool.submit(length { bytes: vec![0; 1000] }).unwrap().join().unwrap(), 1000);
}

#[poolmap::test]
fn what_is_pending_when_the_pool_ends_is_closed_at_once() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let handles: Vec<_> = (0..10_000).map(|_| pool.submit(sleep { millis: MINUTE }).unwrap()).collect();
    let (sender, receiver) = channel();
    pool.submit(sleep { millis: MINUTE }).unwrap().on_done(move |output| sender.send(output.is_err()).unwrap());
    let started = Instant::now();
    pool.terminate();
    assert!(started.elapsed() < common::SOON);
    assert!(receiver.recv_timeout(common::SOON).unwrap());
    for handle in handles {
        assert!(handle.is_finished());
        assert!(handle.join().unwrap_err().is_closed());
    }
    assert!(pool.submit(double { x: 1 }).unwrap_err().is_closed());
}

#[poolmap::test]
fn a_handle_is_a_future_under_tokio() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let sum = runtime.block_on(async {
        let handles: Vec<_> = (0..100).map(|x| pool.submit(double { x }).unwrap()).collect();
        let late = tokio::time::timeout(Duration::from_millis(1), pool.submit(sleep { millis: MINUTE }).unwrap());
        assert!(late.await.is_err());
        let mut sum = 0;
        for handle in handles {
            sum += handle.await.unwrap();
        }
        sum
    });
    assert_eq!(sum, 9900);
}

#[poolmap::test]
fn several_threads_may_wait_for_the_same_handles() {
    let _guard = common::guard();
    let pool = common::pool(1);
    let handles = [pool.submit(sleep { millis: 300 }).unwrap(), pool.submit(sleep { millis: MINUTE }).unwrap()];
    std::thread::scope(|scope| {
        let waiting = [(); 3].map(|()| scope.spawn(|| wait_any(&handles)));
        waiting.into_iter().for_each(|waits| assert_eq!(waits.join().unwrap(), Some(0)));
    });
}

#[poolmap::test]
fn a_callback_may_wait_for_other_calls() {
    let _guard = common::guard();
    let pool: &'static Pool = Box::leak(Box::new(common::pool(2)));
    let (sender, receiver) = channel();
    pool.submit(double { x: 1 }).unwrap().on_done(move |_| {
        let handles: Vec<_> = (0..5).map(|x| pool.submit(double { x }).unwrap()).collect();
        assert!(wait_any(&handles).is_some());
        let sum: usize = as_completed(handles).map(|(_, output)| output.unwrap()).sum();
        sender.send(sum).unwrap();
    });
    assert_eq!(receiver.recv_timeout(common::SOON).unwrap(), 20);
    pool.terminate();
}

#[poolmap::test]
fn a_callback_that_comes_after_the_pools_end_runs_too() {
    let _guard = common::guard();
    let pool = common::pool(1);
    let handle = pool.submit(double { x: 21 }).unwrap();
    pool.join().unwrap();
    let (sender, receiver) = channel();
    handle.on_done(move |output| sender.send(output.unwrap()).unwrap());
    assert_eq!(receiver.try_recv().unwrap(), 42);
}
