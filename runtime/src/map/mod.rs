//! Maps: typed fronts of the pool, all on one lazy engine.

mod apply;
mod builder;
mod columns;
mod engine;
mod iter;
mod options;
mod repeated;
mod replies;
mod rows;

pub use builder::{Map, Position, call};
pub use columns::{Column, Columns, Length, Pulled, Source};
pub use iter::{PoolIter, PoolIterUnordered};
