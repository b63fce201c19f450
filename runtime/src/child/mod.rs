//! A process of this program, or of another with the same worker functions, as its parent sees it: how it is started, and what its end means. Pools and `Process` share it.
//!
//! - *entry*: how a started process becomes a worker: by its `main` up to `init()`, by one of its tests, or as another program that runs
//!   workers alone.
//! - *marker*: what a started process reads from its environment, before it can be greeted.
//! - *cause*: why the parent has taken a process out of service.
//! - *origin*: whether the cause of a death lies in the process or outside of it.
//! - *verdict*: what an end means for the task that the process was running, and for its start.

mod core_dump;
mod crash_kind;
mod kill;
mod program;
mod server_process;
mod spawn;
mod timers;
mod verdict;

pub(crate) use kill::{await_killed, end_with_its_stack, kill};
pub(crate) use program::{DEPTH_MAX, EntryPoint, MARKER, Marker, depth, entry, set_depth, set_entry};
pub(crate) use server_process::{ForkServer, Moment, ServerEnd, ServerOptions, ServerTimes};
pub(crate) use spawn::{Particulars, STACK_BYTES, Start, StartError, check_memory_limit, start};
pub(crate) use timers::{Observation, TaskTimer, interval};
pub(crate) use verdict::{Cause, StartOutcome, Verdict};
