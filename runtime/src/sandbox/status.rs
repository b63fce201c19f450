//! The walls around the workers of a pool.

use std::fmt;

/// Says which walls hold the workers of a pool ([`Pool::sandbox_status`](crate::Pool::sandbox_status)).
///
/// Its text is a line for each wall.
///
/// # Examples
///
/// ```
/// use poolmap::{Pool, Sandbox};
///
/// poolmap::init();
/// let pool = Pool::builder().workers(1).sandbox(Sandbox::strict().best_effort()).build()?;
/// for missing in pool.sandbox_status().missing() {
///     eprintln!("not in the sandbox: {missing}");
/// }
/// # Ok::<(), poolmap::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SandboxStatus {
    pub(super) is_set: bool,
    pub(super) filters_calls: bool,
    pub(super) landlock: Option<u32>,
    pub(super) missing: Vec<String>,
    pub(super) suggestion: Option<String>,
    pub(super) separates_network: bool,
    pub(super) separates_files: bool,
    pub(super) refused_namespaces: Option<String>,
}

impl SandboxStatus {
    /// Returns whether the pool has a sandbox, and every wall of it holds; namespaces, which stand behind these, do not count.
    pub fn is_complete(&self) -> bool {
        self.is_set && self.missing.is_empty()
    }

    /// Returns whether seccomp(2) filters the system calls of the workers.
    pub fn filters_system_calls(&self) -> bool {
        self.filters_calls
    }

    /// Returns the version of landlock(7) that holds files, ports, signals and sockets; `None` where it holds nothing.
    ///
    /// Version 1 holds files, 3 truncation too, 4 TCP, 6 signals and abstract sockets.
    pub fn landlock_version(&self) -> Option<u32> {
        self.landlock
    }

    /// Returns whether workers are in a network of the pool, with no interface that is up (network_namespaces(7)).
    ///
    /// They are, unless the sandbox opens a port, is [`without_namespaces`](crate::Sandbox::without_namespaces), or the system refuses it
    /// ([`refused_namespaces`](Self::refused_namespaces)).
    pub fn separates_network(&self) -> bool {
        self.separates_network
    }

    /// Returns whether workers are in a tree of files of the pool, whose root is empty (mount_namespaces(7)).
    ///
    /// They are, unless the sandbox opens a path, is [`without_namespaces`](crate::Sandbox::without_namespaces), or the system refuses it
    /// ([`refused_namespaces`](Self::refused_namespaces)).
    pub fn separates_files(&self) -> bool {
        self.separates_files
    }

    /// Returns why the system refuses namespaces that the sandbox has, if it does. The other walls hold without them.
    ///
    /// Containers refuse them by their filter of system calls, and systems by `user.max_user_namespaces` or by a profile of AppArmor. A
    /// program that is not run by root and has capabilities, or several threads before [`init`](crate::init), gets none either.
    pub fn refused_namespaces(&self) -> Option<&str> {
        self.refused_namespaces.as_deref()
    }

    /// Returns the line of a builder that opens just what tasks have needed so far, as `Sandbox::strict().read("/etc/models")`: with
    /// [`log_only`](crate::Sandbox::log_only) only.
    pub fn suggestion(&self) -> Option<&str> {
        self.suggestion.as_deref()
    }

    /// Returns the walls that are missing, a sentence for each: with [`best_effort`](crate::Sandbox::best_effort) only, and empty for a pool
    /// without a sandbox.
    pub fn missing(&self) -> &[String] {
        &self.missing
    }
}

impl fmt::Display for SandboxStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_set {
            return f.write_str("no sandbox");
        }
        if let Some(suggestion) = &self.suggestion {
            return write!(f, "no wall: calls are noted\nwhat tasks have needed: {suggestion}");
        }
        let calls = if self.filters_calls { "filtered (seccomp)" } else { "not filtered" };
        writeln!(f, "system calls: {calls}")?;
        match self.landlock {
            Some(version) => write!(f, "files and TCP: closed (Landlock, version {version})")?,
            None => f.write_str("files and TCP: not held by Landlock")?,
        }
        for (name, is_separate) in [("network", self.separates_network), ("tree of files", self.separates_files)] {
            if is_separate {
                write!(f, "\n{name}: empty (a namespace)")?;
            }
        }
        if let Some(why) = &self.refused_namespaces {
            write!(f, "\nnamespaces: refused ({why})")?;
        }
        self.missing.iter().try_for_each(|missing| write!(f, "\nmissing: {missing}"))
    }
}
