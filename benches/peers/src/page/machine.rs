//! On what the figures were taken: the machine and the versions.

use std::process::Command;

use crate::runner::python_version;
use crate::workloads::PYTHON;

/// The processors and the kernel.
pub fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        model.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("", |(_, name)| name);
    format!("{cpus} CPUs ({model}), Linux {}", command("uname", &["-r"]))
}

/// The versions of everything that is compared.
pub fn versions() -> String {
    let rust = ["poolmap", "rayon", "procspawn", "ipc-channel", "crossmist"].iter().filter_map(|name| locked(name));
    let python = PYTHON.iter().map(|name| python_version(name).unwrap_or_else(|| format!("{name} is not installed")));
    let mut versions: Vec<String> = rust.chain(python).collect();
    versions.push(command("rustc", &["--version"]));
    versions.join(", ")
}

fn command(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The version of a crate, from the lock file.
fn locked(name: &str) -> Option<String> {
    let lock = include_str!("../../Cargo.lock");
    let at = lock.find(&format!("name = \"{name}\"\n"))?;
    let version = lock[at..].lines().nth(1)?.split('"').nth(1)?;
    Some(format!("{name} {version}"))
}
