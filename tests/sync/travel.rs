//! How things between processes travel: as arguments, to pools inside of tasks too, and no other way.

use poolmap::{Counter, Event, Mutex, Pool, Sender, channel, pool_map, pool_try_map, shared, worker};

use crate::channels::produce;
use crate::common;
use crate::counters_and_events::count;
use crate::ownership::increment;
use crate::pool;

#[worker]
fn give_back(event: &Event) -> Event {
    event.clone()
}

#[worker]
fn take(sender: Sender<u8>) {
    drop(sender);
}

#[poolmap::test]
fn no_other_way_is_silent() {
    let _guard = common::guard();
    let event = Event::new().unwrap();
    let error = pool_map!(give_back, [&event]).unwrap_err();
    assert!(format!("{error:#}").contains("not in a result"), "{error}");
    let error = serde_json::to_string(&event).unwrap_err();
    assert!(format!("{error:#}").contains("argument of a worker function"), "{error}");
    assert!(serde_json::from_str::<Event>("1").is_err());
    let (sender, receiver) = channel().unwrap();
    let error = pool_try_map!(take, shared(&sender); shortest);
    assert!(error.is_err(), "a shared value never ends");
    let (events, _receiver) = channel().unwrap();
    assert!(events.send(event).unwrap_err().to_string().contains("nor through a channel"));
    drop(sender);
    assert!(receiver.recv().unwrap_err().is_disconnected());
}

#[worker]
fn take_each(_task: usize, sender: Sender<u8>) {
    drop(sender);
}

#[poolmap::test]
fn a_sender_for_all_tasks_is_an_error_that_says_what_to_pass() {
    let _guard = common::guard();
    let (sender, _receiver) = channel().unwrap();
    let error = pool_map!(take_each, 0..3, shared(&sender)).unwrap_err();
    assert!(format!("{error:#}").contains("std::iter::repeat"), "{error}");
}

#[worker]
fn count_in_a_pool(counter: Counter, number: Mutex<u64>, to: Sender<u64>) -> poolmap::Result<()> {
    let pool = Pool::builder().workers(2).build()?;
    pool_map!(in &pool, count, [10; 4], std::iter::repeat(&counter))?;
    pool_map!(in &pool, increment, [10; 4], std::iter::repeat(&number))?;
    pool.apply(produce { values: 0..3, to })
}

#[poolmap::test]
fn all_of_it_goes_on_to_pools_inside_of_tasks() {
    let _guard = common::guard();
    let (counter, number) = (Counter::new(0).unwrap(), Mutex::new(0).unwrap());
    let (sender, receiver) = channel().unwrap();
    let call = count_in_a_pool { counter: counter.clone(), number: number.clone(), to: sender };
    pool(1).apply(call).unwrap();
    assert_eq!((counter.get(), *number.lock().unwrap()), (40, 40));
    assert_eq!(receiver.iter().collect::<poolmap::Result<Vec<_>>>().unwrap(), [0, 1, 2]);
}

#[poolmap::test]
fn things_come_and_go_and_workers_too() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).max_tasks_per_worker(3).build().unwrap();
    let kept = Mutex::new(0).unwrap();
    for _ in 0..20 {
        let counter = Counter::new(0).unwrap();
        pool_map!(in &pool, count, [5; 6], std::iter::repeat(&counter); chunk_size = 1).unwrap();
        pool_map!(in &pool, increment, [5], [&kept]).unwrap();
        assert_eq!(counter.get(), 30);
    }
    assert_eq!(*kept.lock().unwrap(), 100);
}
