//! The environment, the folder and the umask that processes are started in.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::unistd::{AccessFlags, access};

use super::environment::WORKER_VARIABLE;
use super::launcher_variables::{is_launcher_variable, is_rank};
use super::socket::at_least;
use super::spawn_symbols::change_folder;

/// The descriptor of the folder that the process is to change to, where it must do so itself.
pub(super) const FOLDER: RawFd = 4;

/// The environment, the current folder and the umask of this program at one moment, with changes, for processes that are started
/// later.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// As `name=value`.
    variables: Vec<CString>,
    /// None where the system does not open it: then processes have the folder of their parent.
    pub(super) folder: Option<OwnedFd>,
    /// None where the system does not report it without changing it.
    umask: Option<u32>,
}

impl Surroundings {
    /// Captures what there is now. It holds one descriptor.
    pub(crate) fn capture(changes: &SurroundingsChanges) -> io::Result<Self> {
        let folder = match &changes.folder {
            Some(folder) => Some(at_least(FOLDER + 1, open_folder(folder)?)?),
            None => current_folder()?,
        };
        Ok(Self { variables: changes.variables(), folder, umask: umask() })
    }

    /// Whether a process must change to the folder itself (rule 4 of `spawn`).
    pub(crate) fn leaves_folder_to_process(&self) -> bool {
        self.folder.is_some() && change_folder().is_none()
    }

    /// The umask of the processes.
    pub(crate) fn umask(&self) -> Option<u32> {
        self.umask
    }

    /// The environment with some variables set; of two with one name, the later.
    pub(super) fn with<'a>(&'a self, set: &'a [CString]) -> impl Iterator<Item = &'a CString> {
        let is_in = |set: &[CString], variable: &CString| set.iter().any(|other| name(other) == name(variable));
        let own = self.variables.iter().filter(move |variable| !is_in(set, variable));
        let last = set.iter().enumerate().filter(move |(place, variable)| !is_in(&set[place + 1..], variable));
        own.chain(last.map(|(_, variable)| variable))
    }
}

/// A variable that is set or, without a value, left out.
pub(crate) type ChangedVariable = (OsString, Option<OsString>);

/// Changes to the environment and the folder of this program, for processes that are started in them.
#[derive(Clone, Debug, Default)]
pub(crate) struct SurroundingsChanges {
    clears: bool,
    /// Set or, without a value, left out.
    variables: Vec<ChangedVariable>,
    /// Set where nothing else has them.
    defaults: Vec<(&'static str, OsString)>,
    folder: Option<PathBuf>,
}

impl SurroundingsChanges {
    /// Sets a variable.
    pub(crate) fn set(&mut self, name: OsString, value: OsString) {
        self.variables.push((name, Some(value)));
    }

    /// Leaves a variable out.
    pub(crate) fn remove(&mut self, name: OsString) {
        self.variables.push((name, None));
    }

    /// Leaves out all variables: those of this program, and those that were set before. What was left out stays so.
    pub(crate) fn clear(&mut self) {
        self.variables.retain(|(_, value)| value.is_none());
        self.clears = true;
    }

    /// Sets a variable that is neither in the environment nor set or left out here.
    pub(crate) fn set_default(&mut self, name: &'static str, value: impl Into<OsString>) {
        self.defaults.push((name, value.into()));
    }

    /// Sets the folder.
    pub(crate) fn set_folder(&mut self, folder: PathBuf) {
        self.folder = Some(folder);
    }

    /// Whether all variables are left out, those that are set or left out, and the folder.
    pub(crate) fn parts(&self) -> (bool, &[ChangedVariable], Option<&Path>) {
        (self.clears, &self.variables, self.folder.as_deref())
    }

    /// Whether a variable is set or left out.
    pub(crate) fn has_variables(&self) -> bool {
        self.clears || !self.variables.is_empty()
    }

    /// Whether the folder is set.
    pub(crate) fn has_folder(&self) -> bool {
        self.folder.is_some()
    }

    /// The environment of this program with these changes. A rank of a cluster's job leaves out what its launcher gave it.
    fn variables(&self) -> Vec<CString> {
        let mut own: Vec<_> = if self.clears { Vec::new() } else { std::env::vars_os().collect() };
        if is_rank(|name| std::env::var_os(name).is_some()) {
            own.retain(|(name, _)| !is_launcher_variable(name));
        }
        // Where there are no defaults, those that this process was given are handed on.
        let given = if self.defaults.is_empty() { Vec::new() } else { given_defaults() };
        let is_changed = |name: &OsStr| self.variables.iter().any(|(changed, _)| changed == name);
        let is_left = |(name, _): &(OsString, OsString)| !is_changed(name) && !given.contains(name);
        let mut all: Vec<(OsString, OsString)> = own.into_iter().filter(is_left).collect();
        for (place, (name, value)) in self.variables.iter().enumerate() {
            let is_last = !self.variables[place + 1..].iter().any(|(later, _)| later == name);
            all.extend(value.clone().filter(|_| is_last).map(|value| (name.clone(), value)));
        }
        let mut set = Vec::new();
        for (name, value) in &self.defaults {
            if !is_changed(OsStr::new(name)) && all.iter().all(|(other, _)| other != name) {
                all.push((name.into(), value.clone()));
                set.push(format!("{name}={}", value.display()));
            }
        }
        if !set.is_empty() {
            all.push((DEFAULTS_VARIABLE.into(), set.join(",").into()));
        }
        all.into_iter().filter_map(|(name, value)| assignment(name, value)).collect()
    }

    /// Why a process cannot have these, if it cannot: the option, and what is wrong with its value.
    pub(crate) fn mistake(&self) -> Option<String> {
        let of_variable = |(name, value): &(OsString, Option<OsString>)| match value {
            Some(value) => variable_mistake(name, value).map(|mistake| format!("`env` {mistake}")),
            None => variable_mistake(name, OsStr::new("")).map(|mistake| format!("`env_remove` {mistake}")),
        };
        self.variables.iter().find_map(of_variable).or_else(|| {
            let folder = self.folder.as_ref()?;
            let error = open_folder(folder).and_then(|_| access(folder, AccessFlags::X_OK)).err()?;
            Some(format!(
                "`current_dir` must be a folder, and {} is none that can be entered: {error}",
                folder.display()
            ))
        })
    }
}

/// The variable that tells which were set by default, and not by a person, and to what: further processes get others in their place.
const DEFAULTS_VARIABLE: &str = "_POOLMAP_DEFAULTS";

/// The variables of this process that were set by default, and still have that value, and the one that tells which.
fn given_defaults() -> Vec<OsString> {
    let given = std::env::var(DEFAULTS_VARIABLE).unwrap_or_default();
    let is_unchanged = |(name, value): &(&str, &str)| std::env::var_os(name).is_some_and(|now| now == *value);
    let pairs = given.split(',').filter_map(|pair| pair.split_once('='));
    pairs.filter(is_unchanged).map(|(name, _)| name).chain([DEFAULTS_VARIABLE]).map(OsString::from).collect()
}

/// The value of a variable, if this process was given it by default.
pub(crate) fn given_default(name: &str) -> Option<String> {
    if given_defaults().iter().any(|given| given == name) { std::env::var(name).ok() } else { None }
}

/// What is wrong with a variable of an environment.
pub(crate) fn variable_mistake(name: &OsStr, value: &OsStr) -> Option<String> {
    if name.is_empty() {
        return Some("must have a name, got an empty one".to_owned());
    }
    if name.as_bytes().iter().any(|&byte| byte == b'=' || byte == 0) {
        return Some(format!("must have a name without `=` and zero bytes, got {name:?}"));
    }
    if name == WORKER_VARIABLE || name == DEFAULTS_VARIABLE {
        return Some(format!("must have another name than {name:?}, which poolmap uses itself"));
    }
    value.as_bytes().contains(&0).then(|| format!("must have a value without zero bytes, got {value:?} for {name:?}"))
}

/// The name in `name=value`.
fn name(variable: &CString) -> &[u8] {
    variable.as_bytes().split(|&byte| byte == b'=').next().unwrap_or_default()
}

/// A variable as it is in an environment.
pub(crate) fn assignment(name: impl Into<OsString>, value: impl Into<OsString>) -> Option<CString> {
    let mut bytes = name.into().into_vec();
    bytes.push(b'=');
    bytes.extend(value.into().into_vec());
    CString::new(bytes).ok()
}

/// The current folder, also where it may not be read, as long as the system can name it so.
fn current_folder() -> io::Result<Option<OwnedFd>> {
    match open_folder(Path::new(".")) {
        Ok(folder) => at_least(FOLDER + 1, folder).map(Some),
        Err(error @ (Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

fn open_folder(folder: &Path) -> nix::Result<OwnedFd> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let access = OFlag::O_PATH;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let access = OFlag::O_RDONLY;
    let flags = access | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    nix::fcntl::open(folder, flags, nix::sys::stat::Mode::empty())
}

/// The umask, as Linux tells it (since 4.7).
fn umask() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let bits = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(bits.trim(), 8).ok()
}

/// Sets the umask of this process.
pub(crate) fn set_umask(bits: u32) {
    // Only the bits of access count, and they fit wherever systems differ in the type.
    let bits = (bits & 0o777) as libc::mode_t;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(bits));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names in the environment that a worker of this process would have.
    fn names() -> Vec<String> {
        let variables = SurroundingsChanges::default().variables();
        variables.iter().map(|variable| String::from_utf8_lossy(name(variable)).into_owned()).collect()
    }

    #[test]
    fn workers_of_a_rank_do_not_inherit_what_makes_it_one() {
        if std::env::var_os("POOLMAP_TEST_RANK").is_some() {
            let names = names();
            assert!(names.iter().any(|name| name == "POOLMAP_TEST_RANK" || name == "PATH"), "{names:?}");
            assert!(!names.iter().any(|name| name.starts_with("PMI_") || name == "SLURM_STEP_ID"), "{names:?}");
            return;
        }
        // Another process, as no test changes the environment that others read.
        let test = "sys::surroundings::tests::workers_of_a_rank_do_not_inherit_what_makes_it_one";
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args([test, "--exact"]).env("POOLMAP_TEST_RANK", "1").stdout(std::process::Stdio::null());
        command.envs([("PMI_RANK", "1"), ("PMI_SIZE", "3"), ("PMI_FD", "7"), ("SLURM_STEP_ID", "0")]);
        assert!(command.status().unwrap().success());
    }
}
