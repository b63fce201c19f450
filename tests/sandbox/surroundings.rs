//! This program once more, in other surroundings: as another user, in a container, or with its output elsewhere.

use std::process::Command;

use nix::libc;

/// Copies a program to where another user may execute it.
pub(crate) fn copy_for_others(program: &str) -> (tempfile::TempDir, Command) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("program");
    std::fs::copy(program, &path).unwrap();
    for (path, mode) in [(folder.path(), 0o755), (&path, 0o755)] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
    let mut command = Command::new(path);
    command.current_dir("/");
    (folder, command)
}

/// Runs a test of this program again, as another would be: with calls refused, or as another user.
pub(crate) fn run_again(test: &str, change: impl FnOnce(&mut Command)) {
    let (_folder, mut command) = copy_for_others("/proc/self/exe");
    command.args([test, "--exact", "--include-ignored", "--nocapture", "--test-threads=1"]);
    change(&mut command);
    let output = command.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && printed.contains("1 passed"), "{test}: {}\n{printed}", output.status);
}

pub(crate) fn is_root() -> bool {
    // SAFETY: it asks for a number.
    unsafe { libc::geteuid() == 0 }
}
