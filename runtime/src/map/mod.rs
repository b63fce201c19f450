//! Maps: typed fronts of the pool, all on one lazy engine.

mod apply;
mod builder;
mod captured;
mod columns;
mod completed;
mod engine;
mod handle;
mod hooks;
mod iter;
mod on_error;
mod options;
mod reduce;
mod repeated;
mod replies;
mod retry;
mod rows;
mod tuples;

pub use builder::{Map, Position, call};
pub use captured::Captured;
pub use columns::{Column, Columns, Length, Pulled, Source};
pub use completed::{AsCompleted, as_completed, wait_any};
pub use handle::TaskHandle;
pub use iter::{PoolIter, PoolIterUnordered};
pub use on_error::{Collect, OnError, Replace, Stop};
pub use reduce::merger;
pub use tuples::{Tuple, Unpacked, call_tuples};
