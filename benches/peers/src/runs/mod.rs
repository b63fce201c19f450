//! Each workload over each library: how long it takes. A pool is warm before the clock starts.

pub mod poolmap;
pub mod procspawn;
pub mod rayon;
pub mod start;

/// The processes or threads that work.
pub const WORKERS: usize = 2;
