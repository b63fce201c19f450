//! Values in memory that workers map: one copy for all of them, sent as a name of a few bytes. It knows nothing of how a name,
//! or the memory's descriptor, travels.

mod collect;
mod copied;
mod file;
mod grant;
mod lend;
mod part;
mod received;
mod segment;
mod slice;
mod slice_mut;
mod table;
mod value;
mod waiting;

pub(crate) use collect::{
    Collected, WriteAs, by_value, collect, collect_kept, form_for, grant, note_value, value_grant, write_by_value,
};
pub(crate) use grant::{GRANT_BYTES, Grant, Name, Right, runs, write_grants};
pub(crate) use lend::has_parts;
pub use part::{SharedChunksMut, SharedPart};
pub(crate) use received::{add, end_leases, find, find_granted, find_made, find_open, forget_kept, keep, kept, remove};
pub(crate) use segment::{Memory, Segment, SegmentHead, SegmentKind};
pub use slice::{Number, SharedChunks, SharedSlice};
pub use slice_mut::SharedSliceMut;
pub(crate) use table::{begin_grants, close_table, closed_table, end_grants, granted, inner_table, open_table};
pub use value::{Shared, shared};
pub(crate) use waiting::{Looker, look_while_waiting};
