//! The subscriber of a worker: it writes what it is told, and keeps which spans are open and where each thread is.

use std::cell::RefCell;
use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_core::span::Current;

use super::call_sites::level_number;
use super::link;
use super::record::{PacketWriter, ValueWriter};
use crate::sys;

/// Writes what this worker's tasks make.
pub(super) struct Forwarder;

/// An open span, and how many have it.
struct OpenSpan {
    metadata: &'static Metadata<'static>,
    holders: usize,
}

static OPEN: LazyLock<Mutex<HashMap<u64, OpenSpan>>> = LazyLock::new(Mutex::default);

thread_local! {
    /// The spans that this thread has entered, the outermost first.
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// The open spans; none in a fork, which another thread's lock may have been copied into.
fn open() -> Option<MutexGuard<'static, HashMap<u64, OpenSpan>>> {
    (!sys::is_fork()).then(|| OPEN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The innermost span that this thread has entered; 0 if there is none.
pub(super) fn current() -> u64 {
    ENTERED.try_with(|entered| entered.borrow().last().copied()).ok().flatten().unwrap_or(0)
}

/// The number of the parent: the one that is named, or the innermost span of the thread.
fn parent(named: Option<&Id>, is_contextual: bool) -> u64 {
    match named {
        Some(id) => id.into_u64(),
        None if is_contextual => current(),
        None => 0,
    }
}

impl Subscriber for Forwarder {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        link::is_wanted(level_number(metadata.level()))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match link::wanted() {
            0 => LevelFilter::OFF,
            1 => LevelFilter::ERROR,
            2 => LevelFilter::WARN,
            3 => LevelFilter::INFO,
            4 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        })
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        static LAST: AtomicU64 = AtomicU64::new(0);

        let number = NonZeroU64::MIN.saturating_add(LAST.fetch_add(1, Ordering::Relaxed));
        let mut values = ValueWriter::new();
        span.record(&mut values);
        let values = values.into_bytes();
        let parent = parent(span.parent(), span.is_contextual());
        let metadata = span.metadata();
        open().map(|mut open| open.insert(number.get(), OpenSpan { metadata, holders: 1 }));
        link::write(|link, packet| {
            let site = link.site(metadata, packet);
            packet.span(number.get(), parent, site);
            packet.0.extend(values);
        });
        Id::from_non_zero_u64(number)
    }

    fn record(&self, span: &Id, record: &Record<'_>) {
        let mut values = ValueWriter::new();
        record.record(&mut values);
        let values = values.into_bytes();
        link::write(|_, packet| {
            packet.later_values(span.into_u64());
            packet.0.extend(values);
        });
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        link::write(|_, packet| packet.follows(span.into_u64(), follows.into_u64()));
    }

    fn event(&self, event: &Event<'_>) {
        let mut values = ValueWriter::new();
        event.record(&mut values);
        let values = values.into_bytes();
        let parent = parent(event.parent(), event.is_contextual());
        let metadata = event.metadata();
        link::write(|link, packet| {
            let site = link.site(metadata, packet);
            packet.event(parent, site);
            packet.0.extend(values);
        });
    }

    fn enter(&self, span: &Id) {
        // On a thread that ends nothing is entered any more.
        let _ = ENTERED.try_with(|entered| entered.borrow_mut().push(span.into_u64()));
        write_number(PacketWriter::enter, span);
    }

    fn exit(&self, span: &Id) {
        let _ = ENTERED.try_with(|entered| {
            let mut entered = entered.borrow_mut();
            if let Some(place) = entered.iter().rposition(|&entered| entered == span.into_u64()) {
                entered.remove(place);
            }
        });
        write_number(PacketWriter::exit, span);
    }

    fn clone_span(&self, span: &Id) -> Id {
        if let Some(mut open) = open()
            && let Some(open) = open.get_mut(&span.into_u64())
        {
            open.holders += 1;
        }
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        let number = span.into_u64();
        {
            let Some(mut open) = open() else {
                return false;
            };
            let Some(found) = open.get_mut(&number) else {
                return false;
            };
            found.holders -= 1;
            if found.holders > 0 {
                return false;
            }
            open.remove(&number);
        }
        write_number(PacketWriter::close, &span);
        true
    }

    fn current_span(&self) -> Current {
        let number = current();
        let metadata = open().and_then(|open| Some(open.get(&number)?.metadata));
        match (NonZeroU64::new(number), metadata) {
            (Some(id), Some(metadata)) => Current::new(Id::from_non_zero_u64(id), metadata),
            _ => Current::none(),
        }
    }
}

fn write_number(part: fn(&mut PacketWriter, u64), span: &Id) {
    link::write(|_, packet| part(packet, span.into_u64()));
}
