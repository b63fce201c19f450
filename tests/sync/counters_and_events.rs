//! Counters and events, which nobody holds.

use std::thread::scope;
use std::time::Duration;

use poolmap::{Counter, Event, pool_map, worker};
use serde::{Deserialize, Serialize};

use crate::common::{self, SOON};
use crate::pool;

#[worker]
pub(crate) fn count(times: i64, counter: &Counter) {
    for _ in 0..times {
        counter.add(1);
    }
}

#[poolmap::test]
fn a_counter_counts_what_all_count() {
    let _guard = common::guard();
    let counter = Counter::new(-5).unwrap();
    scope(|scope| {
        let workers =
            scope.spawn(|| pool_map!(in &pool(4), count, [25_000; 4], std::iter::repeat(&counter); chunk_size = 1));
        (0..1000).for_each(|_| assert!(counter.add(1) >= -5));
        workers.join().unwrap().unwrap();
    });
    assert_eq!(counter.get(), 100_995);
    assert_eq!(
        (counter.compare_exchange(0, 1), counter.compare_exchange(100_995, i64::MAX)),
        (Err(100_995), Ok(100_995))
    );
    assert_eq!((counter.clone().add(1), counter.get()), (i64::MAX, i64::MIN));
    counter.set(3);
    assert_eq!(format!("{counter:?}"), "Counter(3)");
}

/// Things inside of a value.
#[derive(Clone, Serialize, Deserialize)]
struct Tools {
    name: String,
    ready: Vec<Event>,
    go: Option<Event>,
    counter: Counter,
}

#[worker]
fn announce(place: usize, tools: Tools) -> bool {
    tools.ready[place].set();
    let gone = tools.go.is_some_and(|go| go.wait_timeout(SOON));
    tools.counter.add(tools.name.len() as i64);
    gone
}

#[poolmap::test]
fn events_wake_whoever_waits_in_any_process() {
    let _guard = common::guard();
    let go = Event::new().unwrap();
    let ready: Vec<_> = (0..3).map(|_| Event::new().unwrap()).collect();
    let counter = Counter::new(0).unwrap();
    let tools = Tools { name: "four".into(), ready, go: Some(go.clone()), counter };
    let gone = scope(|scope| {
        let workers =
            scope.spawn(|| pool_map!(in &pool(3), announce, 0..3, std::iter::repeat(&tools); chunk_size = 1).unwrap());
        tools.ready.iter().for_each(Event::wait);
        assert!(tools.ready[2].is_set() && !go.is_set());
        go.set();
        workers.join().unwrap()
    });
    assert_eq!((gone, tools.counter.get()), (vec![true; 3], 12));
    go.clear();
    assert!(!go.wait_timeout(Duration::from_millis(5)));
}
