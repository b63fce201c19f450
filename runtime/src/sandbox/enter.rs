//! How a worker enters its sandbox, and what its parent sends it for that.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::calls;
use super::filter;
use super::learn::learn;
use super::policy::{OnDenial, PathAccess, Sandbox};
use super::ruleset::ruleset;
use super::status::SandboxStatus;
use crate::codec::{self, message_struct};
use crate::error::{Error, Result};
use crate::sys::{self, DeniedCalls, Namespaces};

/// It goes into a worker's first frame (`wire`). A filter takes some 4 KiB, and paths the rest.
const FORM_BYTES_MAX: usize = 60 * 1024;

message_struct! {
    /// What a worker is sent.
    pub(super) struct SandboxForm {
        /// The paths, and whether they may be written.
        paths: Vec<(Vec<u8>, bool)>,
        ports: Vec<u16>,
        threads: u64,
        is_quiet: bool,
        /// Denied calls are made, and noted.
        is_learning: bool,
        /// The version of Landlock; none where that is missing.
        landlock: Option<u32>,
        /// The filter of system calls; nothing where that is missing.
        program: Vec<u64>,
    }
}

impl SandboxForm {
    pub(super) fn new(policy: &Sandbox, status: &SandboxStatus) -> Result<Self> {
        let compiled = match status.filters_calls || policy.on_denial == OnDenial::IsNoted {
            true => filter::compile(calls::allowed(policy, status.landlock)),
            false => Ok(Vec::new()),
        };
        let program =
            compiled.map_err(|error| Error::invalid_option(format!("`sandbox` has too many rules: {error}")))?;
        let path = |(path, access): &(PathBuf, PathAccess)| {
            (path.as_os_str().as_bytes().to_vec(), *access == PathAccess::Write)
        };
        Ok(Self {
            paths: policy.paths.iter().map(path).collect(),
            ports: policy.ports.clone(),
            threads: policy.threads as u64,
            is_quiet: policy.on_denial == OnDenial::ReturnsError,
            is_learning: policy.on_denial == OnDenial::IsNoted,
            landlock: status.landlock,
            program,
        })
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        codec::encode(self, &mut bytes, FORM_BYTES_MAX)
            .map_err(|error| Error::invalid_option(format!("`sandbox` has too many paths: {error}")))?;
        Ok(bytes)
    }
}

/// Puts this worker behind the walls that its parent sent, or has its calls noted. There is no way back.
///
/// # Errors
///
/// A wall could not be raised. Then the process is to run no task: some of the others may be.
pub(crate) fn enter(form: &[u8], notes: Option<OwnedFd>, namespaces: &Namespaces) -> io::Result<()> {
    let form: SandboxForm =
        codec::decode(form).map_err(|error| io::Error::other(format!("its sandbox is not understood: {error}")))?;
    if form.is_learning {
        let notes = notes.ok_or_else(|| io::Error::other("the parent sent nothing to note calls in"))?;
        return learn(&form.program, notes);
    }
    let paths: Vec<(PathBuf, PathAccess)> = form.paths.into_iter().map(opened).collect();
    let rules = match form.landlock {
        Some(version) => {
            let paths = paths.iter().map(|(path, access)| (&**path as &Path, *access));
            Some(ruleset(version, paths, &form.ports)?)
        }
        None => None,
    };
    let has_filter = !form.program.is_empty();
    // What is opened here is read in the sandbox, and is of this process alone.
    sys::prepare_for_sandbox(DeniedCalls { is_quiet: form.is_quiet, threads_max: form.threads, has_filter })?;
    sys::clear_environment();
    sys::forbid_dumps()?;
    sys::limit_uncounted_memory(paths.iter().any(|(_, access)| *access == PathAccess::Write))?;
    sys::confine_threads(rules, namespaces)?;
    sys::limit_waiting_signals()?;
    if has_filter {
        filter::apply(&form.program)?;
    }
    Ok(())
}

fn opened((path, is_written): (Vec<u8>, bool)) -> (PathBuf, PathAccess) {
    let path = PathBuf::from(std::ffi::OsString::from_vec(path));
    (path, if is_written { PathAccess::Write } else { PathAccess::Read })
}
