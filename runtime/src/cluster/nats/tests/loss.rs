//! What the server loses, and what agents lose: every work has its outcomes nevertheless, and none is run twice without a need.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cast::{Agent, Answer, Driver, PATIENCE, Rule, at_once, begin, id, options, works};
use super::server::Server;
use crate::cluster::engine::ClusterEngine;
use crate::cluster::environment::NatsStorage;
use crate::cluster::nats::NatsOptions;

fn taking(time: Duration) -> Rule {
    Arc::new(move |_| Answer::Done(time))
}

/// A server that is killed in the middle of works, and comes back.
fn outage(storage: NatsStorage) {
    let Some((_watchdog, mut server)) = begin() else {
        return;
    };
    let kept = |url: &str| NatsOptions { storage, ..options(url) };
    let mut driver = Driver::connect(kept(&server.url()));
    let _agents = [(); 2].map(|()| Agent::start(kept(&server.url()), 2, taking(Duration::from_millis(20))));
    driver.wait_for_nodes(2);
    works(300).for_each(|work| driver.give(work));
    driver.until(|driver| driver.done.len() > 30);
    server.kill();
    driver.until(|driver| driver.events.iter().any(|event| event.starts_with("lost")));
    let away = Instant::now() + Duration::from_secs(1);
    driver.until(|_| Instant::now() > away);
    server.run();
    let back = Instant::now();
    let done = driver.done.len();
    driver.until(|driver| driver.events.iter().any(|event| event == "back"));
    driver.until(|driver| driver.done.len() > done + 8);
    eprintln!("outcomes flow again {:?} after the server is back ({storage:?})", back.elapsed());
    driver.until_all_done();
    let told = |what: &str| driver.events.iter().filter(|event| event.starts_with(what)).count();
    assert_eq!((told("lost"), told("back"), told("down")), (1, 1, 0), "{:?}", driver.events);
    driver.engine.close(0);
}

#[test]
fn a_server_that_is_back_with_its_files_goes_on() {
    outage(NatsStorage::File);
}

#[test]
fn a_server_that_is_back_with_nothing_is_given_everything_again() {
    outage(NatsStorage::Memory);
}

#[test]
fn streams_that_are_deleted_are_made_again() {
    let Some((_watchdog, server)) = begin() else {
        return;
    };
    let short = |url: &str| NatsOptions { lease: Duration::from_secs(2), ..options(url) };
    let mut driver = Driver::connect(short(&server.url()));
    let _agent = Agent::start(short(&server.url()), 2, taking(Duration::from_millis(20)));
    driver.wait_for_nodes(1);
    works(200).for_each(|work| driver.give(work));
    driver.until(|driver| driver.done.len() > 20);
    super::raw::delete_streams(&server, &driver.engine.description());
    driver.until_all_done();
    driver.engine.close(0);
}

#[test]
fn a_task_that_takes_longer_than_the_lease_is_run_once() {
    let Some((_watchdog, server)) = begin() else {
        return;
    };
    let short = |url: &str| NatsOptions { lease: Duration::from_secs(2), ..options(url) };
    let mut driver = Driver::connect(short(&server.url()));
    let agents = [(); 2].map(|()| Agent::start(short(&server.url()), 1, taking(Duration::from_secs(7))));
    driver.wait_for_nodes(2);
    works(3).for_each(|work| driver.give(work));
    driver.until_all_done();
    assert_eq!(agents.iter().map(|agent| agent.begun().len()).sum::<usize>(), 3);
    assert_eq!((driver.duplicates, driver.lost.len()), (0, 0));
    driver.engine.close(0);
}

#[test]
fn a_work_that_no_sign_of_life_named_comes_again_and_is_blamed_at_last() {
    let Some((_watchdog, server)) = begin() else {
        return;
    };
    // Agents are found to be silent only after their leases have ended, so the driver knows of none that had it.
    let short = |url: &str| NatsOptions { lease: Duration::from_secs(1), tries: 2, ..options(url) };
    let mut driver = Driver::connect(short(&server.url()));
    let poison: Rule = Arc::new(|work| if work.id == id(0) { Answer::Vanish } else { Answer::Done(Duration::ZERO) });
    let mut agents: Vec<Agent> = (0..2).map(|_| Agent::start(short(&server.url()), 1, Arc::clone(&poison))).collect();
    driver.wait_for_nodes(2);
    works(10).for_each(|work| driver.give(work));
    let until = Instant::now() + PATIENCE;
    while driver.done.len() < 10 {
        driver.turn(Duration::from_millis(50));
        if agents.iter().all(|agent| agent.begun().contains(&id(0))) {
            agents.push(Agent::start(short(&server.url()), 1, Arc::clone(&poison)));
        }
        assert!(Instant::now() < until, "{:?}", driver.events);
        if driver.lost.get(&id(0)).is_some_and(|lost| *lost >= 2) {
            // The dispatcher would blame it by now.
            return;
        }
    }
    assert!(driver.notes.iter().any(|note| note.contains("POOLMAP_TRIES")), "{:?}", driver.notes);
    let begun = agents.iter().filter(|agent| agent.begun().contains(&id(0))).count();
    assert!(begun <= 4, "{begun} agents were lost with it");
    driver.engine.close(0);
}

#[test]
fn a_driver_that_vanishes_leaves_its_agents_free_for_the_next() {
    let Some((_watchdog, server)) = begin() else {
        return;
    };
    let agent = Agent::start(options(&server.url()), 2, at_once());
    let mut first = Driver::connect(options(&server.url()));
    first.wait_for_nodes(1);
    works(4).for_each(|work| first.give(work));
    first.until_all_done();
    drop(first);
    let mut second = Driver::connect(options(&server.url()));
    // The entry of the first is there for 30 seconds.
    second.wait_for_nodes(1);
    works(4).for_each(|work| second.give(work));
    second.until_all_done();
    assert_eq!(agent.begun().len(), 8);
    second.engine.close(0);
}

#[test]
fn large_bodies_go_both_ways() {
    let Some((_watchdog, server)) = begin() else {
        return;
    };
    let mut driver = Driver::connect(options(&server.url()));
    let _agent = Agent::start(options(&server.url()), 2, Arc::new(|_| Answer::Echo));
    driver.wait_for_nodes(1);
    let sizes = [700 << 10, 800 << 10, 1 << 20, 5 << 20, 20 << 20];
    for (number, &bytes) in sizes.iter().enumerate() {
        driver.give(super::works::large_work(id(number as u64), id(0), bytes));
    }
    driver.until_all_done();
    let lengths: BTreeSet<usize> = driver.lengths.iter().copied().collect();
    assert_eq!(lengths, BTreeSet::from(sizes));
    driver.engine.close(0);
    assert_eq!(stored(&server), 0, "nothing is left of them");
}

/// How many bytes of messages the server's files have.
fn stored(server: &Server) -> u64 {
    fn bytes(folder: &std::path::Path) -> u64 {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .map(|entry| match entry.file_type() {
                Ok(kind) if kind.is_dir() => bytes(&entry.path()),
                _ if entry.path().extension().is_some_and(|extension| extension == "blk") => {
                    entry.metadata().map_or(0, |metadata| metadata.len())
                }
                _ => 0,
            })
            .sum()
    }
    let total = bytes(&server.folder().join("store"));
    if total < 1 << 20 { 0 } else { total }
}
