//! The worker function of a map, without its type: what the engine, which is compiled once for all maps, has to know of it.

use crate::codec::{NewDirect, number_bytes};
use crate::functions::{Registration, WorkerFn, decode_output, new_direct};
use crate::task::Output;

/// The worker function of a map.
#[derive(Clone, Copy)]
pub(super) struct MapFunction {
    pub(super) registration: &'static Registration,
    /// Its outputs are sent back.
    pub(super) sends_output: bool,
    /// How room is made for a large output, if that goes into memory of its own.
    pub(super) direct: Option<NewDirect>,
    /// Whether these bytes are one of its outputs.
    pub(super) is_output: fn(&[u8]) -> bool,
}

impl MapFunction {
    /// That of a map whose workers print in this way.
    pub(super) fn of<F: WorkerFn>(output: Output) -> Self {
        Self {
            registration: F::__registration(),
            sends_output: F::__SENDS_OUTPUT,
            direct: new_direct::<F>(output),
            is_output: is_output::<F>,
        }
    }
}

/// Decodes an output for a trial.
fn is_output<F: WorkerFn>(bytes: &[u8]) -> bool {
    // Any bytes are a number.
    let is_number = F::__SENDS_OUTPUT && number_bytes::<F::Output>() == Some(bytes.len());
    is_number || decode_output::<F>(bytes).is_ok()
}
