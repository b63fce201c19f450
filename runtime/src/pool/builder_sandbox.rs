//! The sandbox of a pool's workers: the option, how it travels to other nodes, and which walls hold.

use std::io::Write;

use super::builder::Builder;
use super::handle::Pool;
use crate::error::Result;
use crate::sandbox::{Sandbox, SandboxStatus};

impl Builder {
    /// Puts each worker into a sandbox, behind its initializer and before its first task. Default: workers have the rights of this program.
    ///
    /// [`Sandbox`] says what a task can do there; [untrusted input](crate::guide::untrusted_input) says against whom it holds. A worker
    /// takes some 0.5 ms more to start, and the first of a pool 1 ms; with `RUST_BACKTRACE` set 0.1 s, as the names for backtraces are read
    /// before, which a fork server does once for its copies. A task takes no longer than without it.
    ///
    /// With [`StartMethod::ForkServer`](crate::StartMethod::ForkServer) the fork server itself, and so [`preload`](Self::preload), runs
    /// outside of the sandbox. On a cluster each node's workers are in a sandbox of their machine, and a node that lacks a wall fails as
    /// [`build`](Self::build) does.
    ///
    /// # Errors
    ///
    /// [`build`](Self::build) returns an error if a path, a port or a system call of the sandbox is not valid, or if this system lacks a wall
    /// of it; [`Sandbox::best_effort`] accepts the latter. In process there is no sandbox
    /// ([`Error::is_invalid_option`](crate::Error::is_invalid_option)).
    ///
    /// # Worker death
    ///
    /// A denied system call ends the worker, and its task with [`Denied`](crate::TaskErrorKind::Denied). A worker that could not enter its
    /// sandbox runs no task: it ends, and prints the reason on its standard error.
    pub fn sandbox(mut self, sandbox: Sandbox) -> Self {
        self.sandbox = Some(sandbox);
        self
    }
}

impl Pool {
    /// Returns which walls hold the workers of this pool. It is known when the pool is built; namespaces are made for the first worker, and
    /// this waits until they are.
    ///
    /// On a cluster it is that of this machine.
    pub fn sandbox_status(&self) -> SandboxStatus {
        self.walls()
    }
}

impl Pool {
    /// Prints what tasks have needed, where the sandbox only notes that.
    pub(super) fn print_suggestion(&self) {
        if let Some(suggestion) = self.suggestion() {
            let text = format!("poolmap: the tasks of this pool have needed {suggestion}\n");
            // There may be no standard error, which is no reason to panic.
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
    }
}

impl Builder {
    /// The sandbox as bytes.
    pub(super) fn sandbox_form(&self) -> Result<Option<Vec<u8>>> {
        self.sandbox.as_ref().map(Sandbox::to_bytes).transpose()
    }

    /// Sets the sandbox that came as bytes.
    pub(super) fn set_sandbox_form(&mut self, form: Option<Vec<u8>>) -> Result<()> {
        self.sandbox = form.map(|form| Sandbox::from_bytes(&form)).transpose()?;
        Ok(())
    }
}
