//! How a thing between processes travels: as a name, which a task is granted, and by which its worker finds the descriptor that
//! came before.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use super::segment::{SyncKind, SyncSegment};
use crate::codec;
use crate::shared::{self, Name, Right, WriteAs};

/// Notes a segment for the worker, and writes its name.
pub(super) fn serialize<S: Serializer>(
    kind: SyncKind,
    segment: &SyncSegment,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match shared::form_for::<S>() {
        WriteAs::Name | WriteAs::KeptName => {
            let name =
                shared::grant(segment.segment(), Right::Open, kind as u32, (0, 0)).map_err(ser::Error::custom)?;
            name.serialize(serializer)
        }
        WriteAs::Value | WriteAs::Output | WriteAs::Refused => Err(refused(kind.name())),
    }
}

/// Finds the segment that a name stands for.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    kind: SyncKind,
    deserializer: D,
) -> Result<Arc<SyncSegment>, D::Error> {
    if !codec::is_own_deserializer::<D>() {
        return Err(not_here(kind.name()));
    }
    let name = Name::deserialize(deserializer)?;
    let grant = shared::granted(name, Right::Open, kind as u32).ok_or_else(|| not_here(kind.name()))?;
    let segment = shared::find_made(grant.segment, |descriptor| SyncSegment::join(kind, descriptor));
    segment.ok_or_else(|| not_here(kind.name()))?.map_err(de::Error::custom)
}

/// It cannot be written here.
pub(super) fn refused<E: ser::Error>(name: &str) -> E {
    E::custom(format!(
        "{name} travels as an argument of a worker function, by itself or inside of another value, and no other way (not in a \
         result, nor through a channel or a mutex): make it where the pool is, and pass it to all who need it"
    ))
}

/// It cannot be read here.
pub(super) fn not_here<E: de::Error>(name: &str) -> E {
    E::custom(format!("{name} that this task was not given: it travels as an argument of a worker function only"))
}

/// Implements for a handle on a segment what it takes to travel, and to be cloned.
macro_rules! travels {
    ($handle:ident $(<$value:ident>)?, $kind:expr, $make:expr) => {
        impl $(<$value>)? serde::Serialize for $handle $(<$value>)? {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                crate::sync::handle_serde::serialize($kind, &self.segment, serializer)
            }
        }

        impl<'de $(, $value)?> serde::Deserialize<'de> for $handle $(<$value>)? {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::sync::handle_serde::deserialize($kind, deserializer).map($make)
            }
        }

        impl $(<$value>)? Clone for $handle $(<$value>)? {
            fn clone(&self) -> Self {
                $make(std::sync::Arc::clone(&self.segment))
            }
        }
    };
}

pub(super) use travels;
