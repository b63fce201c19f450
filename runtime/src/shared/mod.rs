//! Values in memory that workers map: one copy for all of them, sent as a name of a few bytes. It knows nothing of how a name,
//! or the memory's descriptor, travels.

mod collect;
mod copied;
mod file;
mod lend;
mod part;
mod received;
mod segment;
mod slice;
mod slice_mut;
mod value;
mod waiting;

pub(crate) use collect::{Form, by_value, collect, collect_kept, form_for, note, write_by_value};
pub(crate) use lend::has_parts;
pub use part::{SharedChunksMut, SharedPart};
pub(crate) use received::{add, find, find_made, find_open, keep, kept, remove};
pub(crate) use segment::{Memory, Segment};
pub use slice::{Number, SharedChunks, SharedSlice};
pub use slice_mut::SharedSliceMut;
pub use value::{Shared, shared};
pub(crate) use waiting::{Look, look_while_waiting};
