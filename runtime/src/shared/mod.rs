//! Values in memory that workers map: one copy for all of them, sent as a name of a few bytes. It knows nothing of how a name,
//! or the memory's descriptor, travels.

mod content;
mod copied;
mod descriptor;
mod element;
mod encode_scope;
mod file;
mod grant;
mod grant_table;
mod loan;
mod object_table;
mod output_memory;
mod own;
mod own_scope;
mod partition;
mod quiesce;
mod segment;
mod slice;
mod slice_mut;
mod value;

pub(crate) use content::{ContentError, Contents, Names};
pub use descriptor::Fd;
pub use element::{Element, Number};
pub(crate) use encode_scope::{
    Collected, WriteAs, by_value, enter_encode_scope, enter_kept_encode_scope, form_for, grant, has_descriptor,
    note_value, value_grant, write_by_value, write_outputs,
};
pub(crate) use grant::{GRANT_BYTES, Grant, Name, Right, read_grants, runs, write_grants};
pub(crate) use grant_table::{
    begin_grants, close_table, closed_table, end_grants, granted, inner_table, is_in_own_task, open_table,
};
pub(crate) use loan::has_parts;
pub(crate) use object_table::{
    add, end_leases, find, find_granted, find_made, find_open, forget_kept, keep, kept, remove,
};
pub(crate) use output_memory::{HeldOutputs, IN_FLIGHT_MAX, OutputTable, in_flight, open_outputs};
pub(crate) use own_scope::{OwnMemory, enter_own_task};
pub use partition::{SharedChunksMut, SharedPart};
pub(crate) use quiesce::{Poller, poll_while_waiting};
pub(crate) use segment::{Anchor, Memory, Segment, SegmentHead, SegmentKind};
pub use slice::{SharedChunks, SharedSlice};
pub use slice_mut::SharedSliceMut;
pub use value::{Shared, shared};
