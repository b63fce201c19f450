//! The loop that runs the tasks of a worker function, compiled for each.

use super::call::TaskCall;
use super::function::WorkerFn;

/// Runs every task that is left. It stands in the table of worker functions, compiled for each.
pub fn run_tasks<F: WorkerFn>(call: &mut TaskCall<'_>) {
    while call.begin() {
        let result = F::__run(call);
        call.end(result);
    }
}
