//! Works go out and outcomes come back, whoever comes late, is lost, or leaves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cast::{Agent, Answer, Driver, at_once, begin, options, works};
use crate::cluster::engine::ClusterEngine;
use crate::cluster::messages::Setup;

#[test]
fn every_work_has_its_outcomes_once() {
    let Some((_watchdog, server)) = begin() else {
        return;
    };
    let mut driver = Driver::connect(options(&server.url()));
    let agents = [(); 2].map(|()| Agent::start(options(&server.url()), 2, at_once()));
    driver.wait_for_nodes(2);
    works(500).for_each(|work| driver.give(work));
    driver.until_all_done();
    assert_eq!(driver.duplicates, 0);
    assert_eq!(agents.iter().map(|agent| agent.begun().len()).sum::<usize>(), 500);
    driver.engine.close(0);
}

#[test]
fn an_agent_has_work_for_the_workers_of_its_pool() {
    let Some((_watchdog, server)) = begin() else {
        return;
    };
    let mut driver = Driver::connect(options(&server.url()));
    let agent = Agent::start(options(&server.url()), 1, Arc::new(|_| Answer::Never));
    driver.wait_for_nodes(1);
    assert_eq!(driver.engine.capacity().workers, 1);
    // The pool of this agent has as many workers as the settings say.
    driver.engine.set_up(Setup { generation: 2, options: vec![5] });
    driver.until(|driver| driver.engine.capacity().workers == 5);
    assert_eq!(driver.engine.capacity().nodes, 1);
    works(20).for_each(|work| driver.give(work));
    driver.until(|_| agent.begun().len() == 6);
    driver.engine.close(0);
}

#[test]
fn an_agent_that_comes_late_has_work_at_once() {
    let Some((_watchdog, server)) = begin() else {
        return;
    };
    let mut driver = Driver::connect(options(&server.url()));
    let slow = Arc::new(|_: &_| Answer::Done(Duration::from_millis(100)));
    let _first = Agent::start(options(&server.url()), 1, slow.clone());
    driver.wait_for_nodes(1);
    works(40).for_each(|work| driver.give(work));
    driver.until(|driver| driver.done.len() > 2);
    let started = Instant::now();
    let late = Agent::start(options(&server.url()), 1, slow);
    driver.until(|_| !late.begun().is_empty());
    eprintln!("a late agent had work after {:?}", started.elapsed());
    driver.until_all_done();
    driver.engine.close(0);
}

#[test]
fn agents_may_be_there_before_the_driver_and_stay_for_the_next() {
    let Some((_watchdog, server)) = begin() else {
        return;
    };
    let agent = Agent::start(options(&server.url()), 2, at_once());
    for round in 1..=2 {
        let mut driver = Driver::connect(options(&server.url()));
        driver.wait_for_nodes(1);
        works(20).for_each(|work| driver.give(work));
        driver.until_all_done();
        driver.engine.close(0);
        assert_eq!(agent.begun().len(), round * 20);
    }
    let welcomes = agent.heard().iter().filter(|heard| heard.starts_with("Welcome")).count();
    assert_eq!(welcomes, 2, "{:?}", agent.heard());
}

#[test]
fn what_a_lost_agent_had_is_done_by_others() {
    let Some((_watchdog, server)) = begin() else {
        return;
    };
    let mut driver = Driver::connect(options(&server.url()));
    let mut lost = Agent::start(options(&server.url()), 3, Arc::new(|_| Answer::Never));
    driver.wait_for_nodes(1);
    works(20).for_each(|work| driver.give(work));
    driver.until(|_| lost.begun().len() == 4);
    // Its next sign of life names what it has.
    let named = Instant::now() + Duration::from_millis(300);
    driver.until(|_| Instant::now() > named);
    let other = Agent::start(options(&server.url()), 2, at_once());
    driver.until(|driver| driver.done.len() == 16);
    let gone = Instant::now();
    lost.vanish();
    driver.until_all_done();
    eprintln!("works of a lost agent were done after {:?}", gone.elapsed());
    assert_eq!(driver.lost.len(), 4, "each of them counts as lost once: {:?}", driver.lost);
    assert_eq!((driver.duplicates, other.begun().len()), (0, 20));
    driver.engine.close(0);
}

#[test]
fn what_an_agent_gives_back_goes_elsewhere_and_is_not_lost() {
    let Some((_watchdog, server)) = begin() else {
        return;
    };
    let mut driver = Driver::connect(options(&server.url()));
    let mut leaving = Agent::start(options(&server.url()), 4, Arc::new(|_| Answer::Never));
    driver.wait_for_nodes(1);
    works(10).for_each(|work| driver.give(work));
    driver.until(|_| leaving.begun().len() == 5);
    let other = Agent::start(options(&server.url()), 1, at_once());
    driver.until(|driver| driver.done.len() == 5);
    let left = Instant::now();
    leaving.leave();
    driver.until_all_done();
    driver.until(|driver| driver.events.contains(&"down driver1".to_owned()));
    assert!(left.elapsed() < Duration::from_secs(30), "long before any lease would end, on a machine of any load");
    assert_eq!((driver.lost.len(), driver.duplicates), (0, 0));
    assert_eq!(other.begun().len(), 10);
    driver.engine.close(0);
}
