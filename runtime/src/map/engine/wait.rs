//! How an engine waits where no outcome is ready: it blocks, or it leaves a waker.

use std::task::Poll;
#[cfg(feature = "stream")]
use std::{
    sync::Arc,
    task::{Context, Waker},
    time::{Duration, Instant},
};

use super::Engine;
use super::input::Input;
use crate::error::Result;
#[cfg(feature = "stream")]
use crate::foreign;
#[cfg(feature = "stream")]
use crate::pool::StreamWaker;
use crate::pool::{self, Consumer, Pool};

/// A poll that goes on reading and sending for this long lets other tasks of its thread run, and goes on then.
#[cfg(feature = "stream")]
const POLL_TIME_MAX: Duration = Duration::from_millis(1);

/// What comes next of a call, if it is there yet: none after the last, or a failure of the call as a whole.
pub(in crate::map) type PollNext<T> = Poll<Result<Option<T>>>;

/// How an engine waits.
pub(in crate::map) trait WaitMode {
    /// Waits until the engine has something to do, and does it; pending if it is not to wait here.
    fn wait(&mut self, engine: &mut Engine, input: &mut dyn Input) -> Poll<()>;
}

/// The calling thread sleeps, or moves messages.
pub(in crate::map) struct Blocks;

impl Blocks {
    /// What a wait that blocks has come to.
    pub(in crate::map) fn ready<T>(poll: Poll<T>) -> T {
        match poll {
            Poll::Ready(value) => value,
            Poll::Pending => unreachable!("a wait that blocks leaves nothing pending"),
        }
    }
}

impl WaitMode for Blocks {
    fn wait(&mut self, engine: &mut Engine, input: &mut dyn Input) -> Poll<()> {
        let (reads, until) = (engine.reads(), engine.next_moment());
        let since = engine.recorder.as_ref().and_then(|recorder| recorder.begin_wait());
        let step = engine.shared.step(engine.call, reads, engine.rows.left(), until);
        if let (Some(recorder), Some(since)) = (&mut engine.recorder, since) {
            recorder.end_wait(since);
        }
        engine.apply_step(input, step);
        Poll::Ready(())
    }
}

/// One poll of a stream.
#[cfg(feature = "stream")]
pub(in crate::map) struct Polls<'c, 'w> {
    context: &'c mut Context<'w>,
    /// Where the waker of the stream is kept, which the pool knows.
    kept: &'c Arc<StreamWaker>,
    /// When it has begun to read and send.
    began: Option<Instant>,
}

#[cfg(feature = "stream")]
impl<'c, 'w> Polls<'c, 'w> {
    pub(in crate::map) fn new(context: &'c mut Context<'w>, kept: &'c Arc<StreamWaker>) -> Self {
        Self { context, kept, began: None }
    }
}

#[cfg(feature = "stream")]
impl WaitMode for Polls<'_, '_> {
    fn wait(&mut self, engine: &mut Engine, input: &mut dyn Input) -> Poll<()> {
        match self.began {
            None => {
                self.began = Some(Instant::now());
                // Before the pool is asked: what comes later wakes it.
                self.kept.set(self.context.waker());
            }
            Some(began) if began.elapsed() > POLL_TIME_MAX => {
                foreign::run_quietly(|| self.context.waker().wake_by_ref());
                return Poll::Pending;
            }
            Some(_) => {}
        }
        let (reads, until) = (engine.reads().then(|| engine.rows.left()), engine.next_moment());
        let step = match engine.shared.poll_step(engine.call, reads, until, self.kept) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(step)) => Ok(step),
            Err(failure) => Err(failure),
        };
        engine.apply_step(input, step);
        Poll::Ready(())
    }
}

#[cfg(feature = "stream")]
impl Engine {
    /// A poll begins: inputs that are streams are asked again, and wake this waker. The workers are looked after before outcomes that
    /// are at hand are taken, if that was long ago.
    pub(in crate::map) fn begin_poll(&mut self, input: &mut dyn Input, waker: &Waker) {
        self.rows.wake(waker, input.is_polled());
        if self.is_here() && !self.in_foreign_code {
            self.look_after_workers(input);
        }
    }
}

/// Starts the global pool for the first task of its call.
pub(super) fn start_global(pool: &'static Pool, consumer: Consumer) -> Result<()> {
    match consumer {
        Consumer::Waited | Consumer::Pulled => pool::start_global(pool),
        #[cfg(feature = "stream")]
        Consumer::Polled => pool::begin_global(pool),
        #[cfg(not(feature = "stream"))]
        Consumer::Polled => unreachable!("streams alone poll a call"),
    }
}
