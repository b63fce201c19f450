//! Ends of channels, and other handles, that are moved into a Process or into calls of a pool: each lives until the process has it, or
//! has ended.

mod common;

use std::path::{Path, PathBuf};

use common::{SOON, kill, wait_until};
use poolmap::{
    Counter, Event, Mutex, Pool, Process, Receiver, Sender, SharedSlice, channel, pool_map, pool_try_map, worker,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[worker]
fn send(value: u32, to: Sender<u32>) -> poolmap::Result<()> {
    Ok(to.send(value)?)
}

#[worker]
fn receive(from: Receiver<u32>) -> poolmap::Result<u32> {
    from.recv()
}

/// Sends, lets go of its end, and goes on until the file is there.
#[worker]
fn send_and_go_on(to: Sender<u32>, go: PathBuf) -> poolmap::Result<()> {
    to.send(1)?;
    drop(to);
    wait_for(&go);
    Ok(())
}

/// Lets go of its end, and goes on until the file is there.
#[worker]
fn drop_and_go_on(from: Receiver<u32>, go: PathBuf) {
    drop(from);
    wait_for(&go);
}

fn wait_for(path: &Path) {
    while !path.exists() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

#[poolmap::test]
fn a_sender_moved_into_a_process_is_not_lost() {
    let _guard = common::guard();
    for daemon in [false, true] {
        let (to, from) = channel().unwrap();
        let mut process = Process::new(send { value: 5, to }).daemon(daemon).start().unwrap();
        assert_eq!(from.recv_timeout(SOON).unwrap(), Some(5));
        process.join().unwrap();
        assert!(from.recv().unwrap_err().is_disconnected());
    }
}

#[poolmap::test]
fn a_receiver_moved_into_a_process_gets_what_is_sent_before_it_is_there() {
    let _guard = common::guard();
    for daemon in [false, true] {
        let (to, from) = channel().unwrap();
        let mut process = Process::new(receive { from }).daemon(daemon).start().unwrap();
        to.send(6).unwrap();
        assert_eq!(process.join_timeout(SOON).unwrap(), Some(6));
        assert!(to.send(7).is_err());
    }
}

#[poolmap::test]
fn an_end_that_a_process_drops_is_gone_while_the_process_goes_on() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let (to, from) = channel().unwrap();
    let mut sending = Process::new(send_and_go_on { to, go: go.clone() }).start().unwrap();
    assert_eq!(from.recv_timeout(SOON).unwrap(), Some(1));
    assert!(from.recv_timeout(SOON).unwrap_err().is_disconnected());
    let (to, from) = channel().unwrap();
    let mut dropping = Process::new(drop_and_go_on { from, go: go.clone() }).start().unwrap();
    wait_until("the receiver is gone", || to.send(1).is_err());
    assert!(sending.is_alive() && dropping.is_alive());
    std::fs::write(&go, "").unwrap();
    sending.join().unwrap();
    dropping.join().unwrap();
}

/// Waits, while it is decoded, for a file to be there.
struct Late(PathBuf);

impl Serialize for Late {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Late {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let path = PathBuf::deserialize(deserializer)?;
        wait_for(&path);
        Ok(Self(path))
    }
}

#[worker]
fn send_late(late: Late, to: Sender<u32>) -> poolmap::Result<()> {
    drop(late);
    Ok(to.send(7)?)
}

#[poolmap::test]
fn the_end_of_a_process_that_has_not_decoded_it_goes_with_the_process() {
    let _guard = common::guard();
    let (to, from) = channel::<u32>().unwrap();
    let mut process = Process::new(send_late { late: Late("/nowhere/at/all".into()), to }).start().unwrap();
    kill(process.pid(), "KILL");
    assert!(from.recv_timeout(SOON).unwrap_err().is_disconnected());
    process.join().unwrap_err();
}

#[poolmap::test]
fn an_end_lives_however_long_its_process_takes_to_decode_it() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let (to, from) = channel().unwrap();
    let process = Process::new(send_late { late: Late(go.clone()), to }).start().unwrap();
    // Nobody will ask for the output, and the end is held all the same.
    drop(process);
    assert_eq!(from.recv_timeout(std::time::Duration::from_millis(200)).unwrap(), None);
    std::fs::write(&go, "").unwrap();
    assert_eq!(from.recv_timeout(SOON).unwrap(), Some(7));
    assert!(from.recv_timeout(SOON).unwrap_err().is_disconnected());
}

#[worker]
fn use_all(text: &Mutex<String>, begun: &Event, count: Counter, numbers: SharedSlice<u64>) -> poolmap::Result<u64> {
    text.lock()?.push('x');
    count.add(1);
    begun.set();
    Ok(numbers.iter().sum())
}

#[poolmap::test]
fn whatever_is_moved_into_a_process_is_there() {
    let _guard = common::guard();
    let (text, begun, count) = (Mutex::new(String::new()).unwrap(), Event::new().unwrap(), Counter::new(0).unwrap());
    let numbers: SharedSlice<u64> = (0..100_000).collect();
    let call = use_all { text: text.clone(), begun: begun.clone(), count, numbers };
    let mut process = Process::new(call).start().unwrap();
    assert!(begun.wait_timeout(SOON));
    assert_eq!(process.join().unwrap(), 99_999 * 50_000);
    assert_eq!(*text.lock().unwrap(), "x");
}

/// Passes its end on, and ends.
#[worker]
fn pass_on(to: Sender<u32>) -> poolmap::Result<()> {
    Process::new(send { value: 8, to }).start()?.join()
}

#[poolmap::test]
fn an_end_that_is_passed_on_from_process_to_process_is_not_lost() {
    let _guard = common::guard();
    let (to, from) = channel().unwrap();
    let mut process = Process::new(pass_on { to }).start().unwrap();
    assert_eq!(from.recv_timeout(SOON).unwrap(), Some(8));
    process.join().unwrap();
    assert!(from.recv_timeout(SOON).unwrap_err().is_disconnected());
}

#[poolmap::test]
fn an_end_moved_into_a_submitted_call_is_not_lost() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    let (to, from) = channel().unwrap();
    let handle = pool.submit(send { value: 5, to }).unwrap();
    assert_eq!(from.recv_timeout(SOON).unwrap(), Some(5));
    handle.join().unwrap();
    assert!(from.recv_timeout(SOON).unwrap_err().is_disconnected());
    let (to, from) = channel().unwrap();
    let handle = pool.submit(receive { from }).unwrap();
    to.send(6).unwrap();
    assert_eq!(handle.join().unwrap(), 6);
    wait_until("the receiver is gone", || to.send(7).is_err());
}

/// Whom a worker's initializer has given its end to.
#[worker]
fn tell_of_start(to: Sender<u32>) -> poolmap::Result<()> {
    Ok(to.send(std::process::id())?)
}

#[worker]
fn pid(_task: u32) -> u32 {
    std::process::id()
}

#[poolmap::test]
fn the_ends_of_an_initializer_and_a_finalizer_live_as_long_as_the_pool_may_call_them() {
    let _guard = common::guard();
    let (to, from) = channel().unwrap();
    let (to_end, from_end) = channel().unwrap();
    let pool = Pool::builder()
        .workers(1)
        .max_tasks_per_worker(1)
        .initializer(tell_of_start { to })
        .finalizer(tell_of_start { to: to_end })
        .build()
        .unwrap();
    let mut pids = pool_map!(in &pool, pid, 0..3; chunk_size = 1).unwrap();
    for pid in &pids {
        assert_eq!(from.recv_timeout(SOON).unwrap(), Some(*pid));
        assert_eq!(from_end.recv_timeout(SOON).unwrap(), Some(*pid));
    }
    pids.dedup();
    assert_eq!(pids.len(), 3);
    pool.join().unwrap();
    drop(pool);
    // One more may have been started, for tasks that never came.
    for from in [from, from_end] {
        let rest: Vec<u32> = from.iter().map_while(Result::ok).collect();
        assert!(rest.len() <= 1 && from.recv().unwrap_err().is_disconnected());
    }
}

#[worker]
fn send_or_die(task: u32, to: Sender<u32>, is_first: &Counter) -> poolmap::Result<()> {
    if task == 0 && is_first.add(1) == 0 {
        std::process::abort();
    }
    Ok(to.send(task)?)
}

#[poolmap::test]
fn an_end_lives_until_the_last_attempt_of_the_task_that_has_it() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    let (to, from) = channel().unwrap();
    let is_first = Counter::new(0).unwrap();
    let ends = std::iter::once(to);
    let outcomes = pool_try_map!(in &pool, send_or_die, [0], ends, [is_first]; attempts = 2).unwrap();
    assert!(outcomes[0].is_ok(), "{outcomes:?}");
    assert_eq!(from.recv_timeout(SOON).unwrap(), Some(0));
    assert!(from.recv_timeout(SOON).unwrap_err().is_disconnected());
}
