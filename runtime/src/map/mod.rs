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
mod options;
mod repeated;
mod replies;
mod rows;

pub use builder::{Map, Position, call};
pub use captured::Captured;
pub use columns::{Column, Columns, Length, Pulled, Source};
pub use completed::{AsCompleted, as_completed, wait_any};
pub use handle::TaskHandle;
pub use iter::{PoolIter, PoolIterUnordered};
