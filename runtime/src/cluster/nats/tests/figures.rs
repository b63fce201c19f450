//! Figures, for whoever asks for them: `cargo test --release -- --ignored --nocapture figures`.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cast::{Agent, Answer, Driver, at_once, begin, id, options};
use super::works::large_work;
use crate::cluster::engine::ClusterEngine;

/// The processor time that this process has used.
fn used() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

#[test]
#[ignore = "it takes a while, and says nothing but figures"]
fn figures() {
    let Some((_watchdog, server)) = begin() else {
        return;
    };
    let mut driver = Driver::connect(options(&server.url()));
    let mut agents = [(); 2].map(|()| Agent::start(options(&server.url()), 1, at_once()));
    driver.wait_for_nodes(2);
    let before = used();
    let idle = Instant::now() + Duration::from_secs(10);
    driver.until(|_| Instant::now() > idle);
    eprintln!("idle: {:?} of processor time in 10 s, for a driver and two agents", used() - before);
    let start = Instant::now();
    for number in 0..5000 {
        driver.give(large_work(id(number), id(0), 1024));
    }
    driver.until_all_done();
    eprintln!("1 KiB: {:.0} works/s, {} duplicates", 5000.0 / start.elapsed().as_secs_f64(), driver.duplicates);
    agents.iter_mut().for_each(Agent::vanish);
    driver.wait_for_nodes(0);
    let _echo = [(); 2].map(|()| Agent::start(options(&server.url()), 1, Arc::new(|_| Answer::Echo)));
    driver.wait_for_nodes(2);
    let start = Instant::now();
    for number in 5000..5100 {
        driver.give(large_work(id(number), id(0), 1 << 20));
    }
    driver.until_all_done();
    eprintln!("1 MiB each way: {:.1} MB/s each way", 100.0 * 1.048_576 / start.elapsed().as_secs_f64());
    driver.engine.close(0);
}
