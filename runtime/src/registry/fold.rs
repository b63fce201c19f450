//! Tasks whose outputs are folded into one where they run, and the function that does it.
//!
//! 1. The tasks of a run share one output: it stands in the place of the first one's, and the others' are empty.
//! 2. None of them is finished before all are, so whoever looks sees all of them or none: when this process dies, no output of
//!    theirs is left, and the one that was begun last was running.
//! 3. A run ends after outputs of [`BYTES_MAX`] in all, as what they are folded into may be as large as they are together.
//! 4. A run ends with the first task that gives no output: those before it have empty ones, those behind it are not begun.

use std::any::Any;
use std::marker::PhantomData;

use super::call::{Stop, TaskCall};
use super::function::WorkerFn;
use super::table::Registration;
use crate::codec::{Decoder, Encoder};
use crate::error::CodecError;
use crate::wire::{Status, Violation};

/// A function that makes one output of two, `fn(T, T) -> T` of some `T`.
pub type Merge = &'static (dyn Any + Send + Sync);

/// That of two outputs of `F`.
pub(crate) type MergeOf<F> = fn(<F as WorkerFn>::Output, <F as WorkerFn>::Output) -> <F as WorkerFn>::Output;

/// No more bytes of outputs are folded into one, but for those of the last.
const BYTES_MAX: usize = 1 << 20;

/// Stands behind the output of a run: an output may have no bytes.
const MARK: &[u8] = &[1];

/// What has become of a run so far.
#[derive(Default)]
pub(super) struct Folding {
    /// The tasks that have ended.
    pub(super) ended: u32,
    /// Those among them that are not begun.
    not_begun: u32,
    /// The bytes of their outputs.
    bytes: usize,
    /// The tasks are over, and their output is being written.
    is_closing: bool,
    /// The task that ended last of those that were begun has no output: what it has.
    stopped: Option<(Status, Vec<u8>)>,
    output: Vec<u8>,
}

/// A result that is to be brought to its place, and the empty ones around it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outgrown {
    pub(crate) status: Status,
    pub(crate) bytes: Vec<u8>,
    pub(crate) before: u32,
    pub(crate) behind: u32,
}

impl Outgrown {
    pub(super) fn alone(status: Status, bytes: Vec<u8>) -> Self {
        Self { status, bytes, before: 0, behind: 0 }
    }

    /// What the results behind it are.
    pub(crate) fn status_behind(&self) -> Status {
        if self.status == Status::Output { Status::Output } else { Status::NotRun }
    }
}

/// Runs every task that is left, and folds their outputs. It stands in the table of worker functions, compiled for each.
pub fn fold_tasks<F: WorkerFn>(call: &mut TaskCall<'_>, merge: Merge) {
    let Some(merge) = merge.downcast_ref::<MergeOf<F>>() else {
        return call.refuse(Violation::new("a chunk's outputs are folded by a function of other values"));
    };
    let mut folded = None;
    while !call.is_over() && call.begin() {
        match F::__run(call).and_then(|()| call.take_output::<F>()) {
            Ok(output) => {
                folded = Some(match folded.take() {
                    Some(before) => merge(before, output),
                    None => output,
                });
                call.end(Ok(()));
            }
            Err(stop) => call.end(Err(stop)),
        }
    }
    if let Some(folded) = folded {
        call.close_fold::<F>(&folded);
    }
}

impl TaskCall<'_> {
    /// The outputs are folded.
    pub(crate) fn fold(&mut self) {
        self.folding = Some(Box::default());
        self.look_at_each_end();
    }

    /// Takes the output of the task that is running, which it has written.
    fn take_output<F: WorkerFn>(&mut self) -> Result<F::Output, Stop> {
        let written = self.written();
        let (bytes, mut decoder) = (written.len(), Decoder::new(written));
        F::__decode_output(&mut decoder)
            .and_then(|output| decoder.end().map(|()| output))
            .inspect(|_| self.folding.iter_mut().for_each(|folding| folding.bytes += bytes))
            .map_err(|error| Stop::Decode(CodecError::new(format!("the result: {error}"))))
    }

    /// Ends a task. What is written of it goes, if it is no output to where it waits for the end of the run.
    #[cold]
    pub(super) fn end_in_fold(&mut self, status: Status) {
        let bytes = if status == Status::Output { Vec::new() } else { self.written().to_vec() };
        self.forget_written();
        let not_begun = if status == Status::Output { 0 } else { self.skip_rest() };
        let Some(folding) = &mut self.folding else {
            return;
        };
        if folding.is_closing {
            // The output of them all could not be written: the last has this result.
            folding.is_closing = false;
            self.progress.count.tasks = self.progress.count.tasks.wrapping_sub(1);
        } else {
            folding.ended += 1;
        }
        if status != Status::Output {
            folding.stopped = Some((status, bytes));
            folding.not_begun = not_begun;
        }
    }

    /// Writes the output of the run.
    fn close_fold<F: WorkerFn>(&mut self, folded: &F::Output) {
        match &mut self.folding {
            Some(folding) if folding.stopped.is_none() => folding.is_closing = true,
            _ => return,
        }
        self.begin_result();
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

impl Folding {
    /// Whether nothing more is to be folded.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= BYTES_MAX
    }

    /// The results of the run.
    pub(super) fn into_outgrown(self) -> Outgrown {
        match self.stopped {
            None => {
                Outgrown { status: Status::Output, bytes: self.output, before: 0, behind: self.ended.saturating_sub(1) }
            }
            Some((status, bytes)) => {
                Outgrown { status, bytes, before: self.ended.saturating_sub(1), behind: self.not_begun }
            }
        }
    }
}

/// The worker function `F`, whose outputs are folded: a run's first task gives what they are folded into, and the others nothing.
pub(crate) struct Folded<F>(PhantomData<fn() -> F>);

impl<F: WorkerFn> WorkerFn for Folded<F> {
    type Output = Option<F::Output>;

    fn __registration() -> &'static Registration {
        F::__registration()
    }

    fn __encode(&self, _encoder: &mut Encoder<'_>) -> Result<(), CodecError> {
        Ok(())
    }

    fn __run(call: &mut TaskCall<'_>) -> Result<(), Stop> {
        F::__run(call)
    }

    fn __encode_output(_output: &Self::Output, _call: &mut TaskCall<'_>) -> Result<(), Stop> {
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
