//! Maps: typed fronts of the pool, all on one lazy engine.

mod apply;
mod as_completed;
mod broadcast;
mod builder;
mod captured;
mod columns;
mod early;
mod engine;
mod failed_tasks;
mod gathered;
mod handle;
mod iter;
mod job_log;
mod journal;
mod on_error;
mod on_workers;
mod options;
mod priority;
mod reduce;
mod results;
mod save_failed;
mod single_call;
#[cfg(feature = "stream")]
mod stream;
#[cfg(feature = "stream")]
mod stream_input;
mod timeline;
mod tuples;
mod zip;

pub use as_completed::{AsCompleted, as_completed, wait_any, wait_any_timeout};
pub use builder::{Map, Position, call};
pub use columns::{Column, Columns, ColumnsRead, Immediate, Length, NextItem, Source};
pub use handle::TaskHandle;
pub use iter::{PoolIter, PoolIterUnordered};
pub use on_error::{Collect, OnError, Replace, Stop};
pub use reduce::merger;
pub use single_call::SingleCall;
#[cfg(feature = "stream")]
pub use stream::{PoolStream, PoolStreamUnordered};
#[cfg(feature = "stream")]
pub use stream_input::{IsStream, StreamInput, StreamItems, stream};
pub use tuples::{Tuple, Unpacked, call_tuples};
