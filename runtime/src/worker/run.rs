//! The tasks of a call, run until none is left, whatever they panic with. It knows nothing of where they come from.

use super::{current, panic};
use crate::functions::{self, DROPS_OUTPUT, FUNCTION_FLAGS, Merge, OUTPUT_BY_VALUE, Registration, TaskCall};
use crate::output;
use crate::shared;
use crate::sys;
use crate::trace;
use crate::wire::Violation;

/// Notes which task is about to begin, where what it prints is kept.
pub(super) fn note_task(function: u32, index: u64) {
    let function = function & !FUNCTION_FLAGS;
    let name = functions::function_name(function).unwrap_or("?");
    output::begin((function, name), index);
}

/// Runs every task of a call.
pub(super) fn run_tasks(function: u32, attempt: u32, call: &mut TaskCall<'_>) -> Result<(), Violation> {
    let drops_output = function & DROPS_OUTPUT != 0;
    // What is dropped here is not sent, nor is the memory of what a journal keeps.
    let _by_value = (function & (DROPS_OUTPUT | OUTPUT_BY_VALUE) != 0).then(shared::by_value);
    if drops_output {
        call.drop_output();
    }
    if functions::is_measured(function) {
        call.measure(current::worker_index());
    }
    if trace::is_forwarding() {
        call.report_each_end();
    }
    let function = functions::function(function & !FUNCTION_FLAGS).ok_or_else(no_function)?;
    sys::watch_crashes_again();
    current::set_attempt(attempt);
    let _listened = trace::enter_lifecycle_call();
    run_each(function, call);
    current::set_attempt(0);
    Ok(())
}

fn run_each(function: &Registration, call: &mut TaskCall<'_>) {
    while !call.is_over() {
        if let Err(note) = panic::catch(|| function.run(call)) {
            call.panicked(&note);
        }
    }
}

/// Runs the tasks of a call in a process that is no worker for it.
pub(super) fn run_in_process(function: u32, merge: Option<u32>, call: &mut TaskCall<'_>) -> Result<(), Violation> {
    if let Some(merge) = merge {
        let (function, merge) = (functions::function(function).ok_or_else(no_function)?, merge_of(merge)?);
        call.fold();
        fold_each(function, merge, call);
        return Ok(());
    }
    if function & DROPS_OUTPUT != 0 {
        call.drop_output();
    }
    if functions::is_measured(function) {
        call.measure(current::worker_index());
    }
    run_each(functions::function(function & !FUNCTION_FLAGS).ok_or_else(no_function)?, call);
    Ok(())
}

/// Runs every task of a call, as long as their outputs can be folded into one, by a function that is named.
#[inline(never)]
pub(super) fn fold_tasks(function: u32, merge: u32, attempt: u32, call: &mut TaskCall<'_>) -> Result<(), Violation> {
    let function = functions::function(function).ok_or_else(no_function)?;
    let merge = merge_of(merge)?;
    call.fold();
    // An output that is folded is read here.
    let _by_value = shared::by_value();
    sys::watch_crashes_again();
    current::set_attempt(attempt);
    fold_each(function, merge, call);
    current::set_attempt(0);
    Ok(())
}

fn fold_each(function: &Registration, merge: Merge, call: &mut TaskCall<'_>) {
    while !call.is_over() && !call.is_folded() {
        if let Err(note) = panic::catch(|| function.fold(call, merge)) {
            call.panicked(&note);
        }
    }
}

fn merge_of(function: u32) -> Result<Merge, Violation> {
    let merge = functions::function(function).and_then(Registration::merge);
    merge.ok_or_else(|| Violation::new("a chunk names no function to fold outputs by"))
}

#[cold]
fn no_function() -> Violation {
    Violation::new("a chunk names no worker function")
}
