//! A saved task, run once more in a process that is no worker. It knows nothing of who saved it.
//!
//! 1. The process runs the one call, on the thread that asks, and ends as the task did. Nothing is caught that a debugger should see: a
//!    signal ends the process, and a panic is printed by the program's hook.
//! 2. It takes the variable out of the environment: programs that the task starts are no replays.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::AtomicU64;

use super::current::{OwnTask, enter_own_task};
use crate::codec::{Encoder, Sink};
use crate::error::TaskErrorKind;
use crate::functions::{self, Flush, Registration, TaskCall};
use crate::replay::{SavedTask, VARIABLE};
use crate::shared;
use crate::sys;
use crate::task::Output;
use crate::wire::{self, Finished, OversizedResult, Records, TaskFrames, TaskProgress, TimesWords};

/// The exit code of a task that has an output, of one that returned an error, of a file that is refused, and of a panic, as of `main`.
const EXIT_WELL: i32 = 0;
const EXIT_FAILED: i32 = 1;
const EXIT_REFUSED: i32 = 2;
const EXIT_PANICKED: i32 = 101;
/// Outputs and errors are no larger than a frame may be at most.
const RESULT_BYTES_MAX: usize = u32::MAX as usize;

/// Replays the task that the environment names, and ends the process; returns if it names none.
pub(crate) fn replay_if_asked() {
    let Some(path) = sys::take_variable(VARIABLE).filter(|path| !path.is_empty()) else {
        return;
    };
    let path = Path::new(&path);
    let read = SavedTask::read(path).and_then(|task| Ok((function_of(&task)?, task)));
    let (function, task) = match read {
        Ok(read) => read,
        Err(why) => {
            say(&format!("{VARIABLE}={}: {why}", path.display()));
            std::process::exit(EXIT_REFUSED);
        }
    };
    say(&format!("replays a task that process {} has saved: {}", task.pid, task.died_of));
    let code = match catch_unwind(AssertUnwindSafe(|| run(function, &task))) {
        Ok(code) => code,
        Err(payload) => {
            std::mem::forget(payload);
            say(&format!("task {} of `{}` panicked", task.index, task.path));
            EXIT_PANICKED
        }
    };
    std::process::exit(code);
}

/// The function of a saved task, if this build has saved it.
fn function_of(task: &SavedTask) -> Result<&'static Registration, String> {
    let own = sys::build_id().map_err(|error| format!("the build of this program is not known: {error}"))?;
    let is_of_worker = || {
        let theirs = task.worker_build.as_ref()?;
        let own = sys::build_id_of_file(&std::env::current_exe().ok()?).ok()?;
        Some(own == *theirs)
    };
    if own != task.build && is_of_worker() != Some(true) {
        return Err(format!(
            "it was saved by build {} of a program, and this program is build {}: replay it with the program that saved it, or build that \
             again from the same source",
            hex(&task.build),
            hex(own),
        ));
    }
    functions::function_of_text(&task.function).ok_or_else(|| {
        format!(
            "this program has no worker function `{}` as it was: replay it with the program that saved it",
            task.path
        )
    })
}

/// Runs the task; returns with what code the process is to end.
fn run(function: &'static Registration, task: &SavedTask) -> i32 {
    let _granted = shared::enter_own_task(&[]);
    let _task = enter_own_task(OwnTask { attempt: task.attempt, index: task.index, call_seed: task.seed });
    let [begun, begun_nanos, finished, revoked] = [const { AtomicU64::new(0) }; 4];
    let (begun, begun_nanos, finished, revoked) = (&begun, &begun_nanos, &finished, &revoked);
    let progress =
        TaskProgress { begun, begun_nanos, finished, revoked, times: TimesWords::NONE, count: Finished::default() };
    let mut result = Vec::new();
    let results = Encoder::new(Sink::behind(&mut result), RESULT_BYTES_MAX);
    let Ok(length) = u32::try_from(task.arguments.len()) else {
        say("the arguments are larger than those of any task");
        return EXIT_REFUSED;
    };
    let frame = [&length.to_le_bytes()[..], &task.arguments].concat();
    let mut call =
        TaskCall::new(TaskFrames::of(&frame), 1, results, progress, Flush::EachTask).with_shared(task.shared);
    function.run(&mut call);
    let given = call.into_run(frame.len()).ok().and_then(|run| run.oversized);
    let Some(OversizedResult { status, bytes, .. }) = given.map(|given| *given) else {
        say(&format!("task {} of `{}` gave nothing", task.index, task.path));
        return EXIT_REFUSED;
    };
    match functions::failure(Records::new(wire::record(status, &bytes)), Output::Inherited) {
        None => {
            say(&format!("task {} of `{}` ended well: it has an output", task.index, task.path));
            EXIT_WELL
        }
        Some(kind) => {
            say(&format!("task {} of `{}` failed: {}", task.index, task.path, text_of(&kind)));
            EXIT_FAILED
        }
    }
}

/// Why the task has no output, where it is not a panic.
fn text_of(kind: &TaskErrorKind) -> String {
    match kind {
        TaskErrorKind::Failed(error) => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(next) = source {
                text.push_str(&format!(": {next}"));
                source = next.source();
            }
            text
        }
        TaskErrorKind::Decode(error) => format!("could not be decoded: {error}"),
        TaskErrorKind::Encode(error) => format!("could not be encoded: {error}"),
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Prints a line. There may be no standard error, which is no reason to panic.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "poolmap: {line}");
}
