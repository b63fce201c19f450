//! The workloads over rayon's threads: what all other figures are ratios to.

use std::time::Duration;

use rayon::prelude::*;

use super::WORKERS;
use crate::tasks::{self, rounds, timed};

/// Makes the threads.
pub fn warm() {
    rayon::ThreadPoolBuilder::new().num_threads(WORKERS).build_global().expect("it is built once");
    rayon::broadcast(|_| ());
}

/// The time for so many tasks of a workload.
pub fn run(workload: &str, n: usize) -> Duration {
    let spun = |all: Vec<u64>, most: usize| {
        timed(|| all.into_par_iter().with_max_len(most).map(tasks::spin).collect::<Vec<_>>())
    };
    match workload {
        "W1" => added(n as i64, 1),
        "W2" | "W2i" => added(n as i64, usize::MAX),
        "W3" => spun(vec![rounds(10.0); n], usize::MAX),
        "W3c" => spun(vec![rounds(10.0); n], 1),
        "W4" => spun(vec![rounds(1000.0); n], usize::MAX),
        "W5" => spun(tasks::uneven(n).into_iter().map(rounds).collect(), usize::MAX),
        "W6" => {
            let block = tasks::block();
            timed(|| {
                let blocks = (0..n).into_par_iter().map(|_| tasks::echo(block.clone())).collect::<Vec<_>>();
                blocks.into_iter().map(|block| block.len()).sum::<usize>()
            })
        }
        // What is sent is a copy: threads that are given slices of their own copy them too.
        "W7" => {
            let array = tasks::array(n);
            let slices = array.par_chunks(tasks::SLICE).map(<[f64]>::to_vec);
            timed(|| slices.map(|slice| tasks::sum(&std::hint::black_box(slice))).collect::<Vec<_>>())
        }
        "W7f" | "W7b" | "W7c" => {
            let array = tasks::array(n);
            timed(|| array.par_chunks(tasks::SLICE).map(tasks::sum).collect::<Vec<_>>())
        }
        "W9" => {
            let lines = tasks::text(n, 40);
            timed(|| lines.par_iter().map(|line| tasks::count(line)).collect::<Vec<_>>())
        }
        "W9p" => {
            let paragraphs = tasks::text(n, 4096);
            timed(|| paragraphs.par_iter().map(|text| tasks::words(text)).collect::<Vec<_>>())
        }
        "W10" => timed(|| tasks::items(n).par_bridge().map(|item| tasks::weigh(&item)).sum::<u64>()),
        other => panic!("no workload {other}"),
    }
}

/// W1 and W2 from two iterators, as a map of poolmap takes them: rayon collects them before it can go parallel.
fn added(n: i64, most: usize) -> Duration {
    let (xs, ys) = (0..n, 0..n);
    timed(|| {
        let pairs = xs.zip(ys).collect::<Vec<_>>();
        pairs.into_par_iter().with_max_len(most).map(|(x, y)| tasks::add(x, y)).collect::<Vec<_>>()
    })
}

/// What some workloads are compared with besides: the same work in another form.
pub fn other(form: &str, workload: &str, n: usize) -> Duration {
    match form {
        // Nothing is collected: the best that rayon can do.
        "rayon-range" => {
            let most = if workload == "W1" { 1 } else { usize::MAX };
            let range = (0..n).into_par_iter().with_max_len(most);
            timed(|| range.map(|x| tasks::add(x as i64, x as i64)).collect::<Vec<_>>())
        }
        // Each block reaches the caller as it is finished, and not when all are.
        "rayon-channel" => {
            let block = &tasks::block();
            let (sender, receiver) = std::sync::mpsc::sync_channel(16);
            let send = move || {
                let blocks = (0..n).into_par_iter().map(|_| tasks::echo(block.clone()));
                blocks.for_each_with(sender, |sender, block| sender.send(block).expect("the caller listens"));
            };
            timed(|| {
                std::thread::scope(|scope| {
                    scope.spawn(send);
                    receiver.into_iter().map(|block| block.len()).sum::<usize>()
                })
            })
        }
        // No block ever leaves the thread that made it.
        "rayon-inside" => {
            let block = tasks::block();
            timed(|| (0..n).into_par_iter().map(|_| tasks::echo(block.clone()).len()).sum::<usize>())
        }
        // An iterator of slices that a task is to own is collected first, as in W1 and W2.
        "rayon-owned" => {
            let array = tasks::array(n);
            timed(|| {
                let slices = array.chunks(tasks::SLICE).map(<[f64]>::to_vec).collect::<Vec<_>>();
                slices.into_par_iter().map(|slice| tasks::sum(&slice)).collect::<Vec<_>>()
            })
        }
        other => panic!("no form {other}"),
    }
}
