//! One call of a worker function, encoded by itself: what is submitted, and what a pool runs in each of its workers.

use std::fmt;

use super::function::WorkerFn;
use super::outcome::serialize_panicked;
use super::table::Registration;
use crate::codec::{Encoder, Sink};
use crate::error::CodecError;
use crate::foreign;
use crate::shared::{self, Collected};
use crate::wire::LENGTH_BYTES;

/// A call as bytes.
#[derive(Clone)]
pub(crate) struct EncodedCall {
    pub(crate) function: &'static Registration,
    /// Its arguments, as they are in a chunk.
    pub(crate) task: Vec<u8>,
    /// The memory that they name, and what is granted of it.
    pub(crate) collected: Collected,
}

impl fmt::Debug for EncodedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EncodedCall").field(&self.function.path()).finish()
    }
}

impl EncodedCall {
    /// Encodes a call whose arguments take up to so many bytes.
    pub(crate) fn new<F: WorkerFn>(call: &F, bytes_max: usize) -> Result<Self, CodecError> {
        let scope = shared::enter_encode_scope();
        let mut task = vec![0; LENGTH_BYTES];
        let mut encoder = Encoder::new(Sink::behind(&mut task), bytes_max);
        encoder.begin();
        foreign::run(|| call.__encode(&mut encoder)).unwrap_or_else(|panic| Err(serialize_panicked(&panic)))?;
        let length = u32::try_from(task.len() - LENGTH_BYTES).expect("arguments are encoded with a limit under 4 GiB");
        task[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
        Ok(Self { function: F::__registration(), task, collected: scope.finish() })
    }
}
