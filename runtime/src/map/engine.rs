//! The lazy engine behind every map: reads the iterators as far as the window allows, encodes rows into chunks, and hands out
//! results, all on the calling thread.
//!
//! A program has many maps, and what is generic is compiled for each. So the engine knows no type of a map: what it has to know of the
//! function is a [`MapFunction`], and rows are pulled and encoded many at once behind [`Input`]. The types are those of a
//! [`TypedEngine`], which has both.

mod batch;
mod expiry;
mod function;
mod input;
mod journal;
mod recorded;
mod retry;
mod rows;
mod shown;
mod taking;
mod typed;
mod wait;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::function::MapFunction;
pub(super) use self::input::Input;
use self::input::StagingBuffer;
use self::journal::Journaled;
use self::retry::Retries;
pub(super) use self::typed::{Running, TypedEngine};
#[cfg(feature = "stream")]
pub(super) use self::wait::Polls;
pub(super) use self::wait::{Blocks, PollNext, WaitMode};
use super::columns::Length;
use super::failed_tasks::failed_tasks;
use super::options::Options;
use super::results::{Indexed, ResultDecoder};
use super::zip::Rows;
use crate::cluster::serving_nodes;
use crate::error::{Error, Kind, Result, TaskErrorKind};
use crate::pool::{CallFailure, CallId, CallRules, Consumer, Pool, PoolShared, Step};
use crate::progress::{CountNodes, Ended, Shown};
use crate::recording::Recorder;
use crate::replay::FailedTasks;
use crate::task::Output;
use crate::trace::{self, CallLog};
use crate::transport::{Chunk, Sharing};
use crate::transport::{CompletedTasks, Outcomes};
use batch::FIRST_ATTEMPT;

/// The default window, in tasks.
const WINDOW: usize = 1 << 16;
/// Arguments and results that are held for a call. It goes on beyond that with one task for each worker, so that a single
/// large value never stops it.
const WINDOW_BYTES: usize = 64 << 20;
/// While results are at hand, the workers are looked after this often.
const TOP_UP_INTERVAL: Duration = Duration::from_micros(200);
/// The clock is asked at so many results, and at fewer at first.
const LOOK_TASKS: u32 = 64;

/// When a failure of the call as a whole, such as iterators that do not end together, is reported.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorTiming {
    /// As soon as it is known.
    Now,
    /// After the results of what was read before.
    AfterResults,
}

/// A map that is running, whatever its types are.
pub(super) struct Engine {
    function: MapFunction,
    shared: Arc<PoolShared>,
    /// The global pool, until it is started for the first task: what has none starts nothing.
    unstarted: Option<&'static Pool>,
    call: CallId,
    rows: Rows,
    options: Options,
    window: usize,
    /// When the call's time is over, and what it was.
    deadline: Option<(Instant, Duration)>,
    consumer: Consumer,
    /// Tasks that have their outcome, not yet given out.
    ready: VecDeque<ResultDecoder>,
    /// The arguments of tasks that may fail, if they are to be executed again.
    again: Option<Retries>,
    /// Outputs of an earlier run of the program, if there is a file for them.
    journal: Option<Box<Journaled>>,
    /// What its tasks are recorded by, if they are.
    recorder: Option<Box<Recorder>>,
    /// Where tasks that fail are saved.
    save: Option<Arc<FailedTasks>>,
    /// The listener to its tasks' logs.
    log: CallLog,
    /// Tasks read, and not yet yielded.
    outstanding: usize,
    /// The bytes of their arguments and results.
    outstanding_bytes: usize,
    /// The tasks of the batch that was given out last.
    in_batch: usize,
    failure: Option<Error>,
    /// A worker has given a result, which is not lost with the workers.
    has_results: bool,
    /// The call has failed as a whole: what has no outcome gets none any more.
    has_failed: bool,
    /// An iterator or another part of the program is running, or has panicked.
    in_foreign_code: bool,
    /// The last chunk took long to read.
    slow_input: bool,
    stage: StagingBuffer,
    last_step: Instant,
    /// The results given out since then.
    since_look: u32,
    shown: Option<Shown>,
    /// How many tasks have their outcome.
    outcomes: usize,
}

impl Engine {
    /// Checks the options and the lengths, and opens the call.
    fn new(
        shared: Arc<PoolShared>,
        function: MapFunction,
        input: &dyn Input,
        options: Options,
        consumer: Consumer,
    ) -> Result<Self> {
        options.check()?;
        let now = Instant::now();
        // One that lies behind the end of the clock never comes.
        let deadline = options.deadline.and_then(|limit| Some((now.checked_add(limit)?, limit)));
        let registration = function.registration;
        let rows = Rows::new(input.lengths(), registration, options.shortest)?;
        let length = match rows.length() {
            Length::Known(length) => Some(length),
            _ => None,
        };
        let journal = Journaled::open(function, &options, &shared, length)?;
        let path = registration.path();
        let recorder = Recorder::open(options.recorded(), registration, shared.output())?;
        let save = failed_tasks(options.save_failed.as_deref(), registration, &shared)?;
        let Options { chunk_size, attempts, limits, progress, priority, .. } = options;
        let attempts = attempts.unwrap_or(FIRST_ATTEMPT);
        let is_folded = options.merge.is_some();
        let pace = consumer;
        let rules = CallRules { chunk_size, attempts, limits, pace, is_folded, priority, ..CallRules::default() };
        let log = CallLog::of_map(path);
        let call = shared.open(rules)?;
        recorder.iter().for_each(|recorder| shared.observe_call(call, recorder.events()));
        trace::call_opened(path, length);
        let shown =
            progress.then(|| Shown::new(path, length, shared.has_remote().then_some(serving_nodes as CountNodes)));
        Ok(Self {
            function,
            shared,
            unstarted: None,
            call,
            rows,
            window: options.window.unwrap_or(WINDOW),
            again: options.retry.executions.map(|_| Retries::default()),
            journal,
            recorder,
            save,
            log,
            options,
            deadline,
            consumer,
            ready: VecDeque::new(),
            outstanding: 0,
            outstanding_bytes: 0,
            in_batch: 0,
            failure: None,
            has_results: false,
            has_failed: false,
            in_foreign_code: false,
            slow_input: false,
            stage: StagingBuffer::default(),
            last_step: now,
            since_look: 0,
            shown,
            outcomes: 0,
        })
    }

    /// Where the workers' printed output goes.
    pub(super) fn output(&self) -> Output {
        self.shared.output()
    }

    /// How many tasks there will be, if that is known.
    pub(super) fn length(&self) -> Length {
        self.rows.length()
    }

    /// Whether there may be more outcomes: not once an input iterator has panicked. It is an error in a fork.
    pub(super) fn is_open(&mut self) -> Result<bool> {
        self.check_process()?;
        Ok(self.is_here() && !self.in_foreign_code)
    }

    /// Whether a lazy iterator may take another outcome: not in a fork, nor once an input iterator has panicked. Its caller may take
    /// long over each outcome, so the workers are looked after now and then, before the outcome is taken.
    #[inline]
    pub(super) fn may_take(&mut self, input: &mut dyn Input) -> bool {
        if !self.is_here() || self.in_foreign_code {
            return false;
        }
        self.since_look += 1;
        // The clock takes as long as several short tasks.
        let is_clock_check = self.since_look.is_power_of_two() || self.since_look.is_multiple_of(LOOK_TASKS);
        !is_clock_check || self.look_after_workers(input)
    }

    /// Returns whether this process still has the call: the input may fork.
    #[cold]
    fn look_after_workers(&mut self, input: &mut dyn Input) -> bool {
        if self.last_step.elapsed() > TOP_UP_INTERVAL {
            let was_in_foreign_code = std::mem::replace(&mut self.in_foreign_code, true);
            self.top_up(input);
            self.in_foreign_code = was_in_foreign_code;
        }
        self.is_here()
    }

    /// All of a batch, of so many bytes, have been yielded.
    pub(super) fn batch_yielded(&mut self, batch: ResultDecoder, bytes: usize) {
        self.outstanding -= self.in_batch;
        self.outstanding_bytes -= bytes;
        self.end_batch(batch);
    }

    /// Whether there is nothing more to come.
    fn is_over(&mut self) -> Result<bool> {
        if !self.has_failed && (self.outstanding > 0 || !self.rows.is_at_end()) {
            return Ok(false);
        }
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => {
                let ended = if self.has_failed { Ended::Early } else { Ended::Whole };
                self.shown.iter_mut().for_each(|shown| shown.end(ended));
                Ok(true)
            }
        }
    }

    /// When there is something to do, whatever comes from the workers.
    fn next_moment(&self) -> Option<Instant> {
        let next_again = self.again.as_ref().and_then(Retries::next_at);
        let next_look = self.shown.as_ref().and_then(Shown::next_look);
        self.deadline.map(|(until, _)| until).into_iter().chain(next_again).chain(next_look).min()
    }

    /// A task, of so many bytes, has been yielded.
    pub(super) fn yielded(&mut self, bytes: usize) {
        self.outstanding -= 1;
        self.outstanding_bytes -= bytes;
    }

    /// Whether another task may be read.
    fn reads(&self) -> bool {
        !self.rows.is_at_end()
            && !self.rows.is_pending()
            && self.outstanding < self.window
            && (self.outstanding_bytes < WINDOW_BYTES || self.outstanding < self.shared.workers())
    }

    /// Looks after the workers while results are at hand, so that a caller who takes long over each does not stop them.
    fn top_up(&mut self, input: &mut dyn Input) {
        let reads = self.reads() && !self.slow_input;
        let step = self.shared.try_step(self.call, reads, self.rows.left());
        self.apply_step(input, step);
    }

    fn apply_step(&mut self, input: &mut dyn Input, step: Result<Step, CallFailure>) {
        self.show_running();
        let step = match step {
            Ok(step) => step,
            Err(CallFailure::Start(failure)) if std::mem::take(&mut self.has_results) => {
                let error = TaskErrorKind::NotStarted { message: failure.message.clone() };
                return self.expire(input, &error, CallFailure::Start(failure).into());
            }
            Err(failure) => return self.fail(failure.into()),
        };
        let at_hand = !step.done.is_empty();
        self.all_arrived(step.done);
        // Results do not wait for an input that is slow.
        if let Some(tasks) = step.wanted.filter(|_| !(at_hand && self.slow_input)) {
            self.read_chunk(input, tasks);
        }
        self.last_step = Instant::now();
        self.since_look = 0;
        self.send_again(self.last_step);
        if let Some((until, limit)) = self.deadline
            && self.last_step >= until
        {
            self.deadline = None;
            self.expire(input, &TaskErrorKind::TimedOut { limit }, Error::new(Kind::Deadline(limit)));
        }
    }

    /// Ends the call as a whole.
    fn fail(&mut self, failure: Error) {
        self.rows.end();
        self.has_failed = true;
        self.failure = Some(failure);
    }

    /// Whether this process made it, and not one that it was forked from.
    #[inline]
    pub(super) fn is_here(&self) -> bool {
        self.shared.is_here()
    }

    /// An error in a process that was forked from the call's: once, and then there is nothing more.
    #[inline]
    fn check_process(&mut self) -> Result<()> {
        if self.is_here() { Ok(()) } else { self.leave_to_parent() }
    }

    #[cold]
    fn leave_to_parent(&mut self) -> Result<()> {
        self.rows.end();
        if std::mem::replace(&mut self.has_failed, true) { Ok(()) } else { self.shared.check_process() }
    }

    fn all_arrived(&mut self, mut done: Vec<CompletedTasks>) {
        if !done.is_empty() {
            trace::settle();
        }
        self.record(&mut done);
        self.keep_outputs(&done);
        self.outstanding_bytes += done.iter().map(CompletedTasks::result_bytes).sum::<usize>();
        self.has_results |= done.iter().any(|done| matches!(done.outcomes, Outcomes::Records(_)));
        done.into_iter().for_each(|done| self.recorded(done));
    }

    fn push(&mut self, chunk: Chunk, sharing: Sharing) {
        // A journal gets outputs as they are encoded, and behind a recorded one stands what was measured.
        let is_plain = self.journal.is_some() || self.recorder.is_some();
        let direct = if is_plain { None } else { self.function.direct };
        let seed = self.options.seed.unwrap_or_default();
        let chunk = chunk.sharing(sharing).seeded(seed).folded(self.options.merge).direct(direct);
        let chunk = chunk.saving(self.save.clone()).logged(self.log.clone());
        if self.journal.is_some() { self.send_unknown(chunk) } else { self.send(chunk) }
    }

    fn send(&mut self, chunk: Chunk) {
        if let Some(again) = &mut self.again {
            again.sent(&chunk);
        }
        if let Some(pool) = self.unstarted.take()
            && let Err(error) = wait::start_global(pool, self.consumer)
        {
            return self.fail(error);
        }
        self.shared.push(self.call, chunk);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if !self.shared.is_here() {
            // In a fork nothing of the call is let go of: not the pool, nor what of its memory is kept for tasks, nor the bar.
            let files = (self.journal.take(), self.recorder.take());
            std::mem::forget((Arc::clone(&self.shared), self.again.take(), self.shown.take(), files));
            return;
        }
        self.shared.close(self.call, self.options.on_cancel());
        self.log.end();
        trace::call_closed(self.function.registration.path(), self.outcomes);
        if let Some(shown) = &mut self.shown {
            shown.end(Ended::Early);
        }
    }
}
