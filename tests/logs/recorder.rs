//! A subscriber that keeps all that it is told, and what it is told of.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Metadata, Subscriber, span};
use tracing_core::span::Current;

/// What was seen of a span.
#[derive(Clone, Debug, Default)]
pub(crate) struct Span {
    pub(crate) name: String,
    pub(crate) target: String,
    pub(crate) fields: String,
    pub(crate) parent: Option<u64>,
    pub(crate) entered: u32,
    pub(crate) exited: u32,
    pub(crate) is_closed: bool,
    holders: u32,
    metadata: Option<&'static Metadata<'static>>,
}

/// What was seen of an event.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) level: String,
    pub(crate) target: String,
    pub(crate) name: String,
    pub(crate) place: (Option<String>, Option<u32>),
    pub(crate) message: String,
    pub(crate) fields: String,
    pub(crate) parent: Option<u64>,
}

#[derive(Default)]
pub(crate) struct Book {
    pub(crate) spans: BTreeMap<u64, Span>,
    pub(crate) events: Vec<Seen>,
}

impl Book {
    /// The span around an event, and those around that, from the inside.
    pub(crate) fn around(&self, mut parent: Option<u64>) -> Vec<Span> {
        let mut spans = Vec::new();
        while let Some(span) = parent.and_then(|parent| self.spans.get(&parent)) {
            spans.push(span.clone());
            parent = span.parent;
        }
        spans
    }

    /// The events of a target.
    pub(crate) fn of_target(&self, target: &str) -> Vec<Seen> {
        self.events.iter().filter(|event| event.target == target).cloned().collect()
    }
}

/// The subscriber; each clone keeps the same book.
#[derive(Clone)]
pub(crate) struct Recorder {
    book: Arc<Mutex<Book>>,
    level: Arc<Mutex<LevelFilter>>,
    accepts: fn(&Metadata<'_>) -> bool,
}

thread_local! {
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

impl Recorder {
    /// One for this thread, until the guard is dropped.
    pub(crate) fn start(level: LevelFilter, accepts: fn(&Metadata<'_>) -> bool) -> (Self, DefaultGuard) {
        let recorder = Self { book: Arc::default(), level: Arc::new(Mutex::new(level)), accepts };
        let guard = tracing::subscriber::set_default(recorder.clone());
        (recorder, guard)
    }

    pub(crate) fn all(level: LevelFilter) -> (Self, DefaultGuard) {
        Self::start(level, |_| true)
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_level(&self, level: LevelFilter) {
        *self.level.lock().unwrap() = level;
        tracing::callsite::rebuild_interest_cache();
    }
}

/// The fields of a span or an event: the type, the name and the value of each.
#[derive(Default)]
struct Fields {
    message: String,
    fields: String,
}

impl Fields {
    fn add(&mut self, kind: &str, field: &Field, value: impl Debug) {
        match field.name() {
            "message" => write!(self.message, "{value:?}").unwrap(),
            name => write!(self.fields, " {name}:{kind}={value:?}").unwrap(),
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add("f64", field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add("i64", field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add("u64", field, value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.add("i128", field, value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.add("u128", field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add("bool", field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add("str", field, value);
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        self.add("bytes", field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let cause = value.source().map(ToString::to_string);
        self.add("error", field, (value.to_string(), cause));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add("debug", field, value);
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= *self.level.lock().unwrap() && (self.accepts)(metadata)
    }

    fn register_callsite(&self, _metadata: &'static Metadata<'static>) -> tracing::subscriber::Interest {
        tracing::subscriber::Interest::sometimes()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(*self.level.lock().unwrap())
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let parent = match attributes.parent() {
            Some(parent) => Some(parent.into_u64()),
            None if attributes.is_contextual() => ENTERED.with_borrow(|entered| entered.last().copied()),
            None => None,
        };
        let mut book = self.book();
        assert!(parent.is_none_or(|parent| book.spans.get(&parent).is_some_and(|span| !span.is_closed)), "{parent:?}");
        let id = book.spans.len() as u64 + 1;
        let (name, target) = (attributes.metadata().name().to_owned(), attributes.metadata().target().to_owned());
        book.spans.insert(
            id,
            Span {
                name,
                target,
                fields: fields.fields,
                parent,
                holders: 1,
                metadata: Some(attributes.metadata()),
                ..Span::default()
            },
        );
        span::Id::from_u64(id)
    }

    fn record(&self, span: &span::Id, values: &span::Record<'_>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        self.book().spans.get_mut(&span.into_u64()).unwrap().fields += &fields.fields;
    }

    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let parent = match event.parent() {
            Some(parent) => Some(parent.into_u64()),
            None if event.is_contextual() => ENTERED.with_borrow(|entered| entered.last().copied()),
            None => None,
        };
        let metadata = event.metadata();
        self.book().events.push(Seen {
            level: metadata.level().to_string(),
            target: metadata.target().to_owned(),
            name: metadata.name().to_owned(),
            place: (metadata.file().map(str::to_owned), metadata.line()),
            message: fields.message,
            fields: fields.fields,
            parent,
        });
    }

    fn enter(&self, span: &span::Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(span.into_u64()));
        self.book().spans.get_mut(&span.into_u64()).unwrap().entered += 1;
    }

    fn exit(&self, span: &span::Id) {
        ENTERED.with_borrow_mut(|entered| entered.retain(|entered| *entered != span.into_u64()));
        self.book().spans.get_mut(&span.into_u64()).unwrap().exited += 1;
    }

    fn current_span(&self) -> Current {
        let current = ENTERED.with_borrow(|entered| entered.last().copied());
        let found = current.and_then(|id| Some((id, self.book().spans.get(&id)?.metadata?)));
        found.map_or_else(Current::none, |(id, metadata)| Current::new(span::Id::from_u64(id), metadata))
    }

    fn clone_span(&self, span: &span::Id) -> span::Id {
        self.book().spans.get_mut(&span.into_u64()).unwrap().holders += 1;
        span.clone()
    }

    fn try_close(&self, span: span::Id) -> bool {
        let mut book = self.book();
        let found = book.spans.get_mut(&span.into_u64()).unwrap();
        found.holders -= 1;
        found.is_closed = found.holders == 0;
        found.is_closed
    }
}
