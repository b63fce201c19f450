//! Tasks whose outputs are folded into one where they run, and the function that does it.
//!
//! 1. The tasks of a run share one output: it is in the place of the first one's, and the others' are empty.
//! 2. None of them is finished before all are, so whoever looks sees all of them or none: when this process dies, no output of
//!    theirs is left, and the one that was begun last was running.
//! 3. A run ends after outputs of [`BYTES_MAX`] in all, as what they are folded into may be as large as they are together.
//! 4. A run ends before the first task that is not to be run, if there are outputs.
//! 5. A run ends with the first task that gives no output: those before it have empty ones, those behind it are not begun.

use std::io::Write;
use std::marker::PhantomData;

use super::folding::{BYTES_MAX, FoldState};
use super::function::{Itself, WorkerFn};
use super::table::{Merge, Registration};
use super::task_phase::{RunningCode, TaskAbort};
use super::task_run::TaskCall;
use crate::codec::{Decoder, Encoder};
use crate::error::CodecError;
use crate::failpoints::{self, Point};
use crate::trace;
use crate::wire::{Status, Violation};

/// That of two outputs of `F`.
pub(crate) type MergeOf<F> = fn(<F as WorkerFn>::Output, <F as WorkerFn>::Output) -> <F as WorkerFn>::Output;

/// Stands behind the output of a run: an output may have no bytes.
const MARK: &[u8] = &[1];

/// Runs every task that is left, and folds their outputs. It is in the table of worker functions, compiled for each.
pub fn fold_tasks<F: WorkerFn>(call: &mut TaskCall<'_>, merge: Merge) {
    let Some(merge) = merge.downcast_ref::<MergeOf<F>>() else {
        return call.refuse(Violation::new("a chunk's outputs are folded by a function of other values"));
    };
    let mut folded = None;
    while call.begin() {
        match F::__run(call).and_then(|()| call.take_output::<F>()) {
            Ok(output) => {
                folded = Some(match folded.take() {
                    Some(before) => merge(before, output),
                    None => output,
                });
                if call.end_folded() == Next::Close {
                    break;
                }
            }
            Err(stop) => call.end(Err(stop)),
        }
    }
    if let Some(folded) = folded {
        call.close_fold::<F>(&folded);
    }
}

/// The next step after a task.
#[derive(PartialEq, Eq)]
enum Next {
    Task,
    Close,
}

impl TaskCall<'_> {
    /// The outputs are folded.
    pub(crate) fn fold(&mut self) {
        let flushes = self.look_at_each_end();
        self.folding = Some(Box::new(FoldState { flushes, ..FoldState::default() }));
    }

    /// Whether no other output is to be folded into that of the run.
    pub(crate) fn is_folded(&self) -> bool {
        self.folding.as_ref().is_some_and(|folding| folding.is_full())
    }

    /// Ends the run before a task that is not to be run, if there are outputs; returns whether there are.
    #[cold]
    pub(super) fn cut_fold(&mut self) -> bool {
        match &mut self.folding {
            Some(folding) if folding.outputs > 0 && folding.stopped.is_none() => {
                folding.is_cut = true;
                true
            }
            _ => false,
        }
    }

    /// Ends a task whose output is folded.
    #[inline]
    fn end_folded(&mut self) -> Next {
        let bytes = self.written().len();
        self.forget_written();
        Self::leave_task();
        trace::end_task();
        self.progress.count.tasks = self.progress.count.tasks.wrapping_add(1);
        self.clock_end();
        let Some(folding) = &mut self.folding else {
            return Next::Close;
        };
        if folding.flushes {
            let _ = std::io::stdout().flush();
        }
        folding.outputs += 1;
        folding.bytes += bytes;
        failpoints::reached(Point::Folded);
        if folding.is_full() { Next::Close } else { Next::Task }
    }

    /// Takes the output of the task that is running, which it has written.
    fn take_output<F: WorkerFn>(&mut self) -> Result<F::Output, TaskAbort> {
        self.enter(RunningCode::Folded);
        let mut decoder = Decoder::new(self.written());
        let decoded = F::__decode_output(&mut decoder).and_then(|output| decoder.end().map(|()| output));
        self.enter(RunningCode::Function);
        decoded.map_err(|error| TaskAbort::Decode(CodecError::new(format!("the result: {error}"))))
    }

    /// Ends a task without an output, and with it the run.
    #[cold]
    pub(super) fn stop_fold(&mut self, status: Status) {
        // The folded values are dropped behind the first of them, and may panic there.
        if self.folding.as_ref().is_some_and(|folding| folding.stopped.is_some()) {
            return;
        }
        let bytes = self.written().to_vec();
        self.forget_written();
        let not_begun = self.skip_rest();
        self.not_run(not_begun);
        // The output of all is written behind the end of the last, which was counted.
        if status != Status::NotRun && self.folding.as_ref().is_some_and(|folding| !folding.is_closing) {
            self.clock_end();
        }
        let Some(folding) = &mut self.folding else {
            return;
        };
        if folding.is_closing {
            // The output of them all could not be written: the last has this in its place.
            folding.outputs -= 1;
            self.progress.count.tasks = self.progress.count.tasks.wrapping_sub(1);
        }
        folding.not_begun = not_begun;
        folding.stopped = Some((status, bytes));
    }

    /// Writes the output of the run.
    fn close_fold<F: WorkerFn>(&mut self, folded: &F::Output) {
        match &mut self.folding {
            Some(folding) if folding.stopped.is_none() => folding.is_closing = true,
            _ => return,
        }
        self.begin_result();
        // Each of them was within the limit.
        self.allow_more(BYTES_MAX);
        match F::__encode_output(folded, self) {
            Ok(()) => {
                let output = [self.written(), MARK].concat();
                if let Some(folding) = &mut self.folding {
                    folding.output = output;
                }
            }
            Err(stop) => self.end(Err(stop)),
        }
    }
}

/// The worker function `F`, whose outputs are folded: a run's first task gives what they are folded into, and the others nothing.
pub(crate) struct Folded<F>(PhantomData<fn() -> F>);

impl<F: WorkerFn> Itself for Folded<F> {
    type Type = Self;

    fn itself(self) -> Self {
        self
    }
}

impl<F: WorkerFn> WorkerFn for Folded<F> {
    type Output = Option<F::Output>;

    fn __registration() -> &'static Registration {
        F::__registration()
    }

    fn __encode(&self, _encoder: &mut Encoder<'_>) -> Result<(), CodecError> {
        Ok(())
    }

    fn __run(call: &mut TaskCall<'_>) -> Result<(), TaskAbort> {
        F::__run(call)
    }

    fn __encode_output(_output: &Self::Output, _call: &mut TaskCall<'_>) -> Result<(), TaskAbort> {
        Ok(())
    }

    fn __decode_output(decoder: &mut Decoder<'_>) -> Result<Self::Output, CodecError> {
        if decoder.is_at_end() {
            return Ok(None);
        }
        let folded = F::__decode_output(decoder)?;
        decoder.value::<u8>()?;
        Ok(Some(folded))
    }
}
