//! Workers that are killed at any moment while they use things together: what they hold is free again, whole, and counted right.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;
use std::time::Duration;

use poolmap::{Counter, Mutex, Pool, Semaphore, Sender, channel, pool_try_map, worker};

use crate::common::{self, SOON, kill};

/// Two numbers that are equal whenever the pair is committed, and some text that is as long as they are.
type Pair = (u64, String, u64);

#[worker]
fn use_all(
    task: u64,
    pair: &Mutex<Pair>,
    rooms: &Semaphore,
    inside: &Counter,
    to: Sender<u64>,
    running: &Counter,
) -> poolmap::Result<bool> {
    running.set(std::process::id().into());
    let mut all_equal = true;
    for _ in 0..50 {
        let room = rooms.acquire()?;
        inside.add(1);
        let mut guard = pair.lock()?;
        all_equal &= guard.0 == guard.2 && guard.1.len() as u64 == guard.0 % 1000;
        guard.0 += 1;
        guard.1 = "a".repeat((guard.0 % 1000) as usize);
        guard.2 += 1;
        drop(guard);
        drop(room);
    }
    to.send(task)?;
    Ok(all_equal)
}

#[poolmap::test]
fn workers_killed_at_any_moment_leave_nothing_held_and_nothing_half_done() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(3).build().unwrap();
    pool.ready().unwrap();
    let pair = Mutex::new((0, String::new(), 0)).unwrap();
    let (rooms, inside, running) = (Semaphore::new(2).unwrap(), Counter::new(0).unwrap(), Counter::new(0).unwrap());
    let (sender, receiver) = channel().unwrap();
    let is_over = AtomicBool::new(false);
    let (outcomes, came) = scope(|scope| {
        let killer = scope.spawn(|| {
            let mut kills = 0;
            while !is_over.load(Ordering::SeqCst) && kills < 40 {
                std::thread::sleep(Duration::from_millis(7));
                // Only one that has begun a task: the pool gives up when several in a row die before that.
                if let Some(worker) = pool.workers().iter().find(|worker| i64::from(worker.pid()) == running.get()) {
                    kill(worker.pid(), "KILL");
                }
                kills += 1;
            }
        });
        let received = scope.spawn(|| {
            let mut came = Vec::new();
            loop {
                match receiver.recv() {
                    Ok(task) => came.push(task),
                    Err(error) => return (came, error.is_disconnected()),
                }
            }
        });
        let (pairs, all_rooms, insides) =
            (std::iter::repeat(&pair), std::iter::repeat(&rooms), std::iter::repeat(&inside));
        let (to, runnings) = (std::iter::repeat(sender), std::iter::repeat(&running));
        let outcomes =
            pool_try_map!(in &pool, use_all, 0..300, pairs, all_rooms, insides, to, runnings; chunk_size = 1).unwrap();
        is_over.store(true, Ordering::SeqCst);
        killer.join().unwrap();
        (outcomes, received.join().unwrap())
    });
    let (came, is_disconnected) = came;
    assert!(is_disconnected);
    let finished: Vec<u64> =
        (0..).zip(&outcomes).filter_map(|(task, outcome)| outcome.is_ok().then_some(task)).collect();
    assert!(outcomes.iter().flatten().all(|&all_equal| all_equal));
    // What a finished task sent came once; what another sent came once or not at all.
    for task in 0..300 {
        let times = came.iter().filter(|&&value| value == task).count();
        assert!(if finished.contains(&task) { times == 1 } else { times <= 1 }, "task {task}: {times} times");
    }
    let guard = pair.lock_timeout(SOON).unwrap().unwrap();
    assert!(guard.0 == guard.2 && guard.0 >= 50 * finished.len() as u64 && guard.0 <= inside.get() as u64);
    let permits = [(); 2].map(|()| rooms.acquire_timeout(SOON).unwrap().unwrap());
    assert!(rooms.try_acquire().unwrap().is_none());
    drop(permits);
}
