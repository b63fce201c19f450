//! Tasks on the worker's side, one after another: arguments out of bytes, the function's results into bytes, and how far they
//! have come. It knows nothing of where the bytes come from and go to.
//!
//! 1. Before a task begins, `begun` counts it; once its result is in the sink, `finished` counts it, and returns where its
//!    bytes end. So at every moment, also when this process is killed, others who see the two words and the sink's memory know
//!    what is finished, with its result, and which task was running.
//! 2. A task that is not begun because `revoked` is set has a result that says so. It is counted by `begun` first: whoever sets
//!    `revoked`, and then a fence for both (`sys::fence_registered`), knows that what `begun` does not count is never begun.
//! 3. A task that is finished writes nowhere any more: a part of a `SharedSliceMut` that is still there ends this process first. (In a
//!    pool in process the owner of the array waits for the part instead.)
//! 4. A result that outgrows the sink's room is not counted as finished: whoever runs the tasks brings it to its place first.

use std::io::Write;
use std::sync::atomic::{Ordering, compiler_fence};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::borrowed_argument::BorrowedArgument;
use super::folding::FoldState;
use super::meter::Meter;
use super::shared_argument;
use super::task_clock::TaskClock;
use super::task_phase::{Flush, RunningCode, TaskAbort};
use crate::codec::{Decoder, Encoder};
use crate::error::CodecError;
use crate::failpoints::{self, Point};
use crate::output;
use crate::shared;
use crate::sys;
use crate::trace;
use crate::wire::{
    self, HEAD_BYTES, OversizedResult, RECORD_BYTES_MAX, Status, TaskFrames, TaskProgress, TasksRun, Violation,
};

/// Calls of a worker function, as its expansion sees them.
pub struct TaskCall<'a> {
    /// The tasks that are left.
    pub(super) tasks: TaskFrames<'a>,
    pub(super) left: u32,
    arguments: Decoder<'a>,
    /// The parameters whose arguments are shared: a bit for each, the first the lowest.
    pub(super) shared: u16,
    /// The same for those whose arguments are left.
    shared_left: u16,
    pub(super) results: Encoder<'a>,
    /// Where the result of the current task begins.
    pub(super) record: usize,
    pub(super) progress: TaskProgress<'a>,
    /// The result that outgrew the room.
    outgrown: Option<Status>,
    /// The state of the run, where outputs are folded; `flush` is then not later.
    pub(super) folding: Option<Box<FoldState>>,
    violation: Option<Violation>,
    pub(super) flush: Flush,
    /// No output goes into the sink; `flush` is then not later, so that a task of any other call looks at one thing.
    pub(super) drops_output: bool,
    pub(super) stage: RunningCode,
    /// Called when the arguments of a task are decoded, and its function is not called.
    pub(super) on_decoded: Option<&'a dyn Fn()>,
    /// Arguments name what the tasks are granted.
    pub(super) has_grants: bool,
    /// What measures the tasks, if they are measured; `flush` is then not later.
    meter: Option<Box<Meter>>,
    /// The clock that counts how long tasks take, if they are counted.
    pub(super) clock: Option<&'a mut TaskClock>,
}

impl<'a> TaskCall<'a> {
    /// The first `count` of `tasks`, whose results go to `results`.
    pub(crate) fn new(
        tasks: TaskFrames<'a>,
        count: u32,
        results: Encoder<'a>,
        progress: TaskProgress<'a>,
        flush: Flush,
    ) -> Self {
        let arguments = Decoder::new(&[]);
        let (record, outgrown, violation) = (0, None, None);
        Self {
            tasks,
            left: count,
            arguments,
            shared: 0,
            shared_left: 0,
            results,
            record,
            progress,
            outgrown,
            folding: None,
            violation,
            flush,
            drops_output: false,
            stage: RunningCode::Function,
            on_decoded: None,
            has_grants: false,
            meter: None,
            clock: None,
        }
    }

    /// Some of the arguments are shared: a bit for each parameter, the first the lowest.
    pub(crate) fn with_shared(mut self, shared: u16) -> Self {
        self.shared = shared;
        self
    }

    /// Arguments name what the tasks are granted, in the table that was set.
    pub(crate) fn with_grants(mut self) -> Self {
        self.has_grants = true;
        self
    }

    /// Counts how long the tasks take. Where their output is written out later, whoever runs them does so when it reads the clock next.
    pub(crate) fn clocked(mut self, clock: &'a mut TaskClock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Something is to be done whenever the arguments of a task are decoded.
    pub(crate) fn on_decoded(mut self, on_decoded: Option<&'a dyn Fn()>) -> Self {
        self.on_decoded = on_decoded;
        self
    }

    /// The outputs are dropped here: the result of a task is that it is finished, or why it is not.
    pub(crate) fn drop_output(&mut self) {
        self.drops_output = true;
        self.look_at_each_end();
    }

    /// What is measured of each task is written behind its result. `worker` is the place of this one.
    pub(crate) fn measure(&mut self, worker: usize) {
        self.report_each_end();
        self.meter = Some(Box::new(Meter::new(u32::try_from(worker).unwrap_or(u32::MAX))));
    }

    /// The end of each task is reported to those that listen to it.
    pub(crate) fn report_each_end(&mut self) {
        if self.flush == Flush::Later {
            self.flush = Flush::LaterNoted;
        }
    }

    /// Lets the end of a task be more than its result; returns whether it was that before.
    pub(super) fn look_at_each_end(&mut self) -> bool {
        let is_later = self.flush == Flush::Later;
        if is_later {
            self.flush = Flush::EachTask;
        }
        !is_later
    }

    /// Begins the next task, if there is one and it can have a result.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn begin(&mut self) -> bool {
        loop {
            if self.left == 0 || self.outgrown.is_some() {
                return false;
            }
            let before = self.tasks.rest();
            let arguments = match self.tasks.next() {
                Ok(arguments) => arguments,
                Err(violation) => {
                    self.violation = Some(violation);
                    return false;
                }
            };
            self.left -= 1;
            self.arguments = Decoder::new(arguments);
            self.shared_left = self.shared;
            self.stage = RunningCode::Arguments;
            self.begin_result();
            if let Some(meter) = &mut self.meter {
                meter.begin(arguments.len(), self.progress.begun_nanos);
            }
            self.progress.begun.store(u64::from(self.progress.count.tasks.wrapping_add(1)), Ordering::Release);
            failpoints::reached(Point::Counted);
            compiler_fence(Ordering::SeqCst);
            if self.progress.revoked.load(Ordering::Relaxed) == 0 {
                failpoints::reached(Point::Begun);
                if self.has_grants {
                    shared::open_table();
                }
                return true;
            }
            if self.cut_fold() {
                self.forget_written();
                self.tasks = TaskFrames::of(before);
                self.left += 1;
                return false;
            }
            self.not_run(1);
            self.finish(Status::NotRun);
        }
    }

    /// Makes room for the head of a result, behind which it is written.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn begin_result(&mut self) {
        let sink = self.results.sink();
        self.record = sink.len();
        sink.write(&[0; HEAD_BYTES]);
        self.results.begin();
    }

    /// Ends the task with what it gave.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn end(&mut self, result: Result<(), TaskAbort>) {
        let status = match result {
            Ok(()) => Status::Output,
            Err(stop) => self.stopped(stop),
        };
        self.finish(status);
    }

    /// Sets whose code of the program's runs from now on.
    pub(super) fn enter(&mut self, stage: RunningCode) {
        self.stage = stage;
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn finish(&mut self, status: Status) {
        Self::leave_task();
        if self.flush != Flush::Later {
            if self.drops_output && status == Status::Output {
                self.replace(&[]);
            }
            match self.flush {
                Flush::Kept => self.keep_output(status),
                Flush::LaterNoted => {}
                _ => drop(std::io::stdout().flush()),
            }
            trace::end_task();
            if self.folding.is_some() {
                return self.stop_fold(status);
            }
            if status != Status::NotRun {
                self.clock_end();
            }
        }
        // Of a task that is not run, nothing is at stake.
        let reached = |point| {
            if status != Status::NotRun {
                failpoints::reached(point);
            }
        };
        reached(Point::Encoded);
        let sink = self.results.sink();
        let bytes = sink.len() - self.record - HEAD_BYTES;
        if sink.has_spilled() || bytes > RECORD_BYTES_MAX {
            self.outgrown = Some(status);
            return;
        }
        sink.write_at(self.record, &wire::head(status, bytes));
        let count = &mut self.progress.count;
        count.tasks = count.tasks.wrapping_add(1);
        // The ring is smaller than 4 GiB, so that a position that wraps around is still one of its places.
        count.position = count.position.wrapping_add((bytes + HEAD_BYTES) as u32);
        reached(Point::Uncounted);
        self.progress.finished.store(count.pack(), Ordering::Release);
        failpoints::reached(Point::Finished);
    }

    /// Reads the clock at the end of a task, where something counts or measures its time.
    #[inline]
    pub(super) fn clock_end(&mut self) {
        let measured = self.meter.as_mut().map(|meter| meter.end());
        if let Some(measures) = &measured {
            self.results.sink().write(&measures.encode());
        }
        if let Some(clock) = &mut self.clock {
            let ended = measured.map(|measures| measures.begun_nanos.saturating_add(measures.duration_nanos));
            clock.ended(ended.unwrap_or_else(sys::monotonic_nanos), self.progress.begun_nanos, self.progress.times);
        }
    }

    /// Holds what is to hold behind every task: this is the process that it began in, and it has no part of an array left.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn leave_task() {
        if sys::is_fork() {
            sys::exit_fork();
        }
        if shared::has_parts() {
            end_with_parts();
        }
    }

    /// Puts what the task printed behind its result.
    #[cold]
    fn keep_output(&mut self, status: Status) {
        if status == Status::NotRun {
            return;
        }
        let bytes_max = self.results.bytes_max();
        let sink = self.results.sink();
        let used = sink.len() - self.record - HEAD_BYTES;
        sink.write(&output::finish(bytes_max.saturating_sub(used)));
    }

    /// Lets the result be larger than others by so many bytes.
    pub(super) fn allow_more(&mut self, bytes: usize) {
        self.results.allow_more(bytes);
    }

    /// Returns the bytes of the result that are written so far.
    #[inline]
    pub(super) fn written(&mut self) -> &[u8] {
        let from = self.record + HEAD_BYTES;
        self.results.sink().written_from(from)
    }

    /// Takes back the head and what is written of the result.
    #[inline]
    pub(super) fn forget_written(&mut self) {
        self.results.sink().truncate(self.record);
    }

    /// Ends the call: it cannot be as the parent has sent it.
    #[cold]
    pub(super) fn refuse(&mut self, violation: Violation) {
        self.violation = Some(violation);
    }

    /// Steps over the tasks that are left; returns how many they were.
    pub(super) fn skip_rest(&mut self) -> u32 {
        let mut skipped = 0;
        while self.left > 0 && self.violation.is_none() {
            self.left -= 1;
            match self.tasks.next() {
                Ok(_) => skipped += 1,
                Err(violation) => self.violation = Some(violation),
            }
        }
        skipped
    }

    /// Ends the run: what is finished, how many bytes of arguments were taken, and the result that outgrew the room.
    pub(crate) fn into_run(self, tasks_bytes: usize) -> Result<TasksRun, Violation> {
        if let Some(violation) = self.violation {
            return Err(violation);
        }
        let taken = tasks_bytes - self.tasks.rest().len();
        let mut finished = self.progress.count;
        if let Some((results, counted)) = self.folding.and_then(|folding| folding.into_results()) {
            finished.tasks = finished.tasks.wrapping_sub(counted);
            return Ok(TasksRun { finished, taken, oversized: Some(Box::new(results)) });
        }
        let oversized = self.outgrown.map(|status| {
            let mut bytes = self.results.into_vec();
            bytes.drain(..self.record + HEAD_BYTES);
            Box::new(OversizedResult::alone(status, bytes))
        });
        Ok(TasksRun { finished, taken, oversized })
    }

    /// Whether no task is left to be begun.
    pub(crate) fn is_over(&self) -> bool {
        self.left == 0 || self.outgrown.is_some() || self.violation.is_some()
    }

    /// Runs every task that is left by a function of a test: from its one argument to the bytes of its result.
    #[cfg(test)]
    pub(crate) fn run_each(&mut self, mut run: impl FnMut(u64, &mut crate::codec::Sink<'a>)) {
        while self.begin() {
            let argument = self.argument("argument");
            let result = argument.map(|argument| run(argument, self.results.sink()));
            self.end(result);
        }
    }

    /// Takes the next argument.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn argument<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, TaskAbort> {
        let taken =
            if self.is_next_shared() { shared_argument::take(&mut self.arguments) } else { self.arguments.value() };
        taken.map_err(|error| wrong_argument(name, &error))
    }

    /// Takes the next argument, to be borrowed.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn borrowed<B: ?Sized + 'static, T: DeserializeOwned + 'static>(
        &mut self,
        name: &str,
    ) -> Result<BorrowedArgument<'a, B, T>, TaskAbort> {
        let held = if self.is_next_shared() {
            shared_argument::borrow(&mut self.arguments)
        } else {
            BorrowedArgument::take(&mut self.arguments)
        };
        held.map_err(|error| wrong_argument(name, &error))
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn is_next_shared(&mut self) -> bool {
        let is_shared = self.shared_left & 1 != 0;
        self.shared_left >>= 1;
        is_shared
    }

    /// Checks that every argument was taken.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn end_of_arguments(&mut self) -> Result<(), TaskAbort> {
        failpoints::reached(Point::Decoded);
        self.stage = RunningCode::Function;
        if self.has_grants {
            shared::close_table();
        }
        self.arguments.end().map_err(|error| TaskAbort::Decode(CodecError::new(format!("the arguments: {error}"))))?;
        if let Some(on_decoded) = self.on_decoded {
            on_decoded();
        }
        Ok(())
    }

    /// Writes the output.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn output<T: Serialize>(&mut self, output: &T) -> Result<(), TaskAbort> {
        failpoints::reached(Point::Returned);
        self.stage = RunningCode::Output;
        let encoded = self.results.value(output);
        self.stage = RunningCode::Function;
        encoded.or_else(|error| self.unsent(&error))
    }

    /// Returns the error of an output that did not encode: none, where the output stays here.
    #[cold]
    fn unsent(&self, error: &CodecError) -> Result<(), TaskAbort> {
        if self.drops_output { Ok(()) } else { Err(TaskAbort::Encode(CodecError::new(format!("the result: {error}")))) }
    }
}

/// Ends this process, with word of why: the parent must not read what a part that is left could still write.
#[cold]
fn end_with_parts() {
    if shared::is_in_own_task() {
        // The part is that of the task around this one, whose worker this process is.
        return;
    }
    let _ = std::panic::catch_unwind(|| {
        panic!(
            "a part of a SharedSliceMut outlived its task: drop it before the task returns, and do not keep or leak it \
             (static, thread, mem::forget)"
        )
    });
    std::process::abort()
}

#[cold]
fn wrong_argument(name: &str, error: &CodecError) -> TaskAbort {
    TaskAbort::Decode(CodecError::new(format!("argument `{name}`: {error}")))
}
