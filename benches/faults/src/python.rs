//! Python's libraries, in an environment of their own beside this program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::faults::{LIBRARIES, RUST};

pub struct Python {
    interpreter: PathBuf,
    /// What could be installed.
    versions: BTreeMap<&'static str, String>,
}

impl Python {
    /// Makes the environment, if it is not there, and installs what requirements.txt names. What fails is told, and leaves
    /// libraries without a version.
    pub fn set_up() -> Self {
        let own = std::env::current_exe().expect("Linux tells it");
        let folder = own.with_file_name("faults-python");
        let interpreter = folder.join("bin/python");
        if !interpreter.exists() {
            succeeds(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        }
        let mut pip = Command::new(&interpreter);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
        succeeds(pip.arg(beside("requirements.txt")));
        let mut python = Self { interpreter, versions: BTreeMap::new() };
        for library in LIBRARIES.into_iter().filter(|library| !RUST.contains(library)) {
            let output = python.case(library, "version").stderr(Stdio::null()).output();
            if let Some(output) = output.ok().filter(|output| output.status.success()) {
                python.versions.insert(library, String::from_utf8_lossy(&output.stdout).trim().to_owned());
            }
        }
        python
    }

    /// The version of a library, if it is installed.
    pub fn version(&self, library: &str) -> Option<&str> {
        self.versions.get(library).map(String::as_str)
    }

    /// A fault in a library; or, for a fault called version, what it says.
    pub fn case(&self, library: &str, fault: &str) -> Command {
        let mut command = Command::new(&self.interpreter);
        command.arg(beside("faults.py")).args([library, fault]);
        command
    }
}

fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn succeeds(command: &mut Command) {
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => eprintln!("{command:?} ended with {status}"),
        Err(error) => eprintln!("{command:?} did not start: {error}"),
    }
}
