//! Channels: every value once, in order, of any size; and their end.

use std::collections::BTreeSet;
use std::thread::scope;
use std::time::{Duration, Instant};

use poolmap::{Receiver, Sender, SharedSlice, channel, pool_map, pool_try_map, worker};

use crate::common::{self, SOON};
use crate::{is_killed, kill_self, pool};

#[worker]
pub(crate) fn produce(values: std::ops::Range<u64>, to: Sender<u64>) -> poolmap::Result<()> {
    for value in values {
        to.send(value)?;
    }
    Ok(())
}

#[worker]
fn square(from: Receiver<u64>, to: Sender<(u64, u64)>) -> poolmap::Result<u64> {
    let mut count = 0;
    for value in from.iter() {
        let value = value?;
        to.send((value, value * value))?;
        count += 1;
    }
    Ok(count)
}

#[poolmap::test]
fn ten_thousand_values_go_through_three_stages() {
    let _guard = common::guard();
    let (pool, squares) = (pool(1), pool(2));
    let (numbers, from_numbers) = channel().unwrap();
    let (pairs, from_pairs) = channel().unwrap();
    scope(|scope| {
        let produced = scope.spawn(|| pool.apply(produce { values: 0..10_000, to: numbers }).unwrap());
        let squared = scope.spawn(|| {
            let (from, to) = (vec![from_numbers; 2], vec![pairs; 2]);
            pool_map!(in &squares, square, from, to; chunk_size = 1).unwrap()
        });
        let mut came: Vec<(u64, u64)> = from_pairs.iter().map(Result::unwrap).collect();
        came.sort_unstable();
        assert!(came.into_iter().eq((0..10_000).map(|value| (value, value * value))));
        produced.join().unwrap();
        assert_eq!(squared.join().unwrap().into_iter().sum::<u64>(), 10_000);
    });
    assert!(from_pairs.try_recv().unwrap_err().is_disconnected());
}

#[worker]
fn gather(from: Receiver<u64>) -> poolmap::Result<Vec<u64>> {
    from.iter().collect()
}

#[poolmap::test]
fn several_senders_and_receivers_pass_each_value_once() {
    let _guard = common::guard();
    let (senders, receivers) = (pool(2), pool(2));
    let (sender, receiver) = channel().unwrap();
    let came = scope(|scope| {
        let gathered =
            scope.spawn(|| pool_map!(in &receivers, gather, vec![receiver.clone(); 2]; chunk_size = 1).unwrap());
        let to = std::iter::repeat(sender.clone());
        let ranges = (0..20).map(|part| part * 500..(part + 1) * 500);
        pool_map!(in &senders, produce, ranges, to).unwrap();
        (10_000..10_100).for_each(|value| sender.send(value).unwrap());
        drop(sender);
        let mut came: Vec<Vec<u64>> = gathered.join().unwrap();
        came.push(receiver.iter().map(Result::unwrap).collect());
        came
    });
    // What one sends, one gets in order.
    for came in &came {
        assert!((0..20).all(|part| came.iter().filter(|&value| value / 500 == part).is_sorted()));
    }
    let all: BTreeSet<u64> = came.iter().flatten().copied().collect();
    assert_eq!((all.len(), came.iter().flatten().count()), (10_100, 10_100));
}

#[worker]
fn die_sending(to: Sender<u64>) {
    (0..100).for_each(|value| to.send(value).unwrap());
    kill_self();
}

#[poolmap::test]
fn a_killed_sender_ends_its_receivers_with_what_it_sent() {
    let _guard = common::guard();
    let (sender, receiver) = channel().unwrap();
    scope(|scope| {
        let dies = scope.spawn(move || pool_try_map!(die_sending, [sender]).unwrap());
        let mut came = Vec::new();
        let error = loop {
            match receiver.recv() {
                Ok(value) => came.push(value),
                Err(error) => break error,
            }
        };
        assert!(came.into_iter().eq(0..100));
        assert!(error.is_owner_died() && error.is_disconnected(), "{error}");
        assert!(is_killed(&dies.join().unwrap()[0]));
    });
    let left: Vec<_> = receiver.iter().collect();
    assert!(left.len() == 1 && left[0].as_ref().unwrap_err().is_owner_died());
}

#[worker]
fn die_receiving(from: Receiver<u64>) {
    assert_eq!(from.recv().unwrap(), 0);
    kill_self();
}

#[poolmap::test]
fn a_killed_receiver_ends_its_senders_though_the_channel_is_full() {
    let _guard = common::guard();
    let (sender, receiver) = channel().unwrap();
    scope(|scope| {
        let dies = scope.spawn(move || pool_try_map!(die_receiving, [receiver]).unwrap());
        let error = (0..).find_map(|value| sender.send(value).err()).unwrap();
        assert!(error.error().is_disconnected() && error.error().is_owner_died(), "{error}");
        assert!(is_killed(&dies.join().unwrap()[0]));
    });
    assert!(sender.try_send(1).unwrap_err().into_value() == 1);
}

#[worker]
fn repeat(from: Receiver<Vec<u8>>, to: Sender<Vec<u8>>) -> poolmap::Result<()> {
    from.iter().try_for_each(|value| Ok(to.send(value?)?))
}

#[poolmap::test]
fn values_of_any_size_go_through_a_channel() {
    let _guard = common::guard();
    let (sender, from_sender) = channel().unwrap();
    let (to_receiver, receiver) = channel().unwrap();
    scope(|scope| {
        let repeats = scope.spawn(move || pool_map!(repeat, [from_sender], [to_receiver]));
        for bytes in [0, 1, (64 << 10) - 8, (64 << 10) - 7, 1 << 20, 16 << 20] {
            let value: Vec<u8> = (0..bytes).map(|byte| byte as u8).collect();
            sender.send(value.clone()).unwrap();
            assert!(receiver.recv().unwrap() == value, "{bytes} bytes");
        }
        drop(sender);
        assert!(receiver.recv().unwrap_err().is_disconnected());
        repeats.join().unwrap().unwrap();
    });
}

#[poolmap::test]
fn a_channel_waits_no_longer_than_it_is_told() {
    let _guard = common::guard();
    let (sender, receiver) = channel::<u32>().unwrap();
    let start = Instant::now();
    assert_eq!(receiver.try_recv().unwrap(), None);
    assert_eq!(receiver.recv_timeout(Duration::from_millis(5)).unwrap(), None);
    let sent = (0..1_000_000).take_while(|&value| sender.try_send(value).is_ok()).count();
    let error = sender.send_timeout(7, Duration::from_millis(5)).unwrap_err();
    assert!(error.error().is_timed_out() && error.into_value() == 7 && sent > 10);
    assert!(start.elapsed() >= Duration::from_millis(10));
    assert_eq!(receiver.recv_timeout(SOON).unwrap(), Some(0));
    drop(sender);
    assert_eq!(receiver.iter().map(Result::unwrap).count(), sent - 1);
}

#[worker]
fn keep(to: Option<Sender<u32>>) {
    static KEPT: std::sync::Mutex<Option<Sender<u32>>> = std::sync::Mutex::new(None);
    let before = std::mem::replace(&mut *KEPT.lock().unwrap(), to);
    if let Some(before) = before {
        before.send(7).unwrap();
    }
}

#[poolmap::test]
fn a_sender_that_outlives_its_task_keeps_the_channel_open() {
    let _guard = common::guard();
    let pool = pool(1);
    let (sender, receiver) = channel().unwrap();
    pool.apply(keep { to: Some(sender) }).unwrap();
    assert_eq!(receiver.recv_timeout(Duration::from_millis(200)).unwrap(), None);
    pool.apply(keep { to: None }).unwrap();
    assert_eq!(receiver.iter().map(Result::unwrap).collect::<Vec<_>>(), [7]);
}

#[worker]
fn send_numbers(to: Sender<SharedSlice<u8>>, numbers: SharedSlice<u8>) -> poolmap::Result<()> {
    to.send(numbers.slice(1..))?;
    Ok(())
}

#[poolmap::test]
fn a_shared_slice_goes_through_a_channel_by_value() {
    let _guard = common::guard();
    let (sender, receiver) = channel().unwrap();
    sender.send(SharedSlice::from(vec![1, 2])).unwrap();
    pool_map!(send_numbers, [sender], [SharedSlice::from(vec![3, 4, 5])]).unwrap();
    let came: Vec<_> = receiver.iter().map(Result::unwrap).collect();
    assert_eq!(came, [SharedSlice::from(vec![1, 2]), SharedSlice::from(vec![4, 5])]);
}
