//! The program that is started is the one that runs.

use std::path::Path;
use std::process::Command;

use crate::common::{self, program, run, text};
use crate::{ENTERED, copy_for_everyone};

/// The loader of this machine's programs, as `ldd` names it; none where it does not.
fn loader() -> Option<String> {
    let said = Command::new("ldd").arg(ENTERED).output().ok()?;
    let said = text(&said.stdout);
    let word = said.split_whitespace().find(|word| word.starts_with('/') && word.contains("/ld-"))?;
    Some(word.to_owned())
}

#[test]
fn a_program_that_its_loader_was_asked_to_run_has_workers() {
    let _guard = common::guard();
    let Some(loader) = loader() else {
        return eprintln!("skipped: there is no loader");
    };
    for mode in ["double", "process"] {
        let output = run(program(&loader).args([ENTERED, mode]));
        let expected = if mode == "double" { "main runs\n[2, 4, 6]\n" } else { "main runs\n8\n" };
        assert_eq!((text(&output.stdout).as_str(), text(&output.stderr).as_str()), (expected, ""));
    }
}

#[test]
fn a_program_that_its_loader_runs_by_a_relative_path_has_workers() {
    let _guard = common::guard();
    let Some(loader) = loader() else {
        return eprintln!("skipped: there is no loader");
    };
    let folder = tempfile::tempdir().unwrap();
    copy_for_everyone(folder.path(), 0o755);
    let output = run(program(&loader).args(["./copy", "double"]).current_dir(folder.path()));
    assert_eq!((text(&output.stdout).as_str(), text(&output.stderr).as_str()), ("main runs\n[2, 4, 6]\n", ""));
}

#[test]
fn a_program_under_the_loader_whose_file_is_gone_is_an_error_that_names_both() {
    let _guard = common::guard();
    let Some(loader) = loader() else {
        return eprintln!("skipped: there is no loader");
    };
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    std::fs::copy(env!("CARGO_BIN_EXE_scenario"), &copy).unwrap();
    // `current_exe` is the loader there, which must stay.
    let copy_text = copy.to_str().unwrap();
    let mut command = program("sh");
    command.args(["-c", "exec 9<\"$1\"; rm \"$1\"; exec \"$0\" /proc/self/fd/9 double", &loader, copy_text]);
    let output = run(&mut command);
    let said = text(&output.stderr);
    assert!(said.contains(copy_text) && said.contains("was executed by way of") && said.contains("ld-"), "{said}");
    assert!(!said.contains("init()"), "{said}");
}

#[test]
fn a_program_under_valgrind_has_workers() {
    let guard = common::guard();
    if cfg!(target_pointer_width = "32") {
        return eprintln!("skipped: valgrind has no C library of 32 bits to run it with");
    }
    if !Path::new("/usr/bin/valgrind").exists() {
        return eprintln!("skipped: valgrind is not installed");
    }
    guard.allow(std::time::Duration::from_secs(300));
    let output = run(program("/usr/bin/valgrind").args(["-q", ENTERED, "double"]));
    assert_eq!(text(&output.stdout), "main runs\n[2, 4, 6]\n", "{}", text(&output.stderr));
}
