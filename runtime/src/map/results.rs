//! The outcomes of some tasks, as they came from a worker, decoded one by one on the calling thread.
//!
//! A Deserialize is the program's code, and may panic: that is the error of its task. To catch it takes a nanosecond or two and
//! keeps the loop from being one, so many outputs are caught at once, and the panic is known to be of the next.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::codec::{Decoder, number_bytes};
use crate::error::{FailedArguments, NativeBacktrace, Printed, TaskError, TaskErrorKind};
use crate::foreign::Panic;
use crate::functions::{
    NoOutput, Registration, WorkerFn, decode_output, deserialize_panicked, failed_arguments, take_captured,
    take_direct, take_outcome,
};
use crate::shared::open_outputs;
use crate::sys;
use crate::task::{Output, WorkerIdentity};
use crate::trace;
use crate::transport::Chunk;
use crate::transport::{CompletedTasks, Outcomes, TaskArguments};
use crate::wire::Violation;

/// The outcome of one task, and its index.
pub(super) type Indexed<T> = (usize, Result<T, TaskError>);

/// Outcomes, to be taken one by one.
pub(super) struct ResultDecoder {
    next_index: usize,
    left: usize,
    outcomes: Outcomes,
    /// The printed output of each task is behind its result.
    is_captured: bool,
    attempts: u32,
    earlier: Vec<TaskErrorKind>,
    worker: Option<WorkerIdentity>,
    /// The bytes of the arguments of each task, and those that are left over.
    argument_bytes: usize,
    argument_bytes_over: usize,
    fault: Option<String>,
    /// The next output was being decoded, and its Deserialize panicked.
    panic: Option<Panic>,
    /// The output that the last task printed, where output is captured.
    printed: Option<Box<Printed>>,
    native: Option<NativeBacktrace>,
    /// The chunk of the tasks, while those that fail may be executed again.
    chunk: Option<Chunk>,
    /// The deadline of the call ended the tasks.
    is_late: bool,
    /// The arguments of the tasks, where one may have failed.
    arguments: Option<Box<TaskArguments>>,
}

impl ResultDecoder {
    /// Outcomes of workers that print in this way.
    pub(super) fn new(done: CompletedTasks, output: Output) -> Self {
        Self {
            next_index: done.first_index,
            left: done.count,
            outcomes: done.outcomes,
            is_captured: output == Output::Captured,
            attempts: done.attempts,
            earlier: done.earlier,
            worker: done.worker,
            argument_bytes: done.argument_bytes / done.count.max(1),
            argument_bytes_over: done.argument_bytes % done.count.max(1),
            fault: None,
            panic: None,
            printed: done.printed,
            native: done.native,
            chunk: None,
            is_late: done.is_late,
            arguments: done.arguments,
        }
    }

    /// The same, with the chunk that the tasks are of.
    pub(super) fn of_chunk(self, chunk: Option<Chunk>) -> Self {
        Self { chunk, ..self }
    }

    /// The same for results that wait for their turn: a buffer that is larger than they are is given back, and so are the arguments if
    /// all tasks have outputs.
    pub(super) fn waiting(mut self) -> (Self, Option<Vec<u8>>) {
        let buffer = match &mut self.outcomes {
            Outcomes::Records(records) => {
                self.arguments.take_if(|_| records.are_outputs());
                records.compact()
            }
            Outcomes::Error(_) => None,
        };
        (self, buffer)
    }

    /// The chunk that the tasks are of, while those that fail may be executed again.
    pub(super) fn chunk(&self) -> Option<&Chunk> {
        self.chunk.as_ref()
    }

    /// The index of the next outcome.
    pub(super) fn next_index(&self) -> usize {
        self.next_index
    }

    /// The number of next outputs, at least one, that take about this many bytes.
    pub(super) fn fitting(&self, bytes: usize) -> usize {
        let Outcomes::Records(records) = &self.outcomes else {
            return 1;
        };
        let each = records.bytes_left() / self.left.max(1);
        (bytes / each.max(1)).max(1)
    }

    /// How many are left.
    pub(super) fn len(&self) -> usize {
        self.left
    }

    /// Hands over the outputs that come next, `most` at most, up to the first task that has none in one piece; returns the bytes that
    /// they and their arguments took. It is [`next`](Self::next) for many, without what only a failed task needs.
    #[inline]
    pub(super) fn outputs<F: WorkerFn>(&mut self, most: usize, mut give: impl FnMut(F::Output)) -> usize {
        let Outcomes::Records(records) = &mut self.outcomes else {
            return 0;
        };
        // Memory that an output names is found once, and one that is refused here is decoded again.
        if self.is_captured || self.panic.is_some() || records.has_outputs() {
            return 0;
        }
        let number_bytes = number_bytes::<F::Output>();
        let (before, had) = (records.taken(), self.left);
        let (mut left, mut at, mut is_decoding) = (had, before, false);
        // The last is left to `next`, which also takes what should not be there.
        let stays = had.saturating_sub(most).max(1);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            if const { sys::may_be_number::<F::Output>() }
                && let Some(bytes) = number_bytes
            {
                let run = records.outputs_of(bytes, left.saturating_sub(stays));
                left -= run.len();
                run.map(|number| sys::number_from(number).expect("a number has its bytes")).for_each(&mut give);
            }
            while left > stays {
                at = records.taken();
                let Some(output) = records.next_output() else {
                    break;
                };
                let mut decoder = Decoder::new(output);
                is_decoding = true;
                match F::__decode_output(&mut decoder) {
                    Ok(output) if decoder.is_at_end() => {
                        is_decoding = false;
                        give(output);
                    }
                    // Its Drop is the program's code too, and a panic of it is that of the next.
                    refused => {
                        drop(refused);
                        records.back_to(at);
                        break;
                    }
                }
                left -= 1;
            }
        }));
        let count = had - left;
        self.left = left;
        self.next_index += count;
        match caught {
            Ok(()) => {}
            Err(payload) if is_decoding => {
                records.back_to(at);
                self.panic = Some(Panic::from_payload(payload));
            }
            // It is of the code that is given the outputs, which is the caller's.
            Err(payload) => resume_unwind(payload),
        }
        records.taken() - before + count * self.argument_bytes
    }

    /// The next outcome, and the bytes that it and its arguments took.
    #[inline]
    pub(super) fn next<F: WorkerFn>(&mut self) -> Option<(Indexed<F::Output>, usize)> {
        let (index, mut bytes) = self.begin_next()?;
        let _outputs = match &self.outcomes {
            Outcomes::Records(records) => records.outputs().map(open_outputs),
            Outcomes::Error(_) => None,
        };
        let outcome = match &mut self.outcomes {
            Outcomes::Records(records) if !self.is_captured => {
                let before = records.bytes_left();
                let outcome = if let Some(output) = records.take_direct() {
                    take_direct::<F>(output)
                } else {
                    match (records.next_output(), self.panic.take()) {
                        (Some(_), Some(panic)) => Err(deserialize_panicked(&panic)),
                        (Some(output), None) => decode_output::<F>(output),
                        (None, _) => take_outcome::<F>(records),
                    }
                };
                bytes += before - records.bytes_left();
                outcome
            }
            Outcomes::Records(records) => {
                let before = records.taken();
                let (outcome, printed) = take_captured::<F>(records);
                self.printed = Some(Box::new(printed));
                bytes += records.taken() - before;
                outcome
            }
            Outcomes::Error(kind) => Err(NoOutput::Task(kind.clone())),
        };
        let outcome = outcome.map_err(|reason| self.failed(index, reason, F::__registration()));
        if self.left == 0 {
            bytes += self.drop_rest();
        }
        Some(((index, outcome), bytes))
    }

    /// The index of the next outcome, and the bytes that its arguments took.
    #[inline]
    fn begin_next(&mut self) -> Option<(usize, usize)> {
        self.left = self.left.checked_sub(1)?;
        let index = self.next_index;
        self.next_index += 1;
        Some((index, self.argument_bytes + std::mem::take(&mut self.argument_bytes_over)))
    }

    /// Drops what stands behind the last outcome; returns its bytes.
    fn drop_rest(&mut self) -> usize {
        match &mut self.outcomes {
            Outcomes::Records(records) => records.drop_rest(),
            Outcomes::Error(_) => 0,
        }
    }

    /// The error of a task that has no output.
    #[cold]
    fn failed(&mut self, index: usize, reason: NoOutput, function: &'static Registration) -> TaskError {
        let kind = match reason {
            NoOutput::Task(kind) => kind,
            NoOutput::Violation(violation) => self.broken(violation),
        };
        let pid = self.worker.map(|worker| worker.pid);
        let error = TaskError::new(index, function.path(), self.attempts, pid, kind)
            .after(std::mem::take(&mut self.earlier))
            .printed(self.printed.clone())
            .at(self.native.clone())
            .late(self.is_late)
            .with_arguments(self.arguments_of(index, function));
        // One that may be executed again has not died yet.
        let error = if self.chunk.is_none() { self.save(error) } else { error };
        trace::task_failed(&error);
        error
    }

    /// Saves a task that failed, where it is to be saved.
    #[cold]
    pub(super) fn save(&mut self, error: TaskError) -> TaskError {
        let (index, attempts) = (error.index(), error.attempts());
        // The program has ended it, or it never began: there is nothing to look for in it.
        if attempts == 0 || matches!(error.kind(), TaskErrorKind::Cancelled) {
            return error;
        }
        let saved = self.arguments.as_mut().and_then(|tasks| tasks.save(index, attempts, format_args!("{error:#}")));
        error.saved(saved)
    }

    /// The arguments of a task that failed.
    #[cold]
    fn arguments_of(&mut self, index: usize, function: &'static Registration) -> Option<FailedArguments> {
        let arguments = self.arguments.as_mut()?;
        let shared = arguments.shared();
        arguments.of_task(index).map(|bytes| failed_arguments(function, bytes, shared))
    }

    /// The output that the last task printed, where output is captured.
    pub(super) fn take_printed(&mut self) -> Option<Box<Printed>> {
        self.printed.take()
    }

    /// Returns the violation in the results, and the worker that wrote them.
    pub(super) fn fault(&mut self) -> Option<(WorkerIdentity, String)> {
        Some((self.worker?, self.fault.take()?))
    }

    /// The buffer that the results are in.
    pub(super) fn into_buffer(self) -> Option<Vec<u8>> {
        match self.outcomes {
            Outcomes::Records(records) => Some(records.into_buffer()),
            Outcomes::Error(_) => None,
        }
    }

    #[cold]
    fn broken(&mut self, violation: Violation) -> TaskErrorKind {
        let what = format!("it broke the protocol: {}", violation.0);
        self.fault = Some(what.clone());
        let note = Some(format!("{what}, so it was killed"));
        TaskErrorKind::Crashed { signal: None, exit_code: None, note }
    }
}
