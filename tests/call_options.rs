//! Options of single calls beside limits and attempts: their priority, their deadline, their executions after an error.

mod common;

use poolmap::{Counter, Event, Pool, pool_map, worker};

#[worker]
fn place(order: &Counter) -> i64 {
    order.add(1)
}

#[worker]
fn wait_for(begun: &Event, go: &Event) {
    begun.set();
    go.wait();
}

#[worker]
fn gated_place(index: usize, begun: &Event, go: &Event, order: &Counter) -> i64 {
    if index == 0 {
        begun.set();
        go.wait();
    }
    order.add(1)
}

/// A pool of one worker that runs a call until `go` is set.
fn occupied() -> (Pool, Event) {
    let pool = common::pool(1);
    let (begun, go) = (Event::new().unwrap(), Event::new().unwrap());
    let call = wait_for { begun: begun.clone(), go: go.clone() };
    pool.submit(call).unwrap().on_done(|outcome| outcome.unwrap());
    begun.wait();
    (pool, go)
}

#[poolmap::test]
fn a_higher_priority_gets_the_free_worker_first() {
    let _guard = common::guard();
    let (pool, go) = occupied();
    let order = Counter::new(0).unwrap();
    let call = |priority| pool.call(place { order: order.clone() }).priority(priority).submit().unwrap();
    let handles = [0, -3, 7, i32::MIN, 7, i32::MAX, 0].map(call);
    let plain = pool.submit(place { order: order.clone() }).unwrap();
    go.set();
    assert_eq!(handles.map(|handle| handle.join().unwrap()), [3, 6, 1, 7, 2, 0, 4]);
    assert_eq!(plain.join().unwrap(), 5);
}

#[poolmap::test]
fn a_map_of_a_higher_priority_goes_before_calls_and_a_lower_one_behind_them() {
    let _guard = common::guard();
    for (priority, places) in [(1, (0..4, 4)), (-1, (1..5, 0))] {
        let (pool, go) = occupied();
        let order = Counter::new(0).unwrap();
        let call = pool.submit(place { order: order.clone() }).unwrap();
        let of_map: Vec<i64> = std::thread::scope(|scope| {
            let orders = [(); 4].map(|()| order.clone());
            let map = scope.spawn(|| pool_map!(in &pool, place, orders; priority = priority, chunk_size = 1).unwrap());
            common::wait_until("a task of the map waits", || pool.stats().tasks_waiting() > 1);
            go.set();
            map.join().unwrap()
        });
        assert_eq!(call.join().unwrap(), places.1, "priority {priority}");
        assert!(of_map.into_iter().eq(places.0), "priority {priority}");
    }
}

/// What a worker was given ahead, and has not claimed, goes behind a call of a higher priority.
#[poolmap::test]
fn a_call_goes_before_tasks_that_a_worker_was_given_ahead() {
    let _guard = common::guard();
    if !common::shares_memory() {
        return;
    }
    let pool = common::pool(1);
    let (begun, go, order) = (Event::new().unwrap(), Event::new().unwrap(), Counter::new(0).unwrap());
    std::thread::scope(|scope| {
        let repeat = |event: &Event| std::iter::repeat(event.clone());
        let (begun_each, go_each) = (repeat(&begun), repeat(&go));
        let order_each = std::iter::repeat(order.clone());
        let map = scope.spawn(|| {
            pool_map!(in &pool, gated_place, 0..50, begun_each, go_each, order_each; chunk_size = 50).unwrap()
        });
        begun.wait();
        let urgent = pool.call(place { order: order.clone() }).priority(1).submit().unwrap();
        go.set();
        // The task that had begun goes on.
        assert_eq!(urgent.join().unwrap(), 1);
        assert_eq!(map.join().unwrap().len(), 50);
    });
}
