//! The policy of a sandbox, as a program writes it. It knows nothing of how it is held.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::sys;

/// Says what the workers of a pool may do that are not trusted ([`Builder::sandbox`](crate::Builder::sandbox)).
///
/// [`strict`](Self::strict) allows a worker to compute, and to answer. Each other method opens one thing.
///
/// The sandbox begins after the pool's [`initializer`](crate::Builder::initializer) and before the first task, and holds for the rest of
/// the process: for the tasks, for the finalizer, and for every thread of the worker. The guide's page
/// [untrusted input](crate::guide::untrusted_input) says what holds against which attacker, and what does not.
///
/// # A task in a sandbox
///
/// - It cannot open files, look at their names, make sockets, pipes, threads or processes, run programs, make memory executable, or send
///   signals to other processes. A call for that ends the task with
///   [`TaskErrorKind::Denied`](crate::TaskErrorKind::Denied), which names the system call and, where it has one, the path.
/// - It uses what the initializer has left: memory, open files, and threads that wait.
/// - The environment is empty, but for `RUST_BACKTRACE`.
/// - The worker has no capabilities, cannot get any, and writes no core dump.
/// - Panics, `Err`s, crashes with their backtraces, limits of time and memory, captured output and seeds are as in any other pool.
/// - A [`SharedSlice`](crate::SharedSlice) is an argument as ever, and read-only. A task cannot make one: return a `Vec`.
///
/// # Worker death
///
/// A denied call ends the worker. The pool replaces it.
///
/// # Examples
///
/// ```
/// use poolmap::{Pool, Sandbox, TaskErrorKind, pool_try_map, worker};
///
/// /// A parser, which the second of these texts has taken over.
/// #[worker]
/// fn parse(text: &str) -> usize {
///     if text.starts_with("evil") {
///         return std::fs::read("/etc/passwd").map_or(0, |bytes| bytes.len());
///     }
///     text.len()
/// }
///
/// poolmap::init();
/// # if option_env!("POOLMAP_PORTABLE").is_none() {
/// let pool = Pool::builder().workers(2).sandbox(Sandbox::strict()).build()?;
/// let outcomes = pool_try_map!(in &pool, parse, ["good", "evil"])?;
/// assert_eq!(outcomes[0].as_ref().unwrap(), &4);
/// let error = outcomes[1].as_ref().unwrap_err();
/// assert!(matches!(error.kind(), TaskErrorKind::Denied { call: Some(call), .. } if call.starts_with("open")));
/// # }
/// # Ok::<(), poolmap::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing before it is given to `Builder::sandbox`"]
pub struct Sandbox {
    pub(super) paths: Vec<(PathBuf, PathAccess)>,
    pub(super) ports: Vec<u16>,
    pub(super) threads: usize,
    pub(super) calls: Vec<String>,
    pub(super) on_denial: OnDenial,
    pub(super) requirement: Requirement,
    pub(super) namespaces: NamespaceUse,
}

/// How much of a path is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathAccess {
    Read,
    Write,
}

/// The effect of a denied call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnDenial {
    EndsTask,
    ReturnsError,
    /// It is made, and noted.
    IsNoted,
}

/// Whether each wall must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Requirement {
    Every,
    WhatIsThere,
}

/// Whether workers enter namespaces of their pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NamespaceUse {
    WherePossible,
    Never,
}

/// More threads than a worker has use for.
const THREADS_MAX: usize = 1 << 12;

impl Sandbox {
    /// Allows nothing but to compute.
    pub fn strict() -> Self {
        Self {
            paths: Vec::new(),
            ports: Vec::new(),
            threads: 0,
            calls: Vec::new(),
            on_denial: OnDenial::EndsTask,
            requirement: Requirement::Every,
            namespaces: NamespaceUse::WherePossible,
        }
    }

    /// Opens a file, or a folder with everything in it, to be read. The path is absolute, and there when the pool is built.
    ///
    /// The path is resolved when a worker enters the sandbox. A link in it is followed then, and a link in the folder that leads out of it
    /// is of no use to a task.
    ///
    /// To open another file is an error of the file system then, which reaches the task (`EACCES`), and no longer ends it. Tasks can see
    /// the names, sizes and times of other files, as landlock(7) does not hide these. Needs version 3 of Landlock (Linux 6.2).
    pub fn read(mut self, path: impl AsRef<Path>) -> Self {
        self.paths.push((path.as_ref().to_owned(), PathAccess::Read));
        self
    }

    /// Opens a file, or a folder with everything in it, to be read and written, as [`read`](Self::read) does. In a folder, tasks can make
    /// and remove files and folders, and no links, devices or sockets. They cannot change owners, modes and times.
    pub fn write(mut self, path: impl AsRef<Path>) -> Self {
        self.paths.push((path.as_ref().to_owned(), PathAccess::Write));
        self
    }

    /// Opens TCP connections to this port, of any address: 1 to 65,535. A connection to another port is an error (`EACCES`).
    ///
    /// Names of hosts cannot be looked up, which takes UDP and files: give tasks addresses. Needs version 4 of Landlock (Linux 6.7).
    pub fn connect(mut self, port: u16) -> Self {
        self.ports.push(port);
        self
    }

    /// Allows a task to have this many threads beside its own, at most: up to 4,096. Default: none.
    ///
    /// A thread more ends the task with [`Denied`](crate::TaskErrorKind::Denied) when it begins. Threads that the initializer started do
    /// not count. The threads are counted in the worker: code that has taken the worker over can start more threads (and no process),
    /// which the limits of time and memory end.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Allows a system call by its name, with any arguments: `allow("getcwd")`.
    ///
    /// It takes the filter of system calls away from this call; what [`read`](Self::read), [`write`](Self::write) and
    /// [`connect`](Self::connect) do not open stays closed to it where Landlock knows of it. Calls such as `ptrace`, `bpf`,
    /// `io_uring_setup` and `execve` open more than their names say.
    pub fn allow(mut self, call: impl Into<String>) -> Self {
        self.calls.push(call.into());
        self
    }

    /// Has a denied call return an error (`EPERM`) instead of ending its task.
    ///
    /// It suits a library that asks for something and does without it. A call that the worker's thread makes while it has blocked `SIGSYS`
    /// ends the task all the same.
    pub fn deny_quietly(mut self) -> Self {
        self.on_denial = OnDenial::ReturnsError;
        self
    }

    /// Allows every call, and notes those that the sandbox would deny: to find out what a program needs. It protects from nothing.
    ///
    /// [`SandboxStatus::suggestion`](crate::SandboxStatus::suggestion) is the line of a builder that opens just what the tasks have needed so
    /// far. The pool prints it on standard error when it is dropped.
    ///
    /// Calls of the thread that runs the tasks are noted, and of what it starts; threads of the initializer are not. A noted call takes some
    /// 20 µs. It does not combine with [`deny_quietly`](Self::deny_quietly): the later of the two counts.
    ///
    /// # Errors
    ///
    /// [`Builder::build`](crate::Builder::build) returns an error where the kernel cannot ask about calls (seccomp_unotify(2), Linux 5.5), also
    /// with [`best_effort`](Self::best_effort).
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{Pool, Sandbox, pool_map, worker};
    ///
    /// #[worker]
    /// fn folder(_task: u32) -> bool {
    ///     std::env::current_dir().is_ok()
    /// }
    ///
    /// poolmap::init();
    /// # if cfg!(target_os = "linux") && option_env!("POOLMAP_PORTABLE").is_none() {
    /// let pool = Pool::builder().workers(1).sandbox(Sandbox::strict().log_only()).build()?;
    /// pool_map!(in &pool, folder, 0..3)?;
    /// assert_eq!(pool.sandbox_status().suggestion(), Some("Sandbox::strict().allow(\"getcwd\")"));
    /// # }
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn log_only(mut self) -> Self {
        self.on_denial = OnDenial::IsNoted;
        self
    }

    /// Accepts that walls are missing which this system does not have. [`Pool::sandbox_status`](crate::Pool::sandbox_status) says which
    /// hold.
    ///
    /// Without it, [`Builder::build`](crate::Builder::build) returns an error that names the missing wall.
    pub fn best_effort(mut self) -> Self {
        self.requirement = Requirement::WhatIsThere;
        self
    }

    /// Leaves the workers the network and the tree of files of the program, which the other walls close.
    ///
    /// Without it they are in a network with no interface that is up, and in a tree of files with none, where the system allows that
    /// (namespaces(7)). These namespaces stand behind the other walls: they hide what [`allow`](Self::allow) would open otherwise, such as
    /// UDP, UNIX sockets by their paths, and names and sizes of files. [`connect`](Self::connect) leaves a worker the network of the program,
    /// and [`read`](Self::read) and [`write`](Self::write) leave it the files. Where the system refuses namespaces, the other walls hold
    /// without, and [`SandboxStatus::refused_namespaces`](crate::SandboxStatus::refused_namespaces) says why.
    ///
    /// A worker enters them behind its initializer, by a right that it has had since its start. So they are to be left out where
    ///
    /// - the initializer changes the user of its process, or drops its capabilities: that keeps the worker from its tasks;
    /// - the program does not run as root, and its initializer looks at the owners of files, or runs a program that gets rights by a
    ///   set-user-ID bit. The workers of a user are in a namespace of users from their start: there files of other users have the owner
    ///   65534 (`nobody`), no file can be given to another group, and no program gets such rights.
    ///
    /// In a task the current folder is `/`. A process makes the namespaces once for a pool, before its first worker starts, which takes about
    /// a millisecond; a worker makes 5 system calls for each thread to enter them.
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{Pool, Sandbox};
    ///
    /// poolmap::init();
    /// # if cfg!(target_os = "linux") && option_env!("POOLMAP_PORTABLE").is_none() {
    /// let pool = Pool::builder().workers(1).sandbox(Sandbox::strict()).build()?;
    /// let status = pool.sandbox_status();
    /// match status.refused_namespaces() {
    ///     Some(why) => println!("no namespaces: {why}"),
    ///     None => assert!(status.separates_network() && status.separates_files()),
    /// }
    /// let pool = Pool::builder().workers(1).sandbox(Sandbox::strict().without_namespaces()).build()?;
    /// assert!(!pool.sandbox_status().separates_network());
    /// # }
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn without_namespaces(mut self) -> Self {
        self.namespaces = NamespaceUse::Never;
        self
    }

    /// Refuses what cannot be meant.
    pub(super) fn check(&self) -> Result<()> {
        for (path, access) in &self.paths {
            let option = match access {
                PathAccess::Read => "read",
                PathAccess::Write => "write",
            };
            if !path.is_absolute() {
                let message = format!("`Sandbox::{option}` must be an absolute path, got {path:?}");
                return Err(Error::invalid_option(message));
            }
            if let Err(error) = std::fs::metadata(path) {
                let message = format!("`Sandbox::{option}` must be a path that is there, got {path:?}: {error}");
                return Err(Error::invalid_option(message));
            }
        }
        if self.ports.contains(&0) {
            return Err(Error::invalid_option("`Sandbox::connect` must be 1 to 65535, got 0"));
        }
        if self.threads > THREADS_MAX {
            let message = format!("`Sandbox::threads` must be at most {THREADS_MAX}, got {}", self.threads);
            return Err(Error::invalid_option(message));
        }
        match self.calls.iter().find(|call| sys::HAS_SANDBOX && sys::call_number(call).is_none()) {
            Some(call) => Err(Error::invalid_option(format!(
                "`Sandbox::allow` must be the name of a system call of this platform, such as \"getcwd\", got {call:?}"
            ))),
            None => Ok(()),
        }
    }
}
