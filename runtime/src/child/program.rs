//! How a started process of this program becomes a worker, and what it reads from its environment.

use std::ffi::CString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::error::{Error, Kind, Result};
use crate::functions;
use crate::sys::{self, Folder};
use crate::task::Role;

/// The environment variable that says to a process that it is a worker: a [`Marker`].
pub(crate) use crate::sys::WORKER_VARIABLE as MARKER;

/// The facts that a started process reads from its environment, before it can be greeted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    /// The process id of its parent.
    pub(crate) parent: u32,
    /// How deep it is in pools inside pools.
    pub(crate) depth: u32,
    pub(crate) role: Role,
    pub(crate) folder: Folder,
    /// The bits that files are made without, where the process is not to take its parent's.
    pub(crate) umask: Option<u32>,
}

/// The word of a marker for [`Folder::Given`].
const FOLDER_WORD: &str = "folder";
/// The beginning of the word for its umask.
const UMASK_WORD: &str = "umask=";

impl Marker {
    /// Reads a marker; none if it is someone else's variable.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (parent, depth) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let word = words.next()?;
        let role = ROLES.into_iter().find(|role| role_word(*role) == word)?;
        let (mut folder, mut umask) = (Folder::Inherited, None);
        for word in words {
            match word.strip_prefix(UMASK_WORD) {
                Some(bits) => umask = Some(u32::from_str_radix(bits, 8).ok().filter(|&bits| bits <= 0o777)?),
                None if word == FOLDER_WORD => folder = Folder::Given,
                None => return None,
            }
        }
        Some(Self { parent, depth, role, folder, umask })
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.parent, self.depth, role_word(self.role))?;
        if self.folder == Folder::Given {
            write!(f, " {FOLDER_WORD}")?;
        }
        self.umask.map_or(Ok(()), |umask| write!(f, " {UMASK_WORD}{umask:03o}"))
    }
}

const ROLES: [Role; 4] = [Role::Worker, Role::Daemon, Role::Plain, Role::Server];

fn role_word(role: Role) -> &'static str {
    match role {
        Role::Worker => "worker",
        Role::Daemon => "daemon",
        Role::Plain => "plain",
        Role::Server => "server",
    }
}

/// How a started process reaches the point where it can become a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EntryPoint {
    /// `main` runs up to `init()`.
    Main,
    /// libtest runs the test of this name.
    Test(&'static str),
    /// The `main` of another program, with the same worker functions, is [`run_worker`](crate::run_worker).
    Program(WorkerProgram),
}

/// A program that workers are started from in place of this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WorkerProgram {
    pub(super) path: Arc<Path>,
    /// The same as the system takes it.
    pub(super) c_path: CString,
}

impl WorkerProgram {
    /// The program at this path, which counts from the current folder.
    ///
    /// # Errors
    ///
    /// There is no such file, or it is none that this user can execute.
    fn new(path: &Path) -> Result<Self> {
        let failed = |error| {
            Error::start(format!("`program` must be a file that can be executed, got {}: {error}", path.display()))
        };
        let absolute = std::path::absolute(path).map_err(failed)?;
        sys::check_executable(&absolute).map_err(failed)?;
        let c_path = sys::c_path(absolute.clone()).map_err(|error| failed(std::io::Error::other(error)))?;
        Ok(Self { path: absolute.into(), c_path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

static ENTRY: OnceLock<EntryPoint> = OnceLock::new();
/// 0 for a program that a person started, 1 for its workers, 2 for theirs, …
static DEPTH: AtomicU32 = AtomicU32::new(0);

/// Pools stand inside the tasks of pools at most so deep: a worker function that maps over itself would fill the machine.
pub(crate) const DEPTH_MAX: u32 = 4;

/// The address of a public function of this crate.
static CODE: AtomicUsize = AtomicUsize::new(0);

/// Notes that this process has entered, and how another can. The first entry stands: any of a program's is as good. `code` is
/// the address of a public function of this crate.
pub(crate) fn set_entry(entry: EntryPoint, code: usize) {
    CODE.store(code, Ordering::Relaxed);
    let _ = ENTRY.set(entry);
}

/// The way that this process has entered, or that its tests offer: so a plain `#[test]` beside a `#[poolmap::test]` has workers
/// whichever of them runs first, and also in a process of its own.
fn entered() -> Option<&'static EntryPoint> {
    static OFFERED: OnceLock<Option<EntryPoint>> = OnceLock::new();
    match ENTRY.get() {
        Some(entry @ (EntryPoint::Test(_) | EntryPoint::Program(_))) => Some(entry),
        // A test that calls `init()` may be one of many, each of which a worker would run up to there.
        entered => OFFERED.get_or_init(|| functions::first_test().map(EntryPoint::Test)).as_ref().or(entered),
    }
}

/// How a worker of this process enters: by its own program, or by the one that is named here.
///
/// # Errors
///
/// This process may start no workers: it never entered and has no `#[poolmap::test]` (which a worker of another program does not need),
/// it stands too deep in pools, it has more rights than its user, or there is no file to start a worker from.
pub(crate) fn entry(program: Option<&Path>) -> Result<EntryPoint> {
    let entry = match program {
        Some(path) => EntryPoint::Program(WorkerProgram::new(path)?),
        None => entered().ok_or_else(|| Error::new(Kind::NotInitialized))?.clone(),
    };
    let depth = depth();
    if depth >= DEPTH_MAX {
        return Err(Error::new(Kind::NestedTooDeep { depth: depth + 1, depth_max: DEPTH_MAX }));
    }
    if sys::is_secure() {
        return Err(Error::start(
            "this program runs with more rights than its user has (set-user-ID, set-group-ID or file capabilities), and takes \
             nothing from its environment then, so its workers could not learn that they are workers: give the rights up and \
             execute it anew, or start pools in another program",
        ));
    }
    match &entry {
        EntryPoint::Program(_) => check_functions()?,
        EntryPoint::Main | EntryPoint::Test(_) => drop(own_program().map_err(Error::start)?),
    }
    Ok(entry)
}

/// Two programs agree on a function by its name, its types and its place.
fn check_functions() -> Result<()> {
    let Some(function) = functions::ambiguous_function() else {
        return Ok(());
    };
    Err(Error::start(format!(
        "`program` cannot be used, as there are two worker functions `{function}` with the same types at the same place, which two \
         programs may have in different orders: give them different names",
    )))
}

/// The path that this program is started by.
pub(super) fn own_program() -> std::result::Result<&'static CString, &'static str> {
    sys::own_program(code())
}

/// The file that this code is in, for texts: this program, or the library that another has loaded.
pub(super) fn own_name() -> PathBuf {
    sys::own_file(code())
}

/// The address of a public function of this crate.
fn code() -> usize {
    match CODE.load(Ordering::Relaxed) {
        // It has not entered: a test that did offers its entry.
        0 => depth as fn() -> u32 as usize,
        code => code,
    }
}

/// How many pools this process is in.
pub(crate) fn depth() -> u32 {
    DEPTH.load(Ordering::Relaxed)
}

pub(crate) fn set_depth(depth: u32) {
    DEPTH.store(depth, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_comes_back_as_it_went_and_others_are_none() {
        for role in ROLES {
            for folder in [Folder::Inherited, Folder::Given] {
                for umask in [None, Some(0), Some(0o27)] {
                    let marker = Marker { parent: 7, depth: 2, role, folder, umask };
                    assert_eq!(Marker::parse(&marker.to_string()), Some(marker));
                }
            }
        }
        for other in [
            "",
            "7",
            "7 2",
            "7 2 else",
            "x 2 worker",
            "someone else's",
            "7 2 plain x",
            "7 2 plain folder x",
            "7 2 plain umask=8",
            "7 2 plain umask=1000",
            "7 2 plain umask=",
        ] {
            assert_eq!(Marker::parse(other), None, "{other}");
        }
    }
}
