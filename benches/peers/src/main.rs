//! Runs the same workloads over poolmap and its peers, in turn, and writes docs/performance.md with the tables and a plot.
//!
//! `cargo run --release` in this folder does it all, in about ten minutes. The Python side needs `pip install loky joblib
//! mpire numpy`; what is not installed has no figure, and the page says so. `PEERS_RUNS` sets the number of runs (5),
//! `PEERS_GROWTH_TASKS` that of the tasks after which memory must not have grown (5 million), `PEERS_DOCS` another folder for
//! the page.

mod figures;
mod measures;
mod page;
mod runner;
mod runs;
mod tasks;
mod workloads;

use std::path::PathBuf;
use std::time::{Duration, Instant};

#[crossmist::main]
fn main() {
    poolmap::init();
    procspawn::init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["one", library, workload] => one(library, workload),
        ["start", library] => runs::start::run(library),
        ["measure", what] => measures::run(what),
        [] => all(),
        _ => panic!("it takes no arguments; what it gives itself is one, start or measure"),
    }
}

/// Everything, as many times as asked.
fn all() {
    let start = Instant::now();
    let runs = std::env::var("PEERS_RUNS").map_or(5, |runs| runs.parse().expect("PEERS_RUNS is a number"));
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let docs = std::env::var_os("PEERS_DOCS").map_or(folder, PathBuf::from);
    let (figures, measures) = runner::all(runs, tasks::rounds_per_microsecond());
    page::write(&docs, &figures, &measures, runs).expect("the folder can be written");
    eprintln!("written in {:.0} s: {}", start.elapsed().as_secs_f64(), docs.join("performance.md").display());
}

/// One workload over one library: prints the tasks and the seconds they took, or why there are none.
fn one(library: &str, workload: &str) {
    let n = workloads::tasks_of(workload, library);
    // A tenth first: pools, allocators and caches are warm then.
    let warmed = |run: &dyn Fn(usize) -> Result<Duration, &'static str>| run(n.div_ceil(10)).and_then(|_| run(n));
    let took = match library {
        "poolmap" | workloads::CROWDED => {
            let pool = runs::poolmap::warm(if library == "poolmap" { runs::WORKERS } else { 8 });
            warmed(&|n| runs::poolmap::run(&pool, workload, n))
        }
        "procspawn" => {
            let pool = runs::procspawn::warm();
            warmed(&|n| runs::procspawn::run(&pool, workload, n))
        }
        threads => {
            runs::rayon::warm();
            warmed(&|n| {
                Ok(if threads == "rayon" {
                    runs::rayon::run(workload, n)
                } else {
                    runs::rayon::other(threads, workload, n)
                })
            })
        }
    };
    match took {
        Ok(took) => println!("{n} {}", took.as_secs_f64()),
        Err(reason) => println!("none {reason}"),
    }
}
