//! Arguments that all tasks share: what a task's bytes say of one, and the value that a worker keeps of it.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::borrowed_argument::BorrowedArgument;
use crate::codec::Decoder;
use crate::error::CodecError;
use crate::shared::{self, Grant, Name, Right};

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
    if name == 0 { arguments.value() } else { decode::<(), T>(&granted(name)?) }
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
    match shared::kept(grant.segment) {
        Some(value) => Ok(BorrowedArgument::Kept(value)),
        None => Ok(BorrowedArgument::Kept(shared::keep(grant.segment, decode::<B, T>(&grant)?))),
    }
}

fn granted(name: Name) -> Result<Grant, CodecError> {
    shared::granted(name, Right::Value, 0).ok_or_else(missing)
}

fn missing() -> CodecError {
    CodecError::new("it is in memory that was not sent")
}

/// Decodes the value, before which the grants of what it names stand.
fn decode<B: ?Sized + 'static, T: DeserializeOwned>(grant: &Grant) -> Result<T, CodecError> {
    let (memory, offset, bytes) = shared::find_granted(grant).ok_or_else(missing)?;
    let table = memory.pages().numbers::<u8>(0, offset).ok_or_else(missing)?;
    let bytes = memory.pages().numbers::<u8>(offset, bytes).ok_or_else(missing)?;
    let _table = shared::inner_table(table).ok_or_else(missing)?;
    let mut decoder = Decoder::new(bytes);
    decoder.skip_padding::<B, T>()?;
    let value = decoder.value()?;
    decoder.end()?;
    Ok(value)
}
