//! The facts that the thread of a driver publishes to the rest of the program.

use std::sync::Arc;
use std::time::Duration;

use super::{Driver, DriverRules, Known};
use crate::cluster::dispatcher::Dispatcher;
use crate::cluster::dispatcher::tests::{Act, FakeEngine, FakePool, answer};
use crate::cluster::engine::EngineEvent;
use crate::locks::{Condition, Lock};

fn driver(known: &Arc<(Lock<Known>, Condition)>) -> Driver {
    Driver {
        dispatcher: Dispatcher::new(3, 0),
        rules: DriverRules { losses_max: 3, node_wait: Duration::from_secs(600), has_own_workers: true },
        pool: None,
        known: Arc::clone(known),
        alone_since: None,
    }
}

#[test]
fn outcomes_that_come_twice_are_known_at_once_and_of_all_pools() {
    let known: Arc<(Lock<Known>, Condition)> = Arc::default();
    let mut driver = driver(&known);
    let duplicates = || known.0.lock().duplicates;
    let mut count = 0;
    for generation in 0..2 {
        driver.dispatcher = Dispatcher::new(3, generation);
        let (pool, mut engine) = (FakePool::new(&[4]), FakeEngine::with_room(1));
        engine.play(Act::Join, &pool, &mut driver.dispatcher);
        driver.dispatcher.feed(&mut engine, &pool);
        let done = answer(engine.first_work(), 0, 4).unwrap();
        driver.apply(EngineEvent::Done(done.clone()), &mut engine);
        assert_eq!(duplicates(), count);
        for _ in 0..2 {
            driver.apply(EngineEvent::Done(done.clone()), &mut engine);
            count += 4;
            assert_eq!(duplicates(), count);
        }
    }
}

#[test]
fn late_outcomes_of_a_call_that_has_ended_are_no_duplicates() {
    let known: Arc<(Lock<Known>, Condition)> = Arc::default();
    let mut driver = driver(&known);
    let (pool, mut engine) = (FakePool::new(&[4]), FakeEngine::with_room(1));
    engine.play(Act::Join, &pool, &mut driver.dispatcher);
    driver.dispatcher.feed(&mut engine, &pool);
    let done = answer(engine.first_work(), 0, 4).unwrap();
    engine.play(Act::Close { call: 0 }, &pool, &mut driver.dispatcher);
    driver.dispatcher.feed(&mut engine, &pool);
    driver.apply(EngineEvent::Done(done.clone()), &mut engine);
    // Nor are those of nobody's work.
    let invented = crate::cluster::messages::Done { work: 1_000_000, ..done };
    driver.apply(EngineEvent::Done(invented), &mut engine);
    assert_eq!(known.0.lock().duplicates, 0);
}
