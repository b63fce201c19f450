//! Words that a process at fault may write anywhere, at any moment: whoever uses the memory gets an error or a wrong value, and
//! neither a panic nor a wait without end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::segment::{BODY, Check, HEAD, SyncSegment};
use super::{Barrier, Counter, Event, Mutex, Semaphore, channel};

const SHORT: Duration = Duration::from_millis(2);
/// So much longer may take what was to take a short time.
const GENEROUS: Duration = Duration::from_secs(40);

/// A word of the head, of the table of slots, or of the body, and what is written there.
fn words() -> impl Strategy<Value = Vec<(usize, u64)>> {
    let place = prop_oneof![0..HEAD / 8 + 4, 512..532usize, BODY / 8..BODY / 8 + 8];
    let word = prop_oneof![any::<u64>(), 0..5u64, Just(u64::MAX), (0..20u64).prop_map(|slot| 1 << 16 | slot)];
    prop::collection::vec((place.prop_map(|word| 8 * word), word), 1..6)
}

fn write(segment: &SyncSegment, words: &[(usize, u64)]) {
    for &(offset, word) in words {
        segment.word(offset).store(word, Ordering::SeqCst);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn spoilt_memory_costs_an_error_at_most(words in words()) {
        let start = Instant::now();
        // None has a body of less than the words that are written there.
        let mutex = Mutex::with_capacity("text".to_owned(), 64).unwrap();
        write(&mutex.segment, &words);
        for _ in 0..2 {
            if let Ok(Some(mut guard)) = mutex.lock_timeout(SHORT) {
                guard.clear();
                guard.commit().unwrap();
            }
        }
        let semaphore = Semaphore::new(8).unwrap();
        write(&semaphore.segment, &words);
        let permit = semaphore.acquire_timeout(SHORT).unwrap();
        drop((semaphore.try_acquire().unwrap(), permit));
        let barrier = Barrier::new(4).unwrap();
        write(&barrier.segment, &words);
        let _ = barrier.wait_timeout(SHORT);
        let _ = barrier.wait_timeout(SHORT);
        let event = Event::new().unwrap();
        let heads: Vec<_> = words.iter().copied().filter(|&(offset, _)| offset < BODY).collect();
        write(&event.segment, &heads);
        let _ = event.wait_timeout(SHORT);
        prop_assert!(start.elapsed() < GENEROUS);
    }

    #[test]
    fn a_channel_over_spoilt_memory_goes_on_or_ends(words in words()) {
        let words: Vec<_> = words.into_iter().filter(|&(offset, _)| offset < BODY).collect();
        let (sender, receiver) = channel::<u32>().unwrap();
        write(&sender.end.ends.segment, &words);
        let sent = sender.send_timeout(7, SHORT);
        let came = receiver.recv_timeout(SHORT);
        if sent.is_ok() {
            prop_assert_eq!(came.unwrap(), Some(7));
        }
        drop(sender);
        let _ = receiver.try_recv();
        let _ = receiver.end.find_others(Check::Close);
    }
}

#[test]
fn whoever_writes_all_the_time_keeps_nobody_longer_than_they_wait() {
    let mutex = Mutex::new(1u64).unwrap();
    let barrier = Barrier::new(2).unwrap();
    let semaphore = Semaphore::new(2).unwrap();
    let counter = Counter::new(0).unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = 1u64;
            while !is_over.load(Ordering::SeqCst) {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let word = if random >> 63 == 0 { random } else { random >> 60 };
                for segment in [&mutex.segment, &barrier.segment, &semaphore.segment] {
                    segment.word(8 * (1 + (random >> 32) as usize % 16)).store(word, Ordering::SeqCst);
                }
                barrier.segment.word(BODY).store(word, Ordering::SeqCst);
            }
        });
        let start = Instant::now();
        for _ in 0..100 {
            let _ = mutex.lock_timeout(SHORT);
            let _ = barrier.wait_timeout(SHORT);
            let _ = semaphore.acquire_timeout(SHORT);
            counter.add(1);
        }
        assert!(start.elapsed() < GENEROUS);
        is_over.store(true, Ordering::SeqCst);
    });
    assert_eq!(counter.get(), 100);
}
