//! Only a function can be a worker function.

use poolmap::worker;

#[worker]
struct Settings {
    threads: usize,
}

#[worker]
pub const LIMIT: usize = 1;

#[worker]
mod functions {
    pub fn f() {}
}

fn main() {
    let _ = Settings { threads: LIMIT };
    functions::f();
}
