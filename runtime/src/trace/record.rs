//! The packets that a worker writes, as bytes: several parts each. No I/O. What is read is checked: it may be anything.
//!
//! Numbers are little-endian. A text is its length (`u32`) and its bytes. LoggedValues are a count (`u8`), and for each the place of its field
//! among those of its call site (`u8`), its type (`u8`) and itself.

use std::error::Error;
use std::fmt::{Debug, Write};

use tracing::field::{Field, Visit};

/// The bits of a chunk's word below its ticket: the level, and whether it is of an initializer or a finalizer.
pub(super) const TICKET_SHIFT: u32 = 4;
pub(super) const LIFECYCLE: u64 = 1 << 3;
pub(super) const LEVEL: u64 = LIFECYCLE - 1;

/// A packet is no larger.
pub(super) const PACKET_BYTES_MAX: usize = 64 * 1024;
/// The values of one span or event take about so many bytes at most: the rest of a longer text is left out.
const VALUES_BYTES_MAX: usize = 40 * 1024;
/// So is that of the texts of a call site.
const SITE_TEXT_BYTES_MAX: usize = 1024;
/// A call site has so many fields at most. The macros of tracing allow 32.
pub(super) const FIELDS_MAX: usize = 64;
/// Of the causes of an error, so many are kept.
const CAUSES_MAX: usize = 16;

const TASK: u8 = 1;
const NO_TASK: u8 = 2;
const TASK_END: u8 = 3;
const SITE: u8 = 4;
const SPAN: u8 = 5;
const VALUES: u8 = 6;
const FOLLOWS: u8 = 7;
const ENTER: u8 = 8;
const EXIT: u8 = 9;
const CLOSE: u8 = 10;
const EVENT: u8 = 11;

/// A part of a packet. A span is known by a number that its worker gives it; 0 is no span.
#[derive(Debug, PartialEq)]
pub(super) enum LogPart {
    /// What follows is of the task with this index, of the call with this ticket.
    Task {
        ticket: u64,
        index: u64,
    },
    /// What follows is of no task.
    NoTask,
    /// The task has ended.
    TaskEnd,
    /// The next call site.
    Site(Site),
    Span {
        span: u64,
        parent: u64,
        site: u32,
        values: LoggedValues,
    },
    /// LoggedValues that a span has got later.
    Values {
        span: u64,
        values: LoggedValues,
    },
    Follows {
        span: u64,
        followed: u64,
    },
    Enter(u64),
    Exit(u64),
    Close(u64),
    Event {
        parent: u64,
        site: u32,
        values: LoggedValues,
    },
}

/// Where a span or an event is made in the program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Site {
    pub(super) is_span: bool,
    /// From 1, for ERROR, to 5.
    pub(super) level: u8,
    pub(super) line: Option<u32>,
    pub(super) name: String,
    pub(super) target: String,
    pub(super) file: Option<String>,
    pub(super) module: Option<String>,
    pub(super) fields: Vec<String>,
}

/// LoggedValues, and the places of their fields.
pub(super) type LoggedValues = Vec<(u8, LoggedValue)>;

#[derive(Debug, PartialEq)]
pub(super) enum LoggedValue {
    F64(f64),
    I64(i64),
    U64(u64),
    I128(i128),
    U128(u128),
    Bool(bool),
    Text(String),
    /// As `Debug` shows it.
    Debug(String),
    Bytes(Vec<u8>),
    /// An error, and its causes.
    Error(Vec<String>),
}

/// Writes parts.
#[derive(Debug, Default)]
pub(super) struct PacketWriter(pub(super) Vec<u8>);

impl PacketWriter {
    pub(super) fn task(&mut self, ticket: u64, index: u64) {
        self.u8(TASK);
        self.u64(ticket);
        self.u64(index);
    }

    pub(super) fn no_task(&mut self) {
        self.u8(NO_TASK);
    }

    pub(super) fn task_end(&mut self) {
        self.u8(TASK_END);
    }

    pub(super) fn site(&mut self, site: &Site) {
        self.u8(SITE);
        self.u8(u8::from(site.is_span));
        self.u8(site.level);
        // A line has a number from 1 on.
        self.u32(site.line.unwrap_or(0));
        for text in [&site.name, &site.target] {
            self.text(cut(text, SITE_TEXT_BYTES_MAX));
        }
        for text in [&site.file, &site.module] {
            self.u8(u8::from(text.is_some()));
            self.text(cut(text.as_deref().unwrap_or_default(), SITE_TEXT_BYTES_MAX));
        }
        let fields = site.fields.len().min(FIELDS_MAX);
        self.u8(fields as u8);
        for field in &site.fields[..fields] {
            self.text(cut(field, SITE_TEXT_BYTES_MAX / 4));
        }
    }

    /// A span, whose values follow.
    pub(super) fn span(&mut self, span: u64, parent: u64, site: u32) {
        self.u8(SPAN);
        self.u64(span);
        self.u64(parent);
        self.u32(site);
    }

    /// An event, whose values follow.
    pub(super) fn event(&mut self, parent: u64, site: u32) {
        self.u8(EVENT);
        self.u64(parent);
        self.u32(site);
    }

    /// LoggedValues of a span, which follow.
    pub(super) fn later_values(&mut self, span: u64) {
        self.u8(VALUES);
        self.u64(span);
    }

    pub(super) fn follows(&mut self, span: u64, followed: u64) {
        self.u8(FOLLOWS);
        self.u64(span);
        self.u64(followed);
    }

    pub(super) fn enter(&mut self, span: u64) {
        self.u8(ENTER);
        self.u64(span);
    }

    pub(super) fn exit(&mut self, span: u64) {
        self.u8(EXIT);
        self.u64(span);
    }

    pub(super) fn close(&mut self, span: u64) {
        self.u8(CLOSE);
        self.u64(span);
    }

    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.u32(bytes.len() as u32);
        self.0.extend_from_slice(bytes);
    }
}

/// Writes values, as a visitor of their fields.
pub(super) struct ValueWriter {
    writer: PacketWriter,
}

impl ValueWriter {
    pub(super) fn new() -> Self {
        Self { writer: PacketWriter(vec![0]) }
    }

    /// One text, of the first field.
    pub(super) fn message(message: &str) -> Vec<u8> {
        let mut values = Self::new();
        values.text_at(0, 7, message);
        values.into_bytes()
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.writer.0
    }

    /// Begins a value, if there is room for it.
    fn begin(&mut self, place: usize, kind: u8) -> bool {
        let has_room = place < FIELDS_MAX && self.writer.0.len() < VALUES_BYTES_MAX - 64;
        if has_room {
            self.writer.0[0] += 1;
            self.writer.u8(place as u8);
            self.writer.u8(kind);
        }
        has_room
    }

    fn number(&mut self, field: &Field, kind: u8, bytes: &[u8]) {
        if self.begin(field.index(), kind) {
            self.writer.0.extend_from_slice(bytes);
        }
    }

    fn text_at(&mut self, place: usize, kind: u8, text: &str) {
        if self.begin(place, kind) {
            let room = VALUES_BYTES_MAX - self.writer.0.len();
            self.writer.text(cut(text, room));
        }
    }
}

impl Visit for ValueWriter {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.number(field, 0, &value.to_le_bytes());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field, 1, &value.to_le_bytes());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field, 2, &value.to_le_bytes());
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.number(field, 3, &value.to_le_bytes());
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.number(field, 4, &value.to_le_bytes());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.number(field, 5, &[u8::from(value)]);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text_at(field.index(), 6, value);
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        if self.begin(field.index(), 8) {
            let room = VALUES_BYTES_MAX - self.writer.0.len();
            self.writer.bytes(&value[..value.len().min(room)]);
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut texts = Vec::new();
        let mut next = Some(value);
        while let Some(error) = next.filter(|_| texts.len() < CAUSES_MAX) {
            texts.push(error.to_string());
            next = error.source();
        }
        if self.begin(field.index(), 9) {
            self.writer.u8(texts.len() as u8);
            let room = VALUES_BYTES_MAX.saturating_sub(self.writer.0.len()) / texts.len().max(1);
            texts.iter().for_each(|text| self.writer.text(cut(text, room.saturating_sub(4))));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        // An error is one of the value's own `Debug`: what it has written is kept.
        let _ = write!(text, "{value:?}");
        self.text_at(field.index(), 7, &text);
    }
}

/// The beginning of a text, in so many bytes.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// Reads the parts of a packet. After an error nothing more is read.
pub(super) struct PacketReader<'a>(&'a [u8]);

/// Why a packet is not read: it is not what a worker writes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl<'a> PacketReader<'a> {
    pub(super) fn new(packet: &'a [u8]) -> Self {
        Self(packet)
    }

    /// The next part; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<LogPart>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        Ok(Some(match self.u8()? {
            TASK => LogPart::Task { ticket: self.u64()?, index: self.u64()? },
            NO_TASK => LogPart::NoTask,
            TASK_END => LogPart::TaskEnd,
            SITE => LogPart::Site(self.site()?),
            SPAN => LogPart::Span { span: self.u64()?, parent: self.u64()?, site: self.u32()?, values: self.values()? },
            VALUES => LogPart::Values { span: self.u64()?, values: self.values()? },
            FOLLOWS => LogPart::Follows { span: self.u64()?, followed: self.u64()? },
            ENTER => LogPart::Enter(self.u64()?),
            EXIT => LogPart::Exit(self.u64()?),
            CLOSE => LogPart::Close(self.u64()?),
            EVENT => LogPart::Event { parent: self.u64()?, site: self.u32()?, values: self.values()? },
            _ => return Err(Malformed),
        }))
    }

    fn site(&mut self) -> Result<Site, Malformed> {
        let (is_span, level, line) = (self.u8()? != 0, self.u8()?, self.u32()?);
        let (name, target) = (self.site_text()?, self.site_text()?);
        let mut optional = || Ok::<_, Malformed>((self.u8()? != 0, self.site_text()?));
        let (file, module) = (optional()?, optional()?);
        let count = usize::from(self.u8()?);
        if count > FIELDS_MAX || !(1..=5).contains(&level) {
            return Err(Malformed);
        }
        let fields = (0..count).map(|_| self.site_text()).collect::<Result<_, _>>()?;
        let given = |(is_given, text): (bool, String)| is_given.then_some(text);
        let line = Some(line).filter(|&line| line > 0);
        Ok(Site { is_span, level, line, name, target, file: given(file), module: given(module), fields })
    }

    fn values(&mut self) -> Result<LoggedValues, Malformed> {
        let count = self.u8()?;
        (0..count).map(|_| Ok((self.u8()?, self.value()?))).collect()
    }

    fn value(&mut self) -> Result<LoggedValue, Malformed> {
        Ok(match self.u8()? {
            0 => LoggedValue::F64(f64::from_le_bytes(self.array()?)),
            1 => LoggedValue::I64(i64::from_le_bytes(self.array()?)),
            2 => LoggedValue::U64(self.u64()?),
            3 => LoggedValue::I128(i128::from_le_bytes(self.array()?)),
            4 => LoggedValue::U128(u128::from_le_bytes(self.array()?)),
            5 => LoggedValue::Bool(self.u8()? != 0),
            6 => LoggedValue::Text(self.text()?),
            7 => LoggedValue::Debug(self.text()?),
            8 => LoggedValue::Bytes(self.bytes()?.to_vec()),
            9 => {
                let count = self.u8()?;
                LoggedValue::Error((0..count).map(|_| self.text()).collect::<Result<_, _>>()?)
            }
            _ => return Err(Malformed),
        })
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*array)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u32()? as usize;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<String, Malformed> {
        std::str::from_utf8(self.bytes()?).map(str::to_owned).map_err(|_| Malformed)
    }

    fn site_text(&mut self) -> Result<String, Malformed> {
        self.text().and_then(|text| if text.len() <= SITE_TEXT_BYTES_MAX { Ok(text) } else { Err(Malformed) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn site() -> Site {
        Site {
            is_span: false,
            level: 3,
            line: Some(7),
            name: "event".to_owned(),
            target: "jobs".to_owned(),
            file: Some("src/jobs.rs".to_owned()),
            module: None,
            fields: vec!["message".to_owned(), "width".to_owned()],
        }
    }

    fn parts(packet: &[u8]) -> Result<Vec<LogPart>, Malformed> {
        let mut reader = PacketReader::new(packet);
        std::iter::from_fn(|| reader.next().transpose()).collect()
    }

    #[test]
    fn parts_come_back_as_they_went() {
        let mut packet = PacketWriter::default();
        packet.task(3, 17);
        packet.site(&site());
        packet.event(5, 0);
        packet.0.extend(ValueWriter::message("a message"));
        packet.enter(5);
        packet.task_end();
        let values = vec![(0, LoggedValue::Debug("a message".to_owned()))];
        let expected = [
            LogPart::Task { ticket: 3, index: 17 },
            LogPart::Site(site()),
            LogPart::Event { parent: 5, site: 0, values },
            LogPart::Enter(5),
            LogPart::TaskEnd,
        ];
        assert_eq!(parts(&packet.0).unwrap(), expected);
        for length in 1..packet.0.len() {
            // What is cut at the end of a part is whole.
            assert!(parts(&packet.0[..length]).is_err() || parts(&packet.0[..length]).unwrap().len() < expected.len());
        }
    }

    #[test]
    fn texts_too_long_are_cut_and_a_packet_stays_within_its_size() {
        let values = ValueWriter::message(&"ä".repeat(1 << 20));
        let mut packet = PacketWriter::default();
        packet.task(1, 1);
        packet.site(&Site { fields: vec!["f".repeat(9999); 99], target: "t".repeat(1 << 20), ..site() });
        packet.event(0, 0);
        packet.0.extend(values);
        assert!(packet.0.len() <= PACKET_BYTES_MAX, "{}", packet.0.len());
        assert!(parts(&packet.0).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parts(&bytes);
        }
    }
}
