//! What one process, or some, hold at a time: mutexes, semaphores, barriers.

use std::thread::scope;
use std::time::Duration;

use poolmap::{Barrier, Counter, Event, Mutex, Semaphore, TaskErrorKind, pool_map, pool_try_map, worker};

use crate::common::{self, SOON, kill};
use crate::{is_killed, kill_self, pool};

#[worker]
pub(crate) fn increment(times: u64, number: &Mutex<u64>) -> poolmap::Result<()> {
    for _ in 0..times {
        *number.lock()? += 1;
    }
    Ok(())
}

#[poolmap::test]
fn increments_under_a_mutex_are_exact() {
    let _guard = common::guard();
    let number = Mutex::new(0).unwrap();
    scope(|scope| {
        let workers =
            scope.spawn(|| pool_map!(in &pool(4), increment, [10_000; 4], std::iter::repeat(&number); chunk_size = 1));
        for _ in 0..1000 {
            *number.lock().unwrap() += 1;
        }
        workers.join().unwrap().unwrap();
    });
    assert_eq!(*number.lock().unwrap(), 41_000);
}

#[worker]
fn die_with_mutex(text: &Mutex<Vec<String>>, holds: &Event) {
    let mut guard = text.lock().unwrap();
    guard.push("committed".into());
    guard.commit().unwrap();
    guard.push("never seen".into());
    holds.set();
    kill_self();
}

#[worker]
fn lock_after(text: &Mutex<Vec<String>>, holds: &Event) -> (bool, Vec<String>) {
    holds.wait();
    let guard = text.lock_timeout(SOON).unwrap().unwrap();
    (guard.is_owner_died(), guard.clone())
}

#[poolmap::test]
fn a_mutex_of_a_killed_owner_is_free_with_what_it_committed() {
    let _guard = common::guard();
    let (dying, waiting) = (pool(1), pool(1));
    let text = Mutex::new(vec!["first".to_owned()]).unwrap();
    let holds = Event::new().unwrap();
    scope(|scope| {
        let waits = scope.spawn(|| waiting.apply(lock_after { text: text.clone(), holds: holds.clone() }).unwrap());
        let outcomes = pool_try_map!(in &dying, die_with_mutex, [&text], [&holds]).unwrap();
        assert!(is_killed(&outcomes[0]), "{outcomes:?}");
        assert_eq!(waits.join().unwrap(), (true, vec!["first".to_owned(), "committed".into()]));
    });
    // It is told once.
    assert!(!text.lock().unwrap().is_owner_died());
}

#[worker]
fn overflow(text: &Mutex<String>) {
    text.lock().unwrap().push_str(&"a".repeat(1000));
}

#[poolmap::test]
fn a_change_without_room_is_the_tasks_error() {
    let _guard = common::guard();
    let text = Mutex::with_capacity("short".to_owned(), 100).unwrap();
    let outcomes = pool_try_map!(overflow, [&text]).unwrap();
    let error = outcomes[0].as_ref().unwrap_err();
    assert!(
        matches!(error.kind(), TaskErrorKind::Panicked { .. }) && error.to_string().contains("with_capacity"),
        "{error}"
    );
    let guard = text.lock().unwrap();
    assert!(*guard == "short" && !guard.is_owner_died());
}

/// How many were inside at once at most.
#[worker]
fn go_inside(rooms: &Semaphore, inside: &Counter) -> i64 {
    let mut most = 0;
    for _ in 0..200 {
        let permit = rooms.acquire().unwrap();
        most = most.max(inside.add(1) + 1);
        std::thread::yield_now();
        inside.add(-1);
        drop(permit);
    }
    most
}

#[poolmap::test]
fn no_more_are_inside_than_a_semaphore_lets_in() {
    let _guard = common::guard();
    let (rooms, inside) = (Semaphore::new(2).unwrap(), Counter::new(0).unwrap());
    let most = pool_map!(in &pool(4), go_inside, [&rooms; 4], [&inside; 4]; chunk_size = 1).unwrap();
    assert!(most.iter().all(|&most| (1..=2).contains(&most)), "{most:?}");
}

#[worker]
fn die_with_permits(rooms: &Semaphore, holds: &Event) {
    let _permits = (rooms.acquire().unwrap(), rooms.acquire().unwrap());
    holds.set();
    kill_self();
}

#[poolmap::test]
fn permits_of_a_killed_process_come_back_and_tell() {
    let _guard = common::guard();
    let pool = pool(1);
    let (rooms, holds) = (Semaphore::new(3).unwrap(), Event::new().unwrap());
    let kept = rooms.acquire().unwrap();
    scope(|scope| {
        let dies = scope.spawn(|| pool_try_map!(in &pool, die_with_permits, [&rooms], [&holds]).unwrap());
        holds.wait();
        let one = rooms.acquire_timeout(SOON).unwrap().unwrap();
        let other = rooms.acquire_timeout(SOON).unwrap().unwrap();
        assert!(one.is_owner_died() && other.is_owner_died() && !kept.is_owner_died());
        assert!(rooms.try_acquire().unwrap().is_none());
        drop(one);
        assert!(!rooms.acquire().unwrap().is_owner_died());
        assert!(is_killed(&dies.join().unwrap()[0]));
    });
}

#[worker]
fn meet(rounds: usize, barrier: &Barrier, came: &Counter) -> poolmap::Result<(usize, bool)> {
    let (mut led, mut all_came) = (0, true);
    for round in 1..=rounds {
        came.add(1);
        led += usize::from(barrier.wait()?.is_leader());
        all_came &= came.get() >= 4 * round as i64;
        barrier.wait()?;
    }
    Ok((led, all_came))
}

#[poolmap::test]
fn nobody_passes_a_barrier_before_all_have_come() {
    let _guard = common::guard();
    let (barrier, came) = (Barrier::new(4).unwrap(), Counter::new(0).unwrap());
    let met = scope(|scope| {
        let workers = scope.spawn(|| {
            let (barriers, counters) = (std::iter::repeat(&barrier), std::iter::repeat(&came));
            pool_map!(in &pool(3), meet, [100; 3], barriers, counters; chunk_size = 1).unwrap()
        });
        let mut led = 0;
        for round in 1..=100 {
            came.add(1);
            led += usize::from(barrier.wait().unwrap().is_leader());
            assert!(came.get() >= 4 * round);
            barrier.wait().unwrap();
        }
        let mut met = workers.join().unwrap();
        met.push((led, true));
        met
    });
    assert!(met.iter().all(|&(_, all_came)| all_came));
    assert_eq!(met.iter().map(|&(led, _)| led).sum::<usize>(), 100);
}

#[worker]
fn wait_and_be_killed(barrier: &Barrier, pid: &Counter) {
    pid.set(std::process::id().into());
    let _ = barrier.wait();
}

#[worker]
fn wait_in_vain(barrier: &Barrier) -> (bool, bool) {
    let error = barrier.wait().unwrap_err();
    (error.is_owner_died(), error.is_timed_out())
}

#[poolmap::test]
fn a_barrier_breaks_when_one_who_waits_is_killed() {
    let _guard = common::guard();
    let (dying, waiting) = (pool(1), pool(1));
    let (barrier, pid) = (Barrier::new(4).unwrap(), Counter::new(0).unwrap());
    scope(|scope| {
        let dies = scope.spawn(|| pool_try_map!(in &dying, wait_and_be_killed, [&barrier], [&pid]).unwrap());
        let waits = scope.spawn(|| waiting.apply(wait_in_vain { barrier: barrier.clone() }).unwrap());
        common::wait_until("it has begun to wait", || pid.get() != 0);
        // It may be just before its wait; then the barrier is none the worse, and this ends by its time.
        std::thread::sleep(Duration::from_millis(100));
        kill(pid.get().try_into().unwrap(), "KILL");
        let error = barrier.wait_timeout(SOON).unwrap_err();
        assert!(error.is_owner_died(), "{error}");
        assert_eq!(waits.join().unwrap(), (true, false));
        assert!(is_killed(&dies.join().unwrap()[0]));
    });
    assert!(barrier.wait().unwrap_err().is_owner_died());
}
