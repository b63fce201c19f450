//! What does each part of the way of a task take: a round trip, results and arguments of many sizes, chunks, iterators, the
//! start of a pool, and the ends of tasks? `cargo bench [-- part of a name]` in this folder, in half a minute;
//! `cargo bench -- --help` names the options.
//!
//! It goes through the public face alone, as a user does, with one idea a file. Most of it runs on a pool of one worker: what
//! is looked at is the way between two processes, and not how many processors a machine has. benches/codec.rs measures what
//! values take into bytes and out of them, benches/peers whole workloads against other libraries.

mod chunk;
mod ends;
mod iteration;
mod ring;
mod round_trip;
mod start;
mod workers;

use std::time::Duration;

use divan::Divan;

fn main() {
    // A worker is this program too: it turns off here.
    poolmap::init();
    Divan::default().min_time(Duration::from_millis(500)).max_time(Duration::from_secs(1)).config_with_args().main();
}
