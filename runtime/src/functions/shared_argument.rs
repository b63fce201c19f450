//! Arguments that all tasks share: what a task's bytes say of one, and the value that a worker keeps of it.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::borrowed_argument::{BorrowedArgument, KeptArgument};
use crate::codec::Decoder;
use crate::error::CodecError;
use crate::shared::{self, Grant, Memory, Name, Right};
use crate::sys::Held;

/// The bytes that stand for a shared argument in a task: the name of what the task is granted of it. 0 says that the argument
/// itself stands behind this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SharedName(Name);

impl SharedName {
    pub(crate) fn of(grant: &Grant) -> Self {
        Self(grant.name)
    }

    /// Says that the argument itself stands behind this.
    pub(crate) fn inline() -> Self {
        Self(0)
    }
}

impl Serialize for SharedName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SharedName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Deserialize::deserialize(deserializer).map(Self)
    }
}

/// Takes a shared argument, anew.
#[cold]
pub(super) fn take<T: DeserializeOwned>(arguments: &mut Decoder<'_>) -> Result<T, CodecError> {
    let SharedName(name) = arguments.value()?;
    // A parameter that takes its argument by value has no padding before it.
    if name == 0 {
        return arguments.value();
    }
    let grant = granted(name)?;
    Found::of(&grant)?.decode::<(), T>()
}

/// Borrows a shared argument. It is a call of its own: the arguments that are not shared have no part of it.
#[inline(never)]
pub(super) fn borrow<'a, B: ?Sized + 'static, T: DeserializeOwned + 'static>(
    arguments: &mut Decoder<'a>,
) -> Result<BorrowedArgument<'a, B, T>, CodecError> {
    let SharedName(name) = arguments.value()?;
    if name == 0 {
        return BorrowedArgument::take(arguments);
    }
    let grant = granted(name)?;
    if let Some(value) = shared::kept(grant.segment) {
        return Ok(BorrowedArgument::Kept(value));
    }
    let found = Found::of(&grant)?;
    let value = match found.borrow::<B, T>()? {
        Some(value) => KeptArgument::in_place(value),
        None => KeptArgument::own(found.decode::<B, T>()?),
    };
    Ok(BorrowedArgument::Kept(shared::keep(grant.segment, value)))
}

fn granted(name: Name) -> Result<Grant, CodecError> {
    shared::granted(name, Right::Value, 0).ok_or_else(missing)
}

#[cold]
fn missing() -> CodecError {
    CodecError::new("it is in memory that was not sent")
}

/// A value in memory, before which the grants of what it names stand.
struct Found {
    memory: Arc<Memory>,
    offset: usize,
    bytes: usize,
}

impl Found {
    fn of(grant: &Grant) -> Result<Self, CodecError> {
        let (memory, offset, bytes) = shared::find_granted(grant).ok_or_else(missing)?;
        Ok(Self { memory, offset, bytes })
    }

    /// Borrows the value where it stands; none if it cannot be read there.
    fn borrow<B: ?Sized + 'static, T>(&self) -> Result<Option<Held<Memory, B>>, CodecError> {
        let Self { memory, offset, bytes } = self;
        Held::new(Arc::clone(memory), |memory| {
            let mut decoder = decoder::<B, T>(memory, *offset, *bytes)?;
            let value = decoder.in_place::<B, T>()?;
            // What is not read there is decoded, and its end is looked at then.
            value.map(|value| decoder.end().map(|()| value)).transpose()
        })
    }

    /// What the value names is found while this is there.
    fn inner_table(&self) -> Result<impl Sized, CodecError> {
        let table = self.memory.pages().numbers::<u8>(0, self.offset).ok_or_else(missing)?;
        shared::inner_table(table).ok_or_else(missing)
    }

    /// Decodes the value, for a function that has it as a `B`.
    fn decode<B: ?Sized + 'static, T: DeserializeOwned>(&self) -> Result<T, CodecError> {
        let _table = self.inner_table()?;
        let mut decoder = decoder::<B, T>(&self.memory, self.offset, self.bytes)?;
        let value = decoder.value()?;
        decoder.end()?;
        Ok(value)
    }
}

/// What decodes the bytes of a `T` that stand there, from behind their padding for a `B` on.
fn decoder<B: ?Sized + 'static, T>(memory: &Memory, offset: usize, bytes: usize) -> Result<Decoder<'_>, CodecError> {
    let mut decoder = Decoder::new(memory.pages().numbers::<u8>(offset, bytes).ok_or_else(missing)?);
    decoder.skip_padding::<B, T>()?;
    Ok(decoder)
}
