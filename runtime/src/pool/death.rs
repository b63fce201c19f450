//! What a worker's end means: the one place that decides it.

use super::seat::Cause;
use crate::error::TaskErrorKind;
use crate::sys::End;
use crate::wire::PanicNote;

/// The number of SIGABRT, which is equal on all Unix systems: what a panic ends in that cannot unwind.
const SIGABRT: i32 = 6;
/// So is that of SIGKILL.
const SIGKILL: i32 = 9;

/// The error of the task that a worker was running when it ended, or was ended; none where the whole call ends with it.
pub(super) fn task_error(cause: &Cause, end: End, panic: Option<PanicNote>) -> Option<TaskErrorKind> {
    let panicked = |note: PanicNote| TaskErrorKind::Panicked {
        message: note.message,
        location: note.location,
        backtrace: note.backtrace,
    };
    Some(match (cause, end, panic) {
        (Cause::CallEnded | Cause::PoolClosed | Cause::Retired, ..) => return None,
        (Cause::Closed, End::Signaled(SIGABRT), Some(note)) if cfg!(panic = "abort") => panicked(note),
        (Cause::Closed, End::Signaled(SIGABRT), Some(note)) => {
            let place = note.location.map_or(String::new(), |location| format!(" at {location}"));
            crashed(Some(SIGABRT), None, Some(&format!("after a panic{place}: {}", note.message)))
        }
        (Cause::Closed, End::Signaled(signal), _) => crashed(Some(signal), None, None),
        (Cause::Closed, End::OutOfMemory, _) => crashed(Some(SIGKILL), None, Some(OUT_OF_MEMORY)),
        (Cause::Closed, End::Exited(code), _) => crashed(None, Some(code), None),
        (Cause::Closed, End::Unknown, _) => {
            crashed(None, None, Some("this program ignores SIGCHLD, or reaps children that are not its own"))
        }
        (Cause::ClosedAlive, ..) => crashed(None, None, Some("it closed its channel and went on, so it was killed")),
        (Cause::Faulty(fault), ..) => crashed(None, None, Some(&format!("{fault}, so it was killed"))),
        (Cause::TimedOut(limit), ..) => TaskErrorKind::TimedOut { limit: *limit },
        (Cause::Late, ..) => crashed(None, None, Some("it did not say hello in time")),
    })
}

const OUT_OF_MEMORY: &str = "the kernel's out-of-memory killer ended it";

fn crashed(signal: Option<i32>, exit_code: Option<i32>, note: Option<&str>) -> TaskErrorKind {
    TaskErrorKind::Crashed { signal, exit_code, note: note.map(str::to_owned) }
}

/// Why a worker that never said hello ended, for the error of the pool's start.
pub(super) fn start_failure(slot: usize, cause: &Cause, end: End, startup_timeout: std::time::Duration) -> String {
    let remedy = "a worker runs this program's `main` up to poolmap::init(): call init() first in `main`, or put \
                  #[poolmap::main] above it";
    match (cause, end) {
        (Cause::Late, _) => format!(
            "worker {slot} was not ready within {startup_timeout:?}, so it was killed: {remedy}, or give it more time with \
             Pool::builder().startup_timeout(…)",
        ),
        (Cause::Faulty(fault), _) => format!("worker {slot} could not be used: {fault}: {remedy}"),
        (_, End::Exited(code)) => {
            format!("worker {slot} ended before it was ready, with exit code {code}: {remedy}")
        }
        (_, End::Signaled(signal)) => {
            format!("worker {slot} ended before it was ready, killed by signal {signal}: {remedy}")
        }
        (_, End::OutOfMemory) => format!("worker {slot} ended before it was ready: {OUT_OF_MEMORY}"),
        _ => format!("worker {slot} ended before it was ready: {remedy}"),
    }
}
