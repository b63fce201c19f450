//! The program of other programs' workers.

use poolmap_suite_jobs as _;

fn main() {
    poolmap::run_worker()
}
