//! What a worker is started with, who may start one, and which program that is.
#![cfg(target_os = "linux")]

mod authentication;
#[path = "../common/mod.rs"]
mod common;
mod program;
mod refused;
mod surroundings;
mod terminal;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

pub(crate) const ENTERED: &str = env!("CARGO_BIN_EXE_entered");
/// A user without rights.
pub(crate) const NOBODY: u32 = 65534;

/// A copy of the program in a folder that everyone may enter.
pub(crate) fn copy_for_everyone(folder: &Path, mode: u32) -> PathBuf {
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
    let copy = folder.join("copy");
    std::fs::copy(ENTERED, &copy).unwrap();
    std::fs::set_permissions(&copy, PermissionsExt::from_mode(mode)).unwrap();
    copy
}

/// Whether this test runs as root; else it says that it is skipped.
#[allow(unsafe_code, reason = "the user is asked for by a system call")]
pub(crate) fn is_root(test: &str) -> bool {
    // SAFETY: the call has no arguments and cannot fail.
    let is_root = unsafe { nix::libc::geteuid() } == 0;
    if !is_root {
        eprintln!("{test} is skipped: it takes root");
    }
    is_root
}
