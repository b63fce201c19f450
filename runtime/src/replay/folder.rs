//! The folder that the failed tasks of a call are saved in.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::format::SavedTask;
use crate::error::{Error, Result, SavedNote};
use crate::sys;

/// The name of a function is cut behind so many bytes, so that a file's name keeps to the 255 bytes of most file systems.
const NAME_BYTES_MAX: usize = 150;
/// So many names that exist are passed over, left by processes of the same number.
const NAMES_MAX: usize = 10_000;

/// Where the failed tasks of a call are saved, and what all of them have in common.
pub(crate) struct FailedTasks {
    folder: PathBuf,
    function: String,
    path: &'static str,
    build: Vec<u8>,
    worker_build: Option<Vec<u8>>,
    table: u64,
    /// An argument of the function is redacted.
    is_redacted: bool,
    /// Why the tasks of the call are not saved has been said once.
    has_said_why: AtomicBool,
}

/// A task that failed, beside what it has in common with others.
pub(crate) struct FailedTask<'a> {
    pub(crate) index: u64,
    pub(crate) attempt: u32,
    pub(crate) seed: u64,
    pub(crate) shared: u16,
    /// Its arguments name memory or descriptors, which end with this program.
    pub(crate) has_names: bool,
    pub(crate) arguments: &'a [u8],
}

/// The worker function of the tasks.
pub(crate) struct FailedFunction {
    /// What it is known by in the table.
    pub(crate) text: String,
    pub(crate) path: &'static str,
    pub(crate) is_redacted: bool,
    /// The hash of the table.
    pub(crate) table: u64,
}

impl FailedTasks {
    /// Makes the folder, if it is not there. `worker_program` is the program of the workers, where that is another.
    ///
    /// # Errors
    ///
    /// The folder cannot be made; the build of a program cannot be found.
    pub(crate) fn new(folder: &Path, function: FailedFunction, worker_program: Option<&Path>) -> Result<Self> {
        let refused = |what: &str, error: io::Error| {
            Error::invalid_option(format!(
                "`save_failed`: could not {what}: {error}; name a folder that can be written"
            ))
        };
        let folder = std::path::absolute(folder).map_err(|error| refused("find the folder", error))?;
        std::fs::create_dir_all(&folder)
            .map_err(|error| refused(&format!("make the folder {}", folder.display()), error))?;
        let of_build =
            |error: io::Error| Error::invalid_option(format!("`save_failed` needs the build of the program: {error}"));
        let FailedFunction { text, path, is_redacted, table } = function;
        Ok(Self {
            folder,
            function: text,
            path,
            build: sys::build_id().map_err(of_build)?.to_vec(),
            worker_build: worker_program.map(sys::build_id_of_file).transpose().map_err(of_build)?,
            table,
            is_redacted,
            has_said_why: AtomicBool::new(false),
        })
    }

    /// Saves a task that died of this; returns what its error is to say of that.
    #[cold]
    pub(crate) fn save(&self, task: &FailedTask<'_>, died_of: impl fmt::Display) -> Option<SavedNote> {
        let why = if self.is_redacted {
            "an argument is redacted"
        } else if task.has_names {
            "an argument is in memory or a descriptor that ends with the program"
        } else {
            return Some(match self.write(task, died_of.to_string()) {
                Ok(path) => SavedNote::Saved(path),
                Err(error) => SavedNote::NotSaved(format!("could not write to {}: {error}", self.folder.display())),
            });
        };
        let is_first = !self.has_said_why.swap(true, Ordering::Relaxed);
        is_first.then(|| SavedNote::NotSaved(why.to_owned()))
    }

    fn write(&self, task: &FailedTask<'_>, died_of: String) -> io::Result<PathBuf> {
        let saved = SavedTask {
            function: self.function.clone(),
            path: self.path.to_owned(),
            index: task.index,
            attempt: task.attempt,
            seed: task.seed,
            shared: task.shared,
            build: self.build.clone(),
            worker_build: self.worker_build.clone(),
            table: self.table,
            pid: std::process::id(),
            died_of,
            arguments: task.arguments.to_vec(),
        };
        let bytes = saved.encode().map_err(|error| io::Error::other(error.to_string()))?;
        let (mut file, path) = self.create(task.index)?;
        if let Err(error) = file.write_all(&bytes) {
            // A part of it would be refused later, and takes room.
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        Ok(path)
    }

    /// Makes a file that was not there, which its owner alone reads: arguments are nobody else's.
    fn create(&self, index: u64) -> io::Result<(File, PathBuf)> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);

        let name = self.path.replace("::", ".");
        let name = &name[..name.floor_char_boundary(NAME_BYTES_MAX)];
        let pid = std::process::id();
        let mut taken = None;
        for _ in 0..NAMES_MAX {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = self.folder.join(format!("{name}-{index}-{pid}-{number}.poolmap"));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => return Ok((file, path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(taken.unwrap_or_else(|| io::ErrorKind::AlreadyExists.into()))
    }
}

impl fmt::Debug for FailedTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FailedTasks").field(&self.folder).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(arguments: &[u8]) -> FailedTask<'_> {
        FailedTask { index: 7, attempt: 1, seed: 0, shared: 0, has_names: false, arguments }
    }

    #[test]
    fn no_file_is_overwritten() {
        let folder = std::env::temp_dir().join(format!("poolmap-folder-{}", std::process::id()));
        let function = FailedFunction { text: "m::f".to_owned(), path: "m::f", is_redacted: false, table: 0 };
        let tasks = FailedTasks::new(&folder, function, None).unwrap();
        let taken = |number: u32| folder.join(format!("m.f-7-{}-{number}.poolmap", std::process::id()));
        for number in 0..20 {
            std::fs::write(taken(number), "of another").unwrap();
        }
        let Some(SavedNote::Saved(path)) = tasks.save(&task(b"arguments"), "a death") else {
            panic!("it was not saved");
        };
        assert!((0..20).all(|number| std::fs::read(taken(number)).unwrap() == b"of another" && taken(number) != path));
        let read = SavedTask::read(&path).unwrap();
        assert_eq!((&*read.arguments, &*read.died_of, read.index), (&b"arguments"[..], "a death", 7));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
