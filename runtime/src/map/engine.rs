//! The lazy engine behind every map: reads the iterators as far as the window allows, encodes rows into chunks, and decodes
//! results, all on the calling thread.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::columns::{Columns, Length};
use super::rows::{Row, Rows};
use crate::codec::{Decoder, Encoder};
use crate::error::{CodecError, Error, Kind, Result, TaskError, TaskErrorKind};
use crate::pool::{CallFailure, CallId, Running, Shared, Step};
use crate::registry::WorkerFn;
use crate::task::{Done, Outcome};
use crate::wire::{Chunk, OVERHEAD_BYTES};

/// The default window, in tasks.
const WINDOW: usize = 1 << 16;
/// Arguments and results that are held for a call. It goes on beyond that with one task for each worker, so that a single
/// large value never stops it.
const WINDOW_BYTES: usize = 64 << 20;
/// A chunk is sent when it has so many bytes, whatever its number of tasks.
const CHUNK_BYTES: usize = 1 << 20;
/// A chunk is sent when it has taken so long to read: items that come slowly do not wait for each other.
const READ_TIME: Duration = Duration::from_micros(500);
/// While results are at hand, the workers are looked after this often.
const TOP_UP_INTERVAL: Duration = Duration::from_micros(200);

/// The options of a map.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub(super) chunk_size: Option<usize>,
    pub(super) window: Option<usize>,
    pub(super) shortest: bool,
    pub(super) finish_running: bool,
}

/// When a failure of the call as a whole, such as iterators that do not end together, is reported.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    /// As soon as it is known.
    Now,
    /// After the results of what was read before.
    AfterResults,
}

/// What became of one task, and its index.
pub(super) type Indexed<T> = (usize, Result<T, TaskError>);

/// A map that is running.
pub(super) struct Engine<F: WorkerFn, A> {
    shared: Arc<Shared>,
    call: CallId,
    rows: Rows<A>,
    options: Options,
    window: usize,
    /// Tasks that have their outcome, not yet given out.
    ready: VecDeque<Done>,
    /// Tasks read, and not yet yielded.
    outstanding: usize,
    /// The bytes of their arguments and results.
    outstanding_bytes: usize,
    failure: Option<Error>,
    /// The call has failed as a whole: what has no outcome gets none any more.
    has_failed: bool,
    /// An iterator, a Serialize or a Deserialize of the program's is running, or has panicked.
    in_foreign_code: bool,
    /// The last chunk took long to read.
    slow_input: bool,
    last_step: Instant,
    function: PhantomData<fn() -> F>,
}

impl<F: WorkerFn, A: Columns> Engine<F, A> {
    /// Checks the options and the lengths, and opens the call.
    pub(super) fn new(shared: Arc<Shared>, columns: A, options: Options) -> Result<Self> {
        for (option, value) in [("chunk_size", options.chunk_size), ("window", options.window)] {
            if value == Some(0) {
                return Err(Error::invalid_option(format!(
                    "{option} = 0 allows no task at all: give it 1 or more, or leave it out",
                )));
            }
        }
        let rows = Rows::new(columns, F::__registration(), options.shortest)?;
        let call = shared.open(options.chunk_size)?;
        Ok(Self {
            shared,
            call,
            rows,
            window: options.window.unwrap_or(WINDOW),
            options,
            ready: VecDeque::new(),
            outstanding: 0,
            outstanding_bytes: 0,
            failure: None,
            has_failed: false,
            in_foreign_code: false,
            slow_input: false,
            last_step: Instant::now(),
            function: PhantomData,
        })
    }

    /// How many tasks there will be, if that is known.
    pub(super) fn length(&self) -> Length {
        self.rows.length()
    }

    /// The next task that has its outcome, in any order; none after the last. It counts against the window until
    /// [`yielded`](Self::yielded) is called with its bytes.
    pub(super) fn next(&mut self, late: Late) -> Result<Option<(Indexed<F::Output>, usize)>> {
        // An iterator, a Serialize or a Deserialize that panics leaves its task without an outcome: the map ends there.
        if std::mem::replace(&mut self.in_foreign_code, true) {
            return Ok(None);
        }
        let next = self.advance(late);
        self.in_foreign_code = false;
        next
    }

    fn advance(&mut self, late: Late) -> Result<Option<(Indexed<F::Output>, usize)>> {
        loop {
            if late == Late::Now
                && let Some(failure) = self.failure.take()
            {
                return Err(failure);
            }
            if let Some(done) = self.ready.pop_front() {
                if late == Late::AfterResults && self.last_step.elapsed() > TOP_UP_INTERVAL {
                    self.top_up();
                }
                return Ok(Some(self.decode(done)));
            }
            if self.has_failed || (self.outstanding == 0 && self.rows.is_at_end()) {
                return match self.failure.take() {
                    Some(failure) => Err(failure),
                    None => Ok(None),
                };
            }
            let reads = self.reads();
            let step = self.shared.step(self.call, reads, self.rows.left());
            self.take_in(step);
        }
    }

    /// The next task that has its outcome, which is yielded at once.
    pub(super) fn next_any(&mut self, late: Late) -> Result<Option<Indexed<F::Output>>> {
        let next = self.next(late)?;
        Ok(next.map(|(indexed, bytes)| {
            self.yielded(bytes);
            indexed
        }))
    }

    /// A task, of so many bytes, has been yielded.
    pub(super) fn yielded(&mut self, bytes: usize) {
        self.outstanding -= 1;
        self.outstanding_bytes -= bytes;
    }

    /// Whether another task may be read.
    fn reads(&self) -> bool {
        !self.rows.is_at_end()
            && self.outstanding < self.window
            && (self.outstanding_bytes < WINDOW_BYTES || self.outstanding < self.shared.workers())
    }

    /// Looks after the workers while results are at hand, so that a caller who takes long over each does not stop them.
    fn top_up(&mut self) {
        let reads = self.reads() && !self.slow_input;
        let step = self.shared.try_step(self.call, reads, self.rows.left());
        self.take_in(step);
    }

    fn take_in(&mut self, step: Result<Step, CallFailure>) {
        let step = match step {
            Ok(step) => step,
            Err(failure) => {
                self.rows.end();
                self.has_failed = true;
                self.failure = Some(Error::new(match failure {
                    CallFailure::Start(failure) => Kind::Start(failure),
                    CallFailure::PoolClosed => Kind::Closed,
                }));
                return;
            }
        };
        self.outstanding_bytes += step.done.iter().map(|done| done.result_bytes).sum::<usize>();
        let at_hand = !step.done.is_empty();
        self.ready.extend(step.done);
        // Results do not wait for an input that is slow.
        if let Some(tasks) = step.wanted.filter(|_| !(at_hand && self.slow_input)) {
            self.read_chunk(tasks);
        }
        self.last_step = Instant::now();
    }

    /// Reads up to so many rows, and sends them.
    fn read_chunk(&mut self, tasks: usize) {
        let started = Instant::now();
        let most = tasks.min(self.window - self.outstanding);
        let mut chunk = self.new_chunk();
        let mut looked_at = 1;
        for read in 1..=most {
            match self.rows.pull() {
                Ok(Row::Whole) => self.add_task(&mut chunk),
                Ok(Row::End) => break,
                Err(mismatch) => {
                    self.failure = Some(mismatch);
                    break;
                }
            }
            // The clock is asked at 1, 2, 4, … tasks: a late look is late by no more than what was read before.
            if read == looked_at {
                looked_at *= 2;
                if started.elapsed() > READ_TIME {
                    break;
                }
            }
            let held = self.outstanding_bytes >= WINDOW_BYTES;
            if chunk.bytes() >= CHUNK_BYTES || held {
                break;
            }
        }
        self.slow_input = started.elapsed() > READ_TIME;
        self.send(chunk);
    }

    /// Encodes the row that was pulled, as the chunk's next task.
    fn add_task(&mut self, chunk: &mut Chunk) {
        let bytes_max = self.shared.frame_bytes_max() - OVERHEAD_BYTES;
        let rows = &mut self.rows;
        let encoded = chunk.push(|buffer| rows.encode(&mut Encoder::new(buffer, bytes_max)));
        self.outstanding += 1;
        match encoded {
            Ok(()) => {
                let last = chunk.len() - 1;
                self.outstanding_bytes += chunk.argument_bytes(last);
                if last > 0 && chunk.bytes() > bytes_max {
                    let rest = chunk.split_off(last);
                    let whole = std::mem::replace(chunk, rest);
                    self.send(whole);
                }
            }
            Err(error) => {
                let index = self.rows.pulled() - 1;
                self.ready.push_back(not_encoded(index, error));
                // The indices of a chunk follow one another, so the next task begins another chunk.
                let next = self.new_chunk();
                let whole = std::mem::replace(chunk, next);
                self.send(whole);
            }
        }
    }

    /// A chunk that begins with the next row.
    fn new_chunk(&self) -> Chunk {
        Chunk::new(F::__registration().index(), FIRST_ATTEMPT, self.rows.pulled() as u64)
    }

    fn send(&self, chunk: Chunk) {
        if chunk.len() > 0 {
            self.shared.push(self.call, chunk);
        }
    }

    fn decode(&self, done: Done) -> (Indexed<F::Output>, usize) {
        let bytes = done.argument_bytes + done.result_bytes;
        let decoded = match done.outcome {
            Outcome::Output(output) => {
                let mut decoder = Decoder::new(&output);
                F::__decode_output(&mut decoder)
                    .and_then(|value| decoder.end().map(|()| value))
                    .map_err(|error| TaskErrorKind::Decode(CodecError::new(format!("the result: {error}"))))
            }
            Outcome::Error(kind) => Err(kind),
        };
        let outcome = decoded.map_err(|kind| {
            TaskError::new(done.index, F::__registration().path(), done.attempts, done.worker_pid, kind)
        });
        ((done.index, outcome), bytes)
    }
}

const FIRST_ATTEMPT: u32 = 1;

fn not_encoded(index: usize, error: CodecError) -> Done {
    Done {
        index,
        outcome: Outcome::Error(TaskErrorKind::Encode(error)),
        attempts: 0,
        worker_pid: None,
        argument_bytes: 0,
        result_bytes: 0,
    }
}

impl<F: WorkerFn, A> Drop for Engine<F, A> {
    fn drop(&mut self) {
        let running = if self.options.finish_running { Running::Finish } else { Running::Kill };
        self.shared.close(self.call, running);
    }
}
