//! The sandbox of a pool for this system, as it is built: the walls, and the namespaces that are made for its workers.

use std::time::Duration;

use crate::child::{self, EntryPoint, Start};
use crate::error::{Error, Result};
use crate::sandbox::{Sandbox, Settled, settle};
use crate::sys::{self, Surroundings, SurroundingsChanges};

/// The sandbox for this system, with the namespaces that a process has made for it; that one has as long as a worker to start.
pub(super) fn settled_sandbox(
    policy: Option<&Sandbox>,
    (entry, start, surroundings): (&EntryPoint, &Start, &SurroundingsChanges),
    startup_timeout: Duration,
) -> Result<Settled> {
    let mut settled = policy.map_or_else(|| Ok(Settled::default()), settle)?;
    if settled.needs_namespaces() {
        let surroundings =
            Surroundings::capture(surroundings).map_err(|error| Error::start(sys::start_error("a pool", &error)))?;
        let (made, why_missing) = child::make_namespaces(entry, start, &surroundings, startup_timeout);
        settled.set_namespaces(made, why_missing);
    }
    Ok(settled)
}
