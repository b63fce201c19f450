//! A folder with a journal, the program that uses it, and what is in its file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{program, run, text};

pub(crate) const JOURNALED: &str = env!("CARGO_BIN_EXE_journaled");

/// A folder with a journal and a log of what was executed.
pub(crate) struct Place(pub(crate) tempfile::TempDir);

/// How a run of the program ended.
pub(crate) struct Ran {
    pub(crate) printed: String,
    pub(crate) stderr: String,
    pub(crate) executed: Vec<u64>,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.0.path().join("journal")
    }

    fn log(&self) -> PathBuf {
        self.0.path().join("log")
    }

    /// The program, with two workers and a new log.
    pub(crate) fn command_of(&self, path: &Path, form: &str, tasks: u64) -> Command {
        let _ = fs::remove_file(self.log());
        let mut command = program(path.to_str().unwrap());
        command.args([form, &tasks.to_string()]).env("JOURNALED_LOG", self.log()).env("POOLMAP_WORKERS", "2");
        command.env_remove("POOLMAP_JOURNAL");
        command
    }

    pub(crate) fn command(&self, form: &str, tasks: u64) -> Command {
        let mut command = self.command_of(Path::new(JOURNALED), form, tasks);
        command.arg(self.journal());
        command
    }

    pub(crate) fn ran(&self, command: &mut Command) -> Ran {
        let output = run(command);
        let (printed, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.code().is_some_and(|code| code < 2), "{:?}: {printed}{stderr}", output.status);
        Ran { printed, stderr, executed: self.executed() }
    }

    /// Runs a form of the program with the journal.
    pub(crate) fn run(&self, form: &str, tasks: u64) -> Ran {
        self.ran(&mut self.command(form, tasks))
    }

    /// What was executed since the log is new, in order.
    pub(crate) fn executed(&self) -> Vec<u64> {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let mut executed: Vec<u64> = log.lines().map(|line| line.parse().unwrap()).collect();
        executed.sort_unstable();
        executed
    }
}

const HEADER_BYTES: usize = 48;
pub(crate) const HEAD_BYTES: usize = 16;

/// Where the whole records of a journal begin, of those with outputs.
pub(crate) fn outputs(journal: &Path) -> Vec<usize> {
    let bytes = fs::read(journal).unwrap_or_default();
    let word = |at: usize| bytes.get(at..at + 4).map(|word| u32::from_le_bytes(word.try_into().unwrap()));
    let (mut at, mut outputs) = (HEADER_BYTES, Vec::new());
    while let Some(length) = word(at)
        && at + HEAD_BYTES + length as usize <= bytes.len()
    {
        if word(at + HEAD_BYTES) != Some(1) {
            outputs.push(at);
        }
        at += HEAD_BYTES + length as usize;
    }
    outputs
}

/// The results of a form without a journal.
pub(crate) fn reference(form: &str, tasks: u64) -> String {
    let place = Place::new();
    place.ran(&mut place.command_of(Path::new(JOURNALED), form, tasks)).printed
}
