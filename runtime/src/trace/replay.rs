//! The packets of one worker, as spans and events of the program's subscriber. Nothing of it is trusted.
//!
//! Each span and event has an explicit parent: the span that the worker names, or that of the task, or, where the subscriber does not take
//! that one, the caller's. Whether it is made at all the subscriber decides, by its own filter. A span is replayed by the
//! subscriber that it was made with, whatever call its worker is at later.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use tracing::field::{Field, Value as FieldValue, ValueSet};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Metadata, Span, dispatcher};

use super::call_log::{CallKind, ListenedCall, was_issued};
use super::call_sites;
use super::record::{FIELDS_MAX, LogPart, LoggedValue, LoggedValues, PACKET_BYTES_MAX, PacketReader};
use crate::foreign;

/// A worker has so many open spans at most: further ones are left out.
const SPANS_MAX: usize = 4096;
/// And so many call sites.
const SITES_MAX: usize = 4096;

/// All that is known of one worker.
pub(super) struct Replay {
    worker: usize,
    pub(super) pid: u32,
    sites: Vec<&'static Metadata<'static>>,
    spans: BTreeMap<u64, WorkerSpan>,
    /// How many spans it has made.
    made: u64,
    /// The spans that are entered, the outermost first.
    entered: Vec<u64>,
    call: Option<Arc<ListenedCall>>,
    place: TaskPlace,
    /// That of its initializer and finalizer, and of what no task makes.
    worker_span: Option<(Span, Dispatch)>,
    was_refused: bool,
}

/// Where it is.
enum TaskPlace {
    Nowhere,
    /// In no task, or in its initializer or finalizer.
    Worker,
    Task(Span),
}

/// A span of a worker.
struct WorkerSpan {
    /// None where the subscriber does not take it.
    id: Option<Id>,
    dispatch: Dispatch,
    metadata: &'static Metadata<'static>,
    /// What contains it, if it is not taken.
    parent: u64,
    /// Which of its worker's spans it is, and the ticket of its call.
    number: u64,
    ticket: u64,
}

/// The surroundings of a span or an event.
struct Around {
    dispatch: Dispatch,
    id: Option<Id>,
    /// The caller's span where that is the parent: it is open as long as this is held.
    held: Option<Arc<Span>>,
}

impl Replay {
    pub(super) fn new(worker: usize) -> Self {
        Self {
            worker,
            pid: 0,
            sites: Vec::new(),
            spans: BTreeMap::new(),
            made: 0,
            entered: Vec::new(),
            call: None,
            place: TaskPlace::Nowhere,
            worker_span: None,
            was_refused: false,
        }
    }

    /// Replays a packet. `call_of` finds a call by its ticket.
    pub(super) fn apply(&mut self, packet: &[u8], call_of: impl Fn(u64) -> Option<Arc<ListenedCall>>) {
        if packet.len() > PACKET_BYTES_MAX {
            return self.refuse("a packet is larger than 64 KiB");
        }
        let mut reader = PacketReader::new(packet);
        loop {
            match reader.next() {
                Ok(Some(part)) => {
                    if let Err(why) = self.replay(part, &call_of) {
                        return self.refuse(why);
                    }
                }
                Ok(None) => return,
                Err(_) => return self.refuse("a packet is malformed"),
            }
        }
    }

    /// Warns of what is dropped, once.
    pub(super) fn refuse(&mut self, why: &str) {
        if std::mem::replace(&mut self.was_refused, true) {
            return;
        }
        let dispatch = self.dispatch().unwrap_or_else(|| dispatcher::get_default(Dispatch::clone));
        let (worker, pid) = (self.worker, self.pid);
        foreign::run_quietly(|| {
            dispatcher::with_default(&dispatch, || {
                tracing::event!(
                    target: "poolmap",
                    Level::WARN,
                    worker,
                    pid,
                    reason = why,
                    "some of what a worker logs is dropped"
                );
            });
        });
    }

    /// Exits and closes all spans: the worker has ended.
    pub(super) fn end(&mut self) {
        while let Some(&span) = self.entered.last() {
            self.exit(span);
        }
        self.end_task();
        let mut spans: Vec<WorkerSpan> = std::mem::take(&mut self.spans).into_values().collect();
        spans.sort_by_key(|span| span.number);
        spans.into_iter().rev().for_each(close);
        if let Some(worker_span) = self.worker_span.take() {
            foreign::dispose(worker_span);
        }
        self.call = None;
    }

    fn replay(
        &mut self,
        part: LogPart,
        call_of: &impl Fn(u64) -> Option<Arc<ListenedCall>>,
    ) -> Result<(), &'static str> {
        match part {
            LogPart::Task { ticket, index } => return self.begin_task(ticket, index, call_of),
            LogPart::NoTask => {
                self.end_task();
                self.place = TaskPlace::Worker;
            }
            LogPart::TaskEnd => self.end_task(),
            LogPart::Site(site) => {
                if self.sites.len() >= SITES_MAX {
                    return Err("it has more than 4096 call sites");
                }
                let mut metadata = None;
                foreign::run_quietly(|| metadata = call_sites::metadata(&site));
                self.sites.push(metadata.ok_or("the workers of this program have more than 16384 call sites")?);
            }
            LogPart::Span { span, parent, site, values } => return self.make_span((span, parent), site, &values),
            LogPart::Values { span, values } => {
                if let Some(WorkerSpan { id: Some(id), dispatch, metadata, .. }) = self.spans.get(&span) {
                    with_values(metadata, &values, |values| dispatch.record(id, &Record::new(values)));
                }
            }
            LogPart::Follows { span, followed } => {
                if let (Some(span), Some(followed)) = (self.spans.get(&span), self.spans.get(&followed))
                    && let (Some(id), Some(followed_id)) = (&span.id, &followed.id)
                    && span.ticket == followed.ticket
                {
                    foreign::run_quietly(|| span.dispatch.record_follows_from(id, followed_id));
                }
            }
            LogPart::Enter(span) => {
                if let Some(WorkerSpan { id: Some(id), dispatch, .. }) = self.spans.get(&span)
                    && self.entered.len() < SPANS_MAX
                {
                    foreign::run_quietly(|| dispatch.enter(id));
                    self.entered.push(span);
                }
            }
            LogPart::Exit(span) => self.exit(span),
            LogPart::Close(span) => {
                while self.entered.contains(&span) {
                    self.exit(span);
                }
                self.spans.remove(&span).into_iter().for_each(close);
            }
            LogPart::Event { parent, site, values } => self.make_event(parent, site, &values)?,
        }
        Ok(())
    }

    fn begin_task(
        &mut self,
        ticket: u64,
        index: u64,
        call_of: &impl Fn(u64) -> Option<Arc<ListenedCall>>,
    ) -> Result<(), &'static str> {
        self.end_task();
        self.place = TaskPlace::Nowhere;
        let Some(call) = call_of(ticket) else {
            self.call = None;
            // A call may have been ended while a worker was at a task of it.
            return if was_issued(ticket) { Ok(()) } else { Err("it names a call that there is not") };
        };
        if call.kind == CallKind::Lifecycle {
            self.place = TaskPlace::Worker;
        } else {
            let mut span = Span::none();
            foreign::run_quietly(|| {
                span = call.task_span(self.worker, self.pid, index);
                span.with_subscriber(|(id, dispatch)| dispatch.enter(id));
            });
            self.place = TaskPlace::Task(span);
        }
        self.call = Some(call);
        Ok(())
    }

    fn end_task(&mut self) {
        if let TaskPlace::Task(span) = std::mem::replace(&mut self.place, TaskPlace::Nowhere) {
            foreign::run_quietly(|| {
                span.with_subscriber(|(id, dispatch)| dispatch.exit(id));
                drop(span);
            });
            // The caller's span is not held longer than its task is there.
            self.call = self.call.take().filter(|call| call.kind != CallKind::Single);
        }
    }

    fn exit(&mut self, span: u64) {
        if let Some(place) = self.entered.iter().rposition(|&entered| entered == span) {
            self.entered.remove(place);
            if let Some(WorkerSpan { id: Some(id), dispatch, .. }) = self.spans.get(&span) {
                foreign::run_quietly(|| dispatch.exit(id));
            }
        }
    }

    fn make_span(&mut self, (span, parent): (u64, u64), site: u32, values: &LoggedValues) -> Result<(), &'static str> {
        let metadata = *self.sites.get(site as usize).ok_or("it names a call site that it has not described")?;
        if span == 0 || self.spans.contains_key(&span) {
            return Err("it makes a span twice");
        }
        if self.spans.len() >= SPANS_MAX {
            return Err("it has more than 4096 open spans");
        }
        let Some(Around { dispatch, id: parent_id, held }) = self.around(parent) else {
            return Ok(());
        };
        let mut id = None;
        with_values(metadata, values, |values| {
            if dispatch.enabled(metadata) {
                let attributes = match parent_id {
                    Some(parent) => Attributes::child_of(parent, metadata, values),
                    None => Attributes::new_root(metadata, values),
                };
                id = Some(dispatch.new_span(&attributes));
            }
        });
        foreign::dispose(held);
        self.made += 1;
        let ticket = self.call.as_ref().map_or(0, |call| call.ticket);
        // One that is not taken stands for what it is in, which is not one that is not taken either: so nothing is followed for long.
        let parent = self.taken(parent).unwrap_or(0);
        let made = WorkerSpan { id, dispatch, metadata, parent, number: self.made, ticket };
        self.spans.insert(span, made);
        Ok(())
    }

    fn make_event(&mut self, parent: u64, site: u32, values: &LoggedValues) -> Result<(), &'static str> {
        let metadata = *self.sites.get(site as usize).ok_or("it names a call site that it has not described")?;
        let Some(Around { dispatch, id, held }) = self.around(parent) else {
            return Ok(());
        };
        with_values(metadata, values, |values| {
            if dispatch.enabled(metadata) {
                dispatch.event(&Event::new_child_of(id, metadata, values));
            }
        });
        foreign::dispose((held, dispatch));
        Ok(())
    }

    /// The span of this number if it is taken, or else the one around it.
    fn taken(&self, span: u64) -> Option<u64> {
        let found = self.spans.get(&span)?;
        if found.id.is_some() {
            Some(span)
        } else {
            Some(found.parent).filter(|parent| self.spans.contains_key(parent))
        }
    }

    /// The surroundings of a span or an event whose parent has this number; none where there is no subscriber.
    fn around(&mut self, span: u64) -> Option<Around> {
        if let Some(WorkerSpan { id: Some(id), dispatch, .. }) = self.taken(span).and_then(|span| self.spans.get(&span))
        {
            return Some(Around { dispatch: dispatch.clone(), id: Some(id.clone()), held: None });
        }
        let dispatch = self.dispatch();
        let TaskPlace::Task(task) = &self.place else {
            let (id, dispatch) = self.worker_span(dispatch)?;
            return Some(Around { dispatch, id, held: None });
        };
        if let Some(id) = task.id() {
            return Some(Around { dispatch: dispatch?, id: Some(id), held: None });
        }
        let (_, held) = self.call.as_ref()?.heard();
        Some(Around { dispatch: dispatch?, id: held.as_ref().and_then(|caller| caller.id()), held })
    }

    /// The span for what a worker makes outside of tasks, and its subscriber.
    fn worker_span(&mut self, dispatch: Option<Dispatch>) -> Option<(Option<Id>, Dispatch)> {
        let (worker, pid) = (self.worker, self.pid);
        if self.worker_span.is_none() {
            let dispatch = dispatch?;
            let mut span = Span::none();
            foreign::run_quietly(|| {
                span = dispatcher::with_default(
                    &dispatch,
                    || tracing::span!(target: "poolmap", parent: None, Level::ERROR, "worker", worker, pid),
                );
            });
            self.worker_span = Some((span, dispatch));
        }
        self.worker_span.as_ref().map(|(span, dispatch)| (span.id(), dispatch.clone()))
    }

    /// The subscriber of the call that the worker is at.
    fn dispatch(&self) -> Option<Dispatch> {
        self.call.as_ref().and_then(|call| call.heard().0)
    }
}

/// Closes a span.
fn close(span: WorkerSpan) {
    let WorkerSpan { id, dispatch, .. } = span;
    foreign::run_quietly(|| {
        if let Some(id) = id {
            dispatch.try_close(id);
        }
        drop(dispatch);
    });
}

/// Does something with values, each in the place of its field. LoggedValues of no field are left out.
fn with_values(metadata: &'static Metadata<'static>, values: &LoggedValues, then: impl FnOnce(&ValueSet<'_>)) {
    let fields: Vec<Field> = metadata.fields().iter().collect();
    let shown: Vec<(&Field, ShownValue<'_>)> = values
        .iter()
        .filter_map(|(place, value)| Some((fields.get(usize::from(*place))?, ShownValue::new(value))))
        .take(FIELDS_MAX)
        .collect();
    let Some(first) = fields.first() else {
        return foreign::run_quietly(|| then(&metadata.fields().value_set(&[])));
    };
    // A set is of an array, whose length is fixed; places without a value are none of it.
    let mut places: [(&Field, Option<&dyn FieldValue>); FIELDS_MAX] = [(first, None); FIELDS_MAX];
    for (place, (field, value)) in places.iter_mut().zip(&shown) {
        *place = (field, Some(value.as_value()));
    }
    foreign::run_quietly(|| then(&metadata.fields().value_set(&places)));
}

/// A value, as tracing takes it.
enum ShownValue<'a> {
    Plain(&'a LoggedValue),
    Debug(tracing::field::DebugValue<Text<'a>>),
    Error(Box<dyn Error + 'static>),
    Bytes(&'a [u8]),
}

impl<'a> ShownValue<'a> {
    fn new(value: &'a LoggedValue) -> Self {
        match value {
            LoggedValue::Debug(text) => Self::Debug(tracing::field::debug(Text(text))),
            LoggedValue::Error(texts) => Self::Error(WorkerError::of(texts)),
            LoggedValue::Bytes(bytes) => Self::Bytes(bytes),
            _ => Self::Plain(value),
        }
    }

    fn as_value(&self) -> &dyn FieldValue {
        match self {
            Self::Debug(text) => text,
            Self::Error(error) => error,
            Self::Bytes(bytes) => bytes,
            Self::Plain(value) => match value {
                LoggedValue::F64(value) => value,
                LoggedValue::I64(value) => value,
                LoggedValue::U64(value) => value,
                LoggedValue::I128(value) => value,
                LoggedValue::U128(value) => value,
                LoggedValue::Bool(value) => value,
                LoggedValue::Text(value) | LoggedValue::Debug(value) => value,
                LoggedValue::Bytes(_) | LoggedValue::Error(_) => &tracing::field::Empty,
            },
        }
    }
}

/// A text that `Debug` shows as it is.
struct Text<'a>(&'a str);

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// An error of a worker, and its causes.
#[derive(Debug)]
struct WorkerError {
    text: String,
    cause: Option<Box<WorkerError>>,
}

impl WorkerError {
    fn of(texts: &[String]) -> Box<dyn Error + 'static> {
        let chain = texts.iter().rev().fold(None, |cause, text| Some(Box::new(Self { text: text.clone(), cause })));
        chain.unwrap_or_else(|| Box::new(Self { text: String::new(), cause: None }))
    }
}

impl fmt::Display for WorkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for WorkerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}
