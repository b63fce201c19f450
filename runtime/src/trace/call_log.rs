//! The record of a call that somebody listens to: the subscriber, and the span in which the call was begun.
//!
//! A subscriber and a span are the program's: whatever drops one runs its code. A call log may be dropped with a chunk, under the lock of
//! a pool, so what it holds is put aside then, and dropped by whoever comes by next without a lock ([`bury`]).

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tracing::level_filters::LevelFilter;
use tracing::span::Id;
use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, Level, Span, dispatcher};

use crate::foreign;
use crate::locks::{Lock, Rank, Ranked};
use crate::sys::PerProcess;

/// The call log of a call; none where nobody listens.
#[derive(Clone, Default)]
pub(crate) struct CallLog(pub(super) Option<Arc<ListenedCall>>);

/// A call that somebody listens to.
pub(super) struct ListenedCall {
    /// No other call log of this process has it.
    pub(super) ticket: u64,
    pub(super) function: &'static str,
    pub(super) kind: CallKind,
    heard: Lock<Heard>,
}

/// The kind of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum CallKind {
    Map,
    /// It has one task, whose index is 0 for its caller.
    Single,
    /// An initializer or a finalizer.
    Lifecycle,
}

/// The program's part of it.
struct Heard {
    dispatch: Option<Dispatch>,
    /// The caller's span, until the call has ended.
    span: Option<Arc<Span>>,
}

impl Ranked for Heard {
    const RANK: Rank = Rank::LogCall;
}

thread_local! {
    static IS_READER: Cell<bool> = const { Cell::new(false) };
}

/// This is the thread that reads what workers write.
pub(super) fn set_reader() {
    IS_READER.set(true);
}

/// Whether it is.
pub(super) fn is_reader() -> bool {
    IS_READER.get()
}

/// The subscribers and spans that are to be dropped. A fork has none of its parent's.
static GRAVES: PerProcess<Graveyard> = PerProcess::new();

#[derive(Default)]
struct Graveyard {
    graves: Lock<Graves>,
    count: AtomicUsize,
}

#[derive(Default)]
struct Graves(Vec<(Option<Dispatch>, Option<Arc<Span>>)>);

impl Ranked for Graves {
    const RANK: Rank = Rank::LogGraves;
}

/// The ticket of the call that was listened to last.
static LAST_TICKET: AtomicU64 = AtomicU64::new(0);

/// Whether some call of this process has, or had, this ticket.
pub(super) fn was_issued(ticket: u64) -> bool {
    (1..=LAST_TICKET.load(Ordering::Relaxed)).contains(&ticket)
}

impl CallLog {
    /// That of a map of this function, which begins here.
    pub(crate) fn of_map(function: &'static str) -> Self {
        Self::here(function, CallKind::Map)
    }

    /// That of a single call of this function, which begins here.
    pub(crate) fn of_single(function: &'static str) -> Self {
        Self::here(function, CallKind::Single)
    }

    /// That of an initializer or a finalizer, whose pool is made here. It has no caller.
    pub(crate) fn of_lifecycle(function: &'static str) -> Self {
        Self::here(function, CallKind::Lifecycle)
    }

    fn here(function: &'static str, kind: CallKind) -> Self {
        // A subscriber that makes calls itself would wait for itself.
        if LevelFilter::current() == LevelFilter::OFF || is_reader() {
            return Self(None);
        }
        bury();
        let mut heard = Heard { dispatch: None, span: None };
        foreign::run_quietly(|| {
            let dispatch = dispatcher::get_default(Dispatch::clone);
            // The level says that somebody listens somewhere, or has done so.
            heard.dispatch = Some(dispatch).filter(|dispatch| !dispatch.is::<NoSubscriber>());
            let span = (kind != CallKind::Lifecycle).then(Span::current).filter(|span| !span.is_none());
            heard.span = span.map(Arc::new);
        });
        if heard.dispatch.is_none() {
            return Self(None);
        }
        let ticket = LAST_TICKET.fetch_add(1, Ordering::Relaxed) + 1;
        Self(Some(Arc::new(ListenedCall { ticket, function, kind, heard: Lock::new(heard) })))
    }

    /// The call has ended: the caller's span is held no more. It runs code of the program's.
    pub(crate) fn end(&self) {
        if let Self(Some(call)) = self {
            let span = call.heard.lock().span.take();
            foreign::dispose(span);
        }
    }
}

impl ListenedCall {
    /// The subscriber, and the caller's span while the call is there.
    pub(super) fn heard(&self) -> (Option<Dispatch>, Option<Arc<Span>>) {
        let heard = self.heard.lock();
        // A dispatch is counted, and cloned without code of the program's.
        (heard.dispatch.clone(), heard.span.clone())
    }

    /// Makes the span of a task, in which its events are. It runs code of the program's.
    pub(super) fn task_span(&self, worker: usize, pid: u32, index: u64) -> Span {
        let index = if self.kind == CallKind::Single { 0 } else { index };
        let function = self.function;
        self.within(|parent| {
            tracing::span!(target: "poolmap", parent: parent, Level::ERROR, "task", worker, pid, task = index, function)
        })
    }

    /// Runs code with the subscriber of the call, and with the caller's span.
    fn within(&self, make: impl FnOnce(Option<Id>) -> Span) -> Span {
        let (dispatch, span) = self.heard();
        let dispatch = dispatch.unwrap_or_else(Dispatch::none);
        let made = dispatcher::with_default(&dispatch, || make(span.as_ref().and_then(|span| span.id())));
        foreign::dispose(span);
        made
    }
}

impl Drop for ListenedCall {
    fn drop(&mut self) {
        let heard = self.heard.get_mut();
        let yard = GRAVES.get();
        let mut graves = yard.graves.lock();
        graves.0.push((heard.dispatch.take(), heard.span.take()));
        yard.count.store(graves.0.len(), Ordering::Relaxed);
    }
}

impl fmt::Debug for CallLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CallLog").field(&self.0.as_ref().map(|call| call.ticket)).finish()
    }
}

/// Drops what ended call logs held. It runs code of the program's, without a lock.
pub(super) fn bury() {
    let yard = GRAVES.get();
    if yard.count.load(Ordering::Relaxed) > 0 {
        let graves = {
            let mut graves = yard.graves.lock();
            yard.count.store(0, Ordering::Relaxed);
            std::mem::take(&mut graves.0)
        };
        graves.into_iter().for_each(foreign::dispose);
    }
}

/// Enters the span of a task that this thread runs in process, until what is returned is dropped.
pub(crate) fn enter_task(log: &CallLog, index: u64) -> impl Drop + use<> {
    let mut entered = None;
    if let CallLog(Some(call)) = log
        && call.kind != CallKind::Lifecycle
    {
        foreign::run_quietly(|| {
            let span = call.task_span(0, std::process::id(), index);
            span.with_subscriber(|(id, dispatch)| dispatch.enter(id));
            entered = Some(span);
        });
    }
    OwnTaskSpan(entered)
}

/// The span of a task in process, which this thread has entered.
struct OwnTaskSpan(Option<Span>);

impl Drop for OwnTaskSpan {
    fn drop(&mut self) {
        if let Some(span) = self.0.take() {
            foreign::run_quietly(|| {
                span.with_subscriber(|(id, dispatch)| dispatch.exit(id));
                drop(span);
            });
        }
    }
}
