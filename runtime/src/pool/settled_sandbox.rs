//! The sandbox of a pool for this system, as it is built.

use crate::child::EntryPoint;
use crate::error::Result;
use crate::sandbox::{Sandbox, Settled, settle};
use crate::sys;

/// The sandbox for this system, and for workers that begin by this entry.
pub(super) fn settled_sandbox(policy: Option<&Sandbox>, entry: &EntryPoint) -> Result<Settled> {
    let have_threads = match entry {
        EntryPoint::Main => sys::has_threads(),
        // The first thread waits for that of the test.
        EntryPoint::Test(_) => true,
        EntryPoint::Program(_) => false,
    };
    policy.map_or_else(|| Ok(Settled::default()), |policy| settle(policy, have_threads))
}
