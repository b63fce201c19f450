//! Arguments that all tasks share: what a task's bytes say of one, and the value that a worker keeps of it.

use std::ops::Deref;
use std::rc::Rc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec::Decoder;
use crate::error::CodecError;
use crate::shared::{self, Memory};

/// What stands for a shared argument in the bytes of a task: the number of the memory that it fills, and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SharedName {
    id: u64,
    bytes: u64,
}

impl SharedName {
    pub(crate) fn of(id: u64, bytes: usize) -> Self {
        Self { id, bytes: bytes as u64 }
    }

    /// Says that the argument itself stands behind this.
    pub(crate) fn inline() -> Self {
        Self { id: 0, bytes: 0 }
    }
}

impl Serialize for SharedName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.id, self.bytes).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SharedName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Deserialize::deserialize(deserializer).map(|(id, bytes)| Self { id, bytes })
    }
}

/// An argument that a function borrows: the task's own, or one that the worker keeps for all tasks.
pub enum Held<T> {
    /// The task's own.
    Own(T),
    /// That of all tasks.
    Kept(Rc<T>),
}

impl<T> Deref for Held<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match self {
            Self::Own(value) => value,
            Self::Kept(value) => value,
        }
    }
}

/// Takes a shared argument, anew.
#[cold]
pub(super) fn take<T: DeserializeOwned>(arguments: &mut Decoder<'_>) -> Result<T, CodecError> {
    let name: SharedName = arguments.value()?;
    if name.id == 0 { arguments.value() } else { decode(name) }
}

/// Borrows a shared argument. It is a call of its own: the arguments that are not shared have no part of it.
#[inline(never)]
pub(super) fn borrow<T: DeserializeOwned + 'static>(arguments: &mut Decoder<'_>) -> Result<Held<T>, CodecError> {
    let name: SharedName = arguments.value()?;
    if name.id == 0 {
        return arguments.value().map(Held::Own);
    }
    match shared::kept(name.id) {
        Some(value) => Ok(Held::Kept(value)),
        None => Ok(Held::Kept(shared::keep(name.id, decode(name)?))),
    }
}

fn decode<T: DeserializeOwned>(name: SharedName) -> Result<T, CodecError> {
    let memory = shared::find(name.id);
    let bytes = memory.as_deref().map(Memory::pages).zip(usize::try_from(name.bytes).ok());
    let bytes = bytes.and_then(|(pages, bytes)| pages.numbers::<u8>(0, bytes));
    let mut decoder = Decoder::new(bytes.ok_or_else(|| CodecError::new("it is in memory that was not sent"))?);
    let value = decoder.value()?;
    decoder.end()?;
    Ok(value)
}
