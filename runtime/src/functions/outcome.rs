//! The outcome of a task, out of the record that its worker wrote: the output, or why there is none.

use super::function::WorkerFn;
use super::returned::decode_failure;
use crate::codec::{Decoder, DirectOutput, NewDirect, direct_output};
use crate::error::{CodecError, Printed, TaskErrorKind};
use crate::foreign::{self, Panic};
use crate::output;
use crate::task::Output;
use crate::wire::{PanicNote, Records, Status, Violation};

/// Why there is no output.
pub(crate) enum NoOutput {
    Task(TaskErrorKind),
    Violation(Violation),
}

/// Reads an output.
#[inline]
pub(crate) fn decode_output<F: WorkerFn>(output: &[u8]) -> Result<F::Output, NoOutput> {
    let mut decoder = Decoder::new(output);
    match foreign::run(|| F::__decode_output(&mut decoder).and_then(|value| decoder.end().map(|()| value))) {
        Ok(decoded) => decoded.map_err(|error| not_decoded(&error)),
        Err(panic) => Err(deserialize_panicked(&panic)),
    }
}

/// How room is made for a large output of this function, if that goes into its own memory. Where output is captured, what the task has
/// printed follows the output in its record, so none does.
pub(crate) fn new_direct<F: WorkerFn>(output: Output) -> Option<NewDirect> {
    if output == Output::Captured { None } else { direct_output::<F::Output>() }
}

/// Takes an output that has come into its own memory.
#[cold]
pub(crate) fn take_direct<F: WorkerFn>(output: Box<dyn DirectOutput>) -> Result<F::Output, NoOutput> {
    let value = output.finish().map_err(|error| not_decoded(&error))?;
    let value = value.downcast().map_err(|_| NoOutput::Violation(Violation::new("a result of another type")))?;
    Ok(*value)
}

#[cold]
fn not_decoded(error: &CodecError) -> NoOutput {
    NoOutput::Task(TaskErrorKind::Decode(CodecError::new(format!("the result: {error}"))))
}

/// Returns the error for a panic in the Deserialize of an output, in this process.
#[cold]
pub(crate) fn deserialize_panicked(panic: &Panic) -> NoOutput {
    not_decoded(&CodecError::new(format!("its Deserialize panicked: {panic}")))
}

/// Returns the error for a panic in the Serialize of an argument, in this process.
#[cold]
pub(crate) fn serialize_panicked(panic: &Panic) -> CodecError {
    CodecError::new(format!("the Serialize of an argument panicked: {panic}"))
}

/// Why the one task of some records has no output; none if it has one. Where what it has printed is captured, that is left out.
pub(crate) fn failure(mut records: Records, output: Output) -> Option<TaskErrorKind> {
    match records.next().and_then(|(status, payload)| match status {
        Status::Output => Ok(None),
        status => match failed::<()>(status, without_captured(payload, output)?) {
            Err(NoOutput::Task(kind)) => Ok(Some(kind)),
            Err(NoOutput::Violation(violation)) => Err(violation),
            Ok(()) => Ok(None),
        },
    }) {
        Ok(kind) => kind,
        Err(Violation(what)) => {
            let note = Some(format!("it broke the protocol: {what}"));
            Some(TaskErrorKind::Crashed { signal: None, exit_code: None, note })
        }
    }
}

/// A record's payload, without what its task has printed.
fn without_captured(payload: &[u8], output: Output) -> Result<&[u8], Violation> {
    match output {
        Output::Captured => Ok(output::split(payload)?.0),
        Output::Inherited | Output::Tagged => Ok(payload),
    }
}

/// Takes the next result, also where it is no output in one piece.
#[cold]
#[inline(never)]
pub(crate) fn take_outcome<F: WorkerFn>(records: &mut Records) -> Result<F::Output, NoOutput> {
    let (status, payload) = records.next().map_err(NoOutput::Violation)?;
    outcome::<F>(status, payload)
}

/// Takes the next result, behind which stands what its task has printed.
pub(crate) fn take_captured<F: WorkerFn>(records: &mut Records) -> (Result<F::Output, NoOutput>, Printed) {
    let taken = records.next().and_then(|(status, payload)| {
        let (payload, printed) = output::split(payload)?;
        Ok((outcome::<F>(status, payload), printed))
    });
    taken.unwrap_or_else(|violation| (Err(NoOutput::Violation(violation)), Printed::default()))
}

/// Takes the next result, and what its task has printed where that is captured.
pub(crate) fn take_printed<F: WorkerFn>(
    records: &mut Records,
    output: Output,
) -> (Result<F::Output, NoOutput>, Option<Box<Printed>>) {
    match output {
        Output::Captured => {
            let (outcome, printed) = take_captured::<F>(records);
            (outcome, Some(Box::new(printed)))
        }
        Output::Inherited | Output::Tagged => (take_outcome::<F>(records), None),
    }
}

fn outcome<F: WorkerFn>(status: Status, payload: &[u8]) -> Result<F::Output, NoOutput> {
    match status {
        Status::Output => decode_output::<F>(payload),
        status => failed(status, payload),
    }
}

#[cold]
fn failed<T>(status: Status, payload: &[u8]) -> Result<T, NoOutput> {
    let text = || CodecError::new(String::from_utf8_lossy(payload));
    let kind = match status {
        Status::Failure => decode_failure(payload)
            .map(TaskErrorKind::Failed)
            .map_err(|error| NoOutput::Violation(Violation::new(format!("a returned error: {error}"))))?,
        Status::Decode => TaskErrorKind::Decode(text()),
        Status::Panic => {
            let note = PanicNote::decode(payload).map_err(NoOutput::Violation)?;
            TaskErrorKind::Panicked { message: note.message, location: note.location, backtrace: note.backtrace }
        }
        Status::Encode => TaskErrorKind::Encode(text()),
        Status::Output | Status::NotRun => {
            return Err(NoOutput::Violation(Violation::new("a task was not begun, and its call goes on")));
        }
    };
    Err(NoOutput::Task(kind))
}
