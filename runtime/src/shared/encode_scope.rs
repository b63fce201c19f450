//! Which memory the values name that are being encoded, and what is granted of it. serde gives a value no way to say it, so each
//! thread has a place for it.
//!
//! 1. A thread that encodes arguments collects meanwhile: values write names, and their grants are noted.
//! 2. A worker's task thread, which encodes results, has said so: values write themselves, as their parent cannot read the
//!    worker's memory. It may also have said how memory is sent, for values that are in memory of their own (`output_memory`).
//! 3. At all other times a name would mean nothing to whoever reads it, so it is an error. So it is at any time for a serializer
//!    that is not the codec's own: a value's `Serialize` may run another one inside, or stand one in between.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::sync::Arc;

use super::grant::{Grant, Name, Right, fresh_name};
use super::segment::{self, Segment};
use crate::codec;
use crate::error::CodecError;

/// The names and the grants that were noted.
#[derive(Default)]
struct Noted {
    /// The memory, by its number.
    memory: BTreeMap<u64, Arc<Segment>>,
    values: Vec<Grant>,
    grants: Vec<Grant>,
}

/// The memory and the grants that values have named.
#[derive(Clone, Debug, Default)]
pub(crate) struct Collected {
    pub(crate) memory: Vec<Arc<Segment>>,
    pub(crate) grants: Vec<Grant>,
}

enum Mode {
    Nothing,
    ByValue,
    Outputs(Rc<SendOutput>),
    Collect(Noted, Use),
}

/// Sends the descriptor of some memory to the parent, without waiting; returns whether it has.
pub(crate) type SendOutput = dyn Fn(BorrowedFd<'_>) -> bool;

/// How the encoded bytes are used.
#[derive(Clone, Copy)]
enum Use {
    /// One task.
    Once,
    /// Every task, and a worker may keep it until its next call.
    Kept,
}

thread_local! {
    /// A thread destroys what has a Drop at its end, and may map after that: in the Drop of another thread-local, or in a handler
    /// of `atexit`. So this has none. The notes are dropped by their [`EncodeScope`], which puts the mode before it back.
    static MODE: RefCell<ManuallyDrop<Mode>> = const { RefCell::new(ManuallyDrop::new(Mode::Nothing)) };
    /// Whether a descriptor was noted since this thread began to collect.
    static HAS_DESCRIPTOR: Cell<bool> = const { Cell::new(false) };
}

/// Sets the mode of this thread, and returns the one before.
fn replace(mode: Mode) -> Mode {
    ManuallyDrop::into_inner(MODE.replace(ManuallyDrop::new(mode)))
}

/// How a value in shared memory is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteAs {
    Name,
    /// The same, but what is decoded may outlive its task.
    KeptName,
    Value,
    /// As what it is, or by its memory, where that can be sent.
    Output,
    /// Not at all.
    Refused,
}

/// Collects what is noted on this thread, until it is finished or dropped. They nest.
pub(crate) struct EncodeScope {
    before: Option<Mode>,
    had_descriptor: bool,
}

impl EncodeScope {
    fn enter(mode: Mode) -> Self {
        Self { before: Some(replace(mode)), had_descriptor: HAS_DESCRIPTOR.replace(false) }
    }
}

/// Begins to collect, for one task each.
pub(crate) fn enter_encode_scope() -> EncodeScope {
    EncodeScope::enter(Mode::Collect(Noted::default(), Use::Once))
}

/// Begins to collect, for a value that a worker may keep.
pub(crate) fn enter_kept_encode_scope() -> EncodeScope {
    EncodeScope::enter(Mode::Collect(Noted::default(), Use::Kept))
}

/// Until what it gives is dropped, this thread writes values in shared memory as what they are.
pub(crate) fn by_value() -> impl Drop {
    EncodeScope::enter(Mode::ByValue)
}

impl EncodeScope {
    /// Ends it, and returns what was noted.
    pub(crate) fn finish(mut self) -> Collected {
        match self.end() {
            Some(Mode::Collect(Noted { memory, mut values, grants }, _)) => {
                values.extend(grants);
                Collected { memory: memory.into_values().collect(), grants: values }
            }
            _ => Collected::default(),
        }
    }

    fn end(&mut self) -> Option<Mode> {
        let before = self.before.take()?;
        HAS_DESCRIPTOR.set(self.had_descriptor);
        Some(replace(before))
    }
}

impl Drop for EncodeScope {
    fn drop(&mut self) {
        self.end();
    }
}

/// From now on this thread writes values in shared memory as what they are, but while it collects.
pub(crate) fn write_by_value() {
    drop(replace(Mode::ByValue));
}

/// From now on this thread writes results: values in memory of their own may be sent by this, and are written as what they are where
/// they are not.
pub(crate) fn write_outputs(send: Rc<SendOutput>) {
    segment::make_outputs();
    drop(replace(Mode::Outputs(send)));
}

/// Sends memory to the parent, if this thread writes results; returns whether it has.
pub(super) fn send_output(memory: BorrowedFd<'_>) -> bool {
    let send = MODE.with_borrow(|mode| match &**mode {
        Mode::Outputs(send) => Some(Rc::clone(send)),
        _ => None,
    });
    send.is_some_and(|send| send(memory))
}

/// How a value in shared memory is written by a serializer of this type on this thread now: by another than the codec's own not
/// at all, whatever is being encoded meanwhile.
pub(crate) fn form_for<S>() -> WriteAs {
    if codec::is_own_serializer::<S>() { form() } else { WriteAs::Refused }
}

/// How a value in shared memory is written on this thread now.
pub(super) fn form() -> WriteAs {
    MODE.with_borrow(|mode| match &**mode {
        Mode::Nothing => WriteAs::Refused,
        Mode::ByValue => WriteAs::Value,
        Mode::Outputs(_) => WriteAs::Output,
        Mode::Collect(_, Use::Once) => WriteAs::Name,
        Mode::Collect(_, Use::Kept) => WriteAs::KeptName,
    })
}

/// Grants some bytes of a segment to the task whose arguments are being encoded, and returns the name to write.
pub(crate) fn grant(
    segment: &Arc<Segment>,
    right: Right,
    kind: u32,
    (offset, bytes): (usize, usize),
) -> Result<Name, CodecError> {
    let name = fresh_name().map_err(|error| CodecError::new(format!("could not get random bytes: {error}")))?;
    let grant = Grant { name, right, kind, segment: segment.id, offset: offset as u64, bytes: bytes as u64 };
    MODE.with_borrow_mut(|mode| {
        if let Mode::Collect(noted, _) = &mut **mode {
            noted.memory.entry(segment.id).or_insert_with(|| Arc::clone(segment));
            noted.grants.push(grant);
        }
    });
    Ok(name)
}

/// Notes that a descriptor was granted.
pub(super) fn note_descriptor() {
    HAS_DESCRIPTOR.set(true);
}

/// Whether a descriptor was granted, so that the row is the last of its chunk: descriptors are open here and in the worker until the chunk
/// is done, and a connection that a task has closed would not be seen to end while another task of the chunk runs.
#[inline]
pub(crate) fn has_descriptor() -> bool {
    HAS_DESCRIPTOR.get()
}

/// A grant that goes with no table yet: of a value that all tasks share.
pub(crate) fn value_grant(segment: &Segment, (offset, bytes): (usize, usize)) -> Result<Grant, CodecError> {
    let name = fresh_name().map_err(|error| CodecError::new(format!("could not get random bytes: {error}")))?;
    let (offset, bytes) = (offset as u64, bytes as u64);
    Ok(Grant { name, right: Right::Value, kind: 0, segment: segment.id, offset, bytes })
}

/// Notes a value that all tasks share, once, and the memory that it takes.
pub(crate) fn note_value(value: &Grant, memory: &[Arc<Segment>]) {
    MODE.with_borrow_mut(|mode| {
        let Mode::Collect(noted, _) = &mut **mode else {
            return;
        };
        if noted.values.iter().any(|noted| noted.name == value.name) {
            return;
        }
        noted.values.push(*value);
        for segment in memory {
            noted.memory.entry(segment.id).or_insert_with(|| Arc::clone(segment));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collecting_nests_and_ends_by_itself() {
        assert_eq!(form(), WriteAs::Refused);
        let outer = enter_kept_encode_scope();
        drop(enter_encode_scope());
        assert_eq!(form(), WriteAs::KeptName);
        assert!(enter_encode_scope().finish().memory.is_empty());
        let by_value = by_value();
        assert_eq!(form(), WriteAs::Value);
        assert_eq!(form_for::<u8>(), WriteAs::Refused);
        drop(by_value);
        assert!(outer.finish().grants.is_empty());
        assert_eq!(form(), WriteAs::Refused);
    }
}
