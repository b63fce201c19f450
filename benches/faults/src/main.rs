//! Puts the same faults against poolmap and its peers, each in a process of its own, and writes docs/faults-of-peers.md.
//!
//! `cargo run --release` in this folder does it all, in some minutes. It needs Linux and `python3`; Python's libraries are
//! installed beside this program, in the versions of requirements.txt. What cannot be installed has no cells, and the page says
//! so.

mod cases;
mod faults;
mod page;
mod processes;
mod python;
mod report;
mod runner;
mod task;
mod words;

use std::path::Path;
use std::time::Instant;

use faults::Fault;
use python::Python;

fn main() {
    poolmap::init();
    procspawn::init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["case", "poolmap", fault] => cases::poolmap::run(Fault::named(fault)),
        ["case", "procspawn", fault] => cases::procspawn::run(Fault::named(fault)),
        [] => all(),
        _ => panic!("it takes no arguments; what it gives itself is a case"),
    }
}

/// Every case, and the page.
fn all() {
    let start = Instant::now();
    let python = Python::set_up();
    let outcomes = runner::all(&python);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/faults-of-peers.md");
    std::fs::write(&path, page::page(&outcomes, &python)).expect("the folder can be written");
    eprintln!("written in {:.0} s: {}", start.elapsed().as_secs_f64(), path.display());
}
