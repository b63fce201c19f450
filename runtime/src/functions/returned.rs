//! The error that a worker function returned, as it travels: texts that are cut where they are long, and the error as a value.

use std::error::Error;

use super::failure_texts::{TEXT_PART, cut};
use super::task_phase::TaskAbort;
use super::task_run::TaskCall;
use crate::codec;
use crate::error::{CodecError, RemoteError, TypedValue};

/// The part of a frame for the error as a value.
const TYPED_PART: usize = 4;
/// The part of a frame for one link of the chain of sources: all of them take a quarter, their lengths included.
const LINK_PART: usize = 5 * CHAIN_LENGTH_MAX;
/// A chain of sources is cut here; one that points to itself would have no end.
const CHAIN_LENGTH_MAX: usize = 32;

impl TaskCall<'_> {
    /// How large an error may be as a value.
    pub fn failure_bytes_max(&self) -> usize {
        self.results.bytes_max() / TYPED_PART
    }

    /// Writes the error that the function returned, and itself as a value where it is serde.
    pub(super) fn failed(
        &mut self,
        type_name: &str,
        error: &(dyn Error + Send + Sync),
        typed: Option<(u64, Vec<u8>)>,
    ) -> TaskAbort {
        let bytes_max = self.results.bytes_max();
        let chain: Vec<String> = std::iter::successors(error.source(), |&cause| cause.source())
            .take(CHAIN_LENGTH_MAX)
            .map(|cause| cut(&cause.to_string(), bytes_max / LINK_PART))
            .collect();
        let text = |text: &str| cut(text, bytes_max / TEXT_PART);
        let failure = (text(&error.to_string()), chain, text(&format!("{error:?}")), text(type_name), typed);
        match self.results.value(&failure) {
            Ok(()) => TaskAbort::Failed,
            Err(error) => TaskAbort::Encode(CodecError::new(format!("the returned error: {error}"))),
        }
    }
}

/// Reads what [`TaskCall::failed`] wrote.
pub(super) fn decode_failure(bytes: &[u8]) -> Result<RemoteError, CodecError> {
    type Failure = (String, Vec<String>, String, String, Option<(u64, Vec<u8>)>);
    let (message, chain, debug, type_name, typed): Failure = codec::decode(bytes)?;
    let typed = typed.map(|(type_hash, bytes)| TypedValue { type_hash, bytes });
    Ok(RemoteError::new(message, chain, debug, type_name, typed))
}
