//! The program that workers run. Python's or C's `main` is not ours, but this one is.

use jobs as _;

fn main() {
    poolmap::run_worker()
}
