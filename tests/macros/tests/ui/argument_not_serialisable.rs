//! A parameter's type is serde.

use poolmap::worker;

struct Settings {
    threads: usize,
}

#[worker]
fn start(settings: &Settings, all: Vec<Settings>) -> usize {
    settings.threads + all.len()
}

fn main() {}
