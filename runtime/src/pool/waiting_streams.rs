//! The streams that wait for something of their calls, as the pool's threads share them. The rules are in `streams`.
//!
//! A waker is the program's code, and so are its clone and drop: each is taken out of what is locked, and runs by `foreign` once
//! nothing is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::Instant;

use super::scheduler::CallId;
use crate::foreign;
use crate::locks::{Lock, Rank, Ranked};

/// The waker of the task that polled a stream last, which the stream and the pool's thread share.
#[derive(Default)]
pub(crate) struct StreamWaker(Lock<KeptWaker>);

#[derive(Default)]
struct KeptWaker(Option<Waker>);

impl Ranked for KeptWaker {
    const RANK: Rank = Rank::StreamWakers;
}

impl StreamWaker {
    /// Wakes this waker from now on, and no other.
    pub(crate) fn set(&self, waker: &Waker) {
        // It compares two addresses, and runs none of the program's code.
        if self.0.lock().0.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            return;
        }
        let new = waker.clone();
        let before = self.0.lock().0.replace(new);
        foreign::dispose(before);
    }

    /// Wakes the task that polled the stream last, once for each poll.
    pub(super) fn wake_poller(&self) {
        let waker = self.0.lock().0.take();
        waker.into_iter().for_each(foreign::wake);
    }
}

impl Drop for StreamWaker {
    fn drop(&mut self) {
        foreign::dispose(self.0.get_mut().0.take());
    }
}

/// The condition in which a stream is to be polled again, beside results and failures of its call.
pub(super) struct WaitingStream {
    pub(super) waker: Arc<StreamWaker>,
    /// It would read a task, of so many that are still to be read, if that is known.
    pub(super) reads: Option<Option<usize>>,
    /// It has something to do at this moment.
    pub(super) until: Option<Instant>,
    /// Since when it waits.
    pub(super) since: Instant,
}

/// The streams of a pool that wait, and what the thread of `streams` does.
#[derive(Default)]
pub(super) struct WaitingStreams {
    /// Added by who polls a stream, who then wakes the thread; taken out by the thread, or by the end of the call.
    pub(super) waiting: BTreeMap<CallId, WaitingStream>,
    /// What the thread does; it alone changes that.
    pub(super) attention: Attention,
    /// The pool is shut down: set under the lock, and the thread is woken.
    pub(super) is_ending: bool,
    /// The thread has ended: who waits for the condition is woken.
    pub(super) has_ended: bool,
}

/// What the thread of `streams` does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Attention {
    /// It runs, or there is none.
    #[default]
    Awake,
    /// It sleeps until it is woken, or for a while.
    Parked,
    /// It has the turn.
    Driving,
}

/// The thread that waits for streams, which the first stream that waits starts.
#[derive(Default)]
pub(super) struct StreamsThread {
    pub(super) is_started: AtomicBool,
    pub(super) handle: Lock<StreamsHandle>,
}

#[derive(Default)]
pub(super) struct StreamsHandle {
    pub(super) thread: Option<JoinHandle<()>>,
    /// The pool is shut down: no thread is started any more.
    pub(super) is_ended: bool,
}

impl Ranked for StreamsHandle {
    const RANK: Rank = Rank::StreamsThread;
}
