//! The moment at which a worker enters its sandbox: behind its first call, if that initializes it, or before any.

use std::io;
use std::os::fd::OwnedFd;

use crate::transport::ChannelError;
use crate::wire::Welcome;
#[cfg(feature = "sandbox")]
use {super::panic, crate::sys, std::sync::Arc};

/// The way into a sandbox, for a worker that has not gone it.
pub(super) struct Entrance {
    #[cfg(feature = "sandbox")]
    form: Arc<[u8]>,
    /// Where calls are noted.
    #[cfg(feature = "sandbox")]
    notes: Option<OwnedFd>,
}

impl Entrance {
    /// The entrance of a worker that was welcomed so, if it is to enter a sandbox behind its first call. One that is to enter it before
    /// any call does so now.
    pub(super) fn of(welcome: &Welcome, notes: Option<OwnedFd>) -> Result<Option<Self>, ChannelError> {
        if welcome.sandbox.is_empty() {
            drop(notes);
            return Ok(None);
        }
        let entrance = Self {
            #[cfg(feature = "sandbox")]
            form: Arc::clone(&welcome.sandbox),
            #[cfg(feature = "sandbox")]
            notes,
        };
        if welcome.is_initialized {
            return Ok(Some(entrance));
        }
        entrance.enter().map(|()| None)
    }

    /// Enters it: there is no way back.
    pub(super) fn enter(self) -> Result<(), ChannelError> {
        self.raise().map_err(|error| ChannelError::Broken(format!("it could not enter its sandbox: {error}")))
    }

    #[cfg(feature = "sandbox")]
    fn raise(self) -> io::Result<()> {
        panic::prepare_backtraces();
        raise(&self.form, self.notes)
    }

    #[cfg(not(feature = "sandbox"))]
    fn raise(self) -> io::Result<()> {
        Err(io::Error::other("its program was built without the feature `sandbox`"))
    }
}

#[cfg(poolmap_sandbox)]
fn raise(form: &[u8], notes: Option<OwnedFd>) -> io::Result<()> {
    // What is done here is not the task's.
    sys::excused(|| crate::sandbox::enter(form, notes))
}

#[cfg(all(feature = "sandbox", not(poolmap_sandbox)))]
fn raise(_form: &[u8], _notes: Option<OwnedFd>) -> io::Result<()> {
    sys::excused(|| Err(io::Error::other("this platform has none")))
}
