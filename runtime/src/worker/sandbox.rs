//! The moment at which a worker enters its sandbox: behind its first call, if that initializes it, or before any.

use std::io;
use std::os::fd::OwnedFd;

use crate::sys::Namespaces;
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
    #[cfg(feature = "sandbox")]
    namespaces: Namespaces,
}

/// Does what a worker that is to enter these namespaces can do only while it has one thread.
pub(super) fn prepare_to_enter(namespaces: &Namespaces) -> io::Result<()> {
    match &namespaces.users {
        #[cfg(poolmap_sandbox)]
        Some(users) => crate::sys::enter_user_namespace(std::os::fd::AsFd::as_fd(users)).map_err(|error| {
            io::Error::new(error.kind(), format!("it could not enter the user namespace of its sandbox: {error}"))
        }),
        _ => Ok(()),
    }
}

/// Does in a fork server what each copy of it would have to do before it enters a sandbox.
pub(super) fn prepare_copies() {
    #[cfg(feature = "sandbox")]
    panic::prepare_backtraces();
}

impl Entrance {
    /// The entrance of a worker that was welcomed so, if it is to enter a sandbox behind its first call. One that is to enter it before
    /// any call does so now.
    pub(super) fn of(
        welcome: &Welcome,
        notes: Option<OwnedFd>,
        namespaces: Namespaces,
    ) -> Result<Option<Self>, ChannelError> {
        if welcome.sandbox.is_empty() {
            drop((notes, namespaces));
            return Ok(None);
        }
        let entrance = Self {
            #[cfg(feature = "sandbox")]
            form: Arc::clone(&welcome.sandbox),
            #[cfg(feature = "sandbox")]
            notes,
            #[cfg(feature = "sandbox")]
            namespaces,
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
        raise(&self.form, self.notes, &self.namespaces)
    }

    #[cfg(not(feature = "sandbox"))]
    fn raise(self) -> io::Result<()> {
        Err(io::Error::other("its program was built without the feature `sandbox`"))
    }
}

#[cfg(poolmap_sandbox)]
fn raise(form: &[u8], notes: Option<OwnedFd>, namespaces: &Namespaces) -> io::Result<()> {
    // What is done here is not the task's.
    sys::excused(|| crate::sandbox::enter(form, notes, namespaces))
}

#[cfg(all(feature = "sandbox", not(poolmap_sandbox)))]
fn raise(_form: &[u8], _notes: Option<OwnedFd>, _namespaces: &Namespaces) -> io::Result<()> {
    sys::excused(|| Err(io::Error::other("this platform has none")))
}
