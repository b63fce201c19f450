//! What a driver leaves behind that was killed: its agents drop its work, and what is in the server is removed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cast::{Agent, Answer, Driver, begin, id, options, works};
use crate::cluster::engine::ClusterEngine;
use crate::cluster::nats::gc::remove_dead_sessions;

#[test]
fn a_session_without_a_driver_expires_and_its_streams_are_removed() {
    let Some((_watchdog, server)) = begin() else {
        return;
    };
    let options = options(&server.url());
    let agent = Agent::start(options.clone(), 1, Arc::new(|_| Answer::Never));
    let mut driver = Driver::connect(options.clone());
    driver.wait_for_nodes(1);
    works(4).for_each(|work| driver.give(work));
    driver.until(|_| !agent.begun().is_empty());
    drop(driver);
    let died = Instant::now();
    assert_eq!(remove_dead_sessions(&options, Duration::ZERO).unwrap(), 0, "its entry is there");
    let end = format!("end {}", id(0));
    // No other driver comes: the entry alone says that it is gone.
    while !agent.heard().contains(&end) {
        assert!(died.elapsed() < Duration::from_secs(300), "{:?}", agent.heard());
        std::thread::sleep(Duration::from_millis(50));
    }
    eprintln!("the agent has dropped the work after {:?}", died.elapsed());
    assert_eq!(remove_dead_sessions(&options, Duration::from_secs(3600)).unwrap(), 0, "they were written lately");
    // Another session is not touched.
    let mut living = Driver::connect(options.clone());
    let removed = remove_dead_sessions(&options, Duration::ZERO).unwrap();
    assert!(removed >= 2, "{removed} streams were removed: that of works and that of results at least");
    assert_eq!(remove_dead_sessions(&options, Duration::ZERO).unwrap(), 0);
    living.wait_for_nodes(1);
    assert!(living.events.iter().any(|event| event.starts_with("up")), "{:?}", living.events);
    living.engine.close(0);
}
