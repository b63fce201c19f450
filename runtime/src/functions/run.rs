//! What the table has of each worker function, compiled for each: the loop that runs its tasks, and the names of its types.

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

/// The names of the types of the parameters, which are those of the function type `P`, and of the output.
pub fn type_names<F: WorkerFn, P>() -> [&'static str; 2] {
    [std::any::type_name::<P>(), std::any::type_name::<F::Output>()]
}
