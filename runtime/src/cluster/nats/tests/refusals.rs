//! Who is not let in, and what is said about it: within seconds, with the host and a remedy, and without a secret.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::cast::{Agent, Answer, Driver, Rule, at_once, begin, hello, identity, options, watchdog, works};
use super::server::{Server, folder, has_server};
use crate::cluster::engine::ClusterEngine;
use crate::cluster::messages::Setup;
use crate::cluster::nats::{NatsEngine, NatsLink, NatsOptions};

/// What both sides say to these options.
pub(super) fn errors(options: &NatsOptions) -> [String; 2] {
    let started = Instant::now();
    let driver = NatsEngine::connect(options.clone()).err().expect("the driver is refused").to_string();
    let agent = NatsLink::connect(options.clone(), hello(options, 1)).err().expect("the agent is refused").to_string();
    // Each has three seconds; a loaded machine has more.
    assert!(started.elapsed() < Duration::from_secs(60));
    [driver, agent]
}

pub(super) fn assert_says(options: &NatsOptions, parts: &[&str]) {
    for error in errors(options) {
        for part in parts {
            assert!(error.contains(part), "{error:?} does not say {part:?}");
        }
    }
}

#[test]
fn nobody_at_the_address_is_said() {
    let _watchdog = watchdog();
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("nats://127.0.0.1:{unused}");
    assert_says(&options(&url), &[&url, "POOLMAP_ENGINE"]);
    // Somebody who says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://127.0.0.1:{}", listener.local_addr().unwrap().port());
    assert_says(&options(&url), &[&url, "does not answer"]);
    assert_says(&options("http://somewhere"), &["POOLMAP_ENGINE must be nats://HOST:PORT"]);
}

#[test]
fn a_server_without_jetstream_is_said() {
    if !has_server() {
        return;
    }
    let _watchdog = watchdog();
    let server = Server::with(&[], folder());
    assert_says(&options(&server.url()), &[&server.url(), "JetStream", "nats-server -js"]);
}

#[test]
fn an_agent_of_another_build_is_refused_and_both_say_so() {
    let Some((_watchdog, server)) = begin() else {
        return;
    };
    let mut driver = Driver::connect(options(&server.url()));
    let other = NatsOptions { identity: identity("21bc0000000000000000", "node17"), ..options(&server.url()) };
    let stranger = Agent::start(other, 1, at_once());
    driver.until(|driver| driver.events.iter().any(|event| event.starts_with("refused")));
    driver.until(|_| stranger.heard().iter().any(|heard| heard.starts_with("Refused")));
    let said = [driver.events.join("; "), stranger.heard().join("; ")];
    for said in said {
        for part in ["node17", "21bc", "8f3a", "copy the same file to every node"] {
            assert!(said.contains(part), "{said}");
        }
    }
    let _agent = Agent::start(options(&server.url()), 1, at_once());
    driver.wait_for_nodes(1);
    works(5).for_each(|work| driver.give(work));
    driver.until_all_done();
    assert!(stranger.begun().is_empty());
    driver.engine.close(0);
}

#[test]
fn an_agent_without_a_pool_is_out_of_service_until_there_is_another() {
    let Some((_watchdog, server)) = begin() else {
        return;
    };
    let mut driver = Driver::connect(options(&server.url()));
    let on =
        |host: &str| NatsOptions { identity: identity("8f3a00000000000000000000", host), ..options(&server.url()) };
    let has_failed = Arc::new(AtomicBool::new(false));
    let fails_once: Rule = Arc::new(move |_| match has_failed.swap(true, Ordering::Relaxed) {
        // What was asked for before comes still.
        false => Answer::Fail,
        true => Answer::Done(Duration::ZERO),
    });
    let broken = Agent::start(on("node17"), 1, fails_once);
    driver.wait_for_nodes(1);
    works(1).for_each(|work| driver.give(work));
    driver.until(|driver| driver.events.iter().any(|event| event.starts_with("out")));
    driver.wait_for_nodes(0);
    let _whole = Agent::start(on("node18"), 1, at_once());
    driver.wait_for_nodes(1);
    works(40).for_each(|work| driver.give(work));
    driver.until_all_done();
    let out: Vec<&String> = driver.events.iter().filter(|event| event.starts_with("out")).collect();
    assert_eq!(out, ["out node17 there is no pool"]);
    assert!(driver.lost.is_empty() && broken.begun().len() <= 2, "{:?}", broken.begun());
    // With the next pool it takes part again.
    driver.engine.set_up(Setup { generation: 2, options: Vec::new() });
    driver.wait_for_nodes(2);
    driver.engine.close(0);
}

#[test]
fn two_sessions_of_a_namespace_do_not_meet() {
    let Some((_watchdog, server)) = begin() else {
        return;
    };
    let of = |build: &str| NatsOptions { identity: identity(build, "node1"), ..options(&server.url()) };
    let mut drivers = ["aaaa", "bbbb"].map(|build| Driver::connect(of(build)));
    let agents = ["aaaa", "bbbb"].map(|build| Agent::start(of(build), 2, at_once()));
    for (driver, count) in drivers.iter_mut().zip([10, 20]) {
        driver.wait_for_nodes(1);
        works(count).for_each(|work| driver.give(work));
        driver.until_all_done();
        assert_eq!(driver.duplicates, 0);
    }
    assert_eq!(agents.map(|agent| agent.begun().len()), [10, 20]);
    drivers.into_iter().for_each(|driver| driver.engine.close(0));
}

#[test]
fn bytes_of_strangers_harm_nobody() {
    let Some((_watchdog, server)) = begin() else {
        return;
    };
    let mut driver = Driver::connect(options(&server.url()));
    let _agent = Agent::start(options(&server.url()), 1, at_once());
    driver.wait_for_nodes(1);
    let session = driver.engine.description().rsplit(' ').next().unwrap().to_owned();
    let bytes: [&[u8]; 4] = [b"", b"\xff", &[0xff; 64], b"{\"json\":1}"];
    for what in ["w", "r", "beat", "ctl"] {
        for bytes in bytes {
            super::raw::publish(&server, &format!("pm.8f3a000000000000.{session}.{what}"), bytes);
            super::raw::publish(&server, "pm.any.hello", bytes);
        }
    }
    works(20).for_each(|work| driver.give(work));
    driver.until_all_done();
    driver.engine.close(0);
}
