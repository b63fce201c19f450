//! The column of a value that every task gets: encoded once, into memory of its own, and named by each task.

use std::marker::PhantomData;
use std::sync::Arc;

use super::columns::{Column, Immediate, Length};
use crate::codec::{Encoder, Sink};
use crate::error::CodecError;
use crate::foreign;
use crate::functions::{EncodeAs, EncodeOwned, SharedName, encode_item, serialize_panicked};
use crate::shared::{self, Collected, Grant, Memory, Segment};

/// A column that repeats one item.
pub struct Repeated<I, T, E> {
    item: I,
    encoded: Option<Result<Encoded, CodecError>>,
    parameter: PhantomData<fn() -> (T, E)>,
}

/// The encoded item.
enum Encoded {
    /// Its encoding is in memory that the workers share, and names further memory.
    There { grant: Grant, memory: Vec<Arc<Segment>> },
    /// There is no such memory: it goes with each task.
    Inline,
}

impl<I, T, E> Repeated<I, T, E> {
    pub(super) fn new(item: I) -> Self {
        Self { item, encoded: None, parameter: PhantomData }
    }
}

impl<I, T, E> Immediate for Repeated<I, T, E> {}

impl<I: EncodeAs<T>, T, E: EncodeOwned<T>> Column for Repeated<I, T, E> {
    const IS_SHARED: bool = true;
    type Item = ();

    fn length(&self) -> Length {
        Length::Endless
    }

    #[inline]
    fn pull(&mut self) -> Option<()> {
        Some(())
    }

    fn encode(&mut self, (): (), encoder: &mut Encoder<'_>) -> Result<(), CodecError> {
        match self.encoded.get_or_insert_with(|| encode_once::<I, T, E>(&self.item)) {
            Ok(Encoded::There { grant, memory }) => {
                shared::note_value(grant, memory);
                encoder.value(&SharedName::of(grant))
            }
            Ok(Encoded::Inline) => {
                encoder.value(&SharedName::inline())?;
                encode_item::<T, E>(&self.item, encoder)
            }
            Err(error) => Err(error.clone()),
        }
    }
}

fn encode_once<I: EncodeAs<T>, T, E: EncodeOwned<T>>(item: &I) -> Result<Encoded, CodecError> {
    let scope = shared::enter_kept_encode_scope();
    let mut bytes = Vec::new();
    foreign::run(|| encode_item::<T, E>(item, &mut Encoder::new(Sink::behind(&mut bytes), usize::MAX)))
        .unwrap_or_else(|panic| Err(serialize_panicked(&panic)))?;
    let Collected { mut memory, grants } = scope.finish();
    // The handles in the value are granted to each task that decodes it.
    let table = shared::write_grants(&grants);
    // There is no memory of no bytes.
    let filled = Memory::fill((table.len() + bytes.len()).max(1), |pages| {
        let mut write = |offset, part: &[u8]| {
            pages.numbers_mut(offset, part.len()).expect("the memory was made for so many bytes").copy_from_slice(part);
        };
        write(0, &table);
        write(table.len(), &bytes);
    });
    // A process that has the segment can read it: this one need not.
    let segment = filled.ok().and_then(|(filled, ())| filled.segment().map(Arc::clone));
    Ok(match segment {
        Some(segment) => {
            let grant = shared::value_grant(&segment, (table.len(), bytes.len()))?;
            memory.push(segment);
            Encoded::There { grant, memory }
        }
        None => Encoded::Inline,
    })
}
