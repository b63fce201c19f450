//! The loop that runs the tasks of a worker function, compiled for each.

use super::function::WorkerFn;
use super::task_run::TaskCall;

/// Runs every task that is left. It is in the table of worker functions, compiled for each.
pub fn run_tasks<F: WorkerFn>(call: &mut TaskCall<'_>) {
    loop {
        F::__run_numbers(call);
        if !call.begin() {
            break;
        }
        let result = F::__run(call);
        call.end(result);
    }
}
