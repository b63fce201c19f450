//! The files of a map whose tasks run on other nodes.

use std::process::Command;

use tempfile::tempdir;

use super::common::{guard, program, run, text};
use super::log::read;

const RECORDED: &str = env!("CARGO_BIN_EXE_recorded");

/// The launchers that are there, each with what starts three processes.
fn launchers() -> Vec<Command> {
    let open = ("mpirun.openmpi", &["--allow-run-as-root", "--oversubscribe", "-n", "3"][..]);
    let both = [open, ("mpiexec.hydra", &["-n", "3"][..])];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &str| std::env::split_paths(&path).any(|folder| folder.join(name).exists());
    let found = both.into_iter().filter(|(name, _)| {
        if !is_there(name) {
            let required = std::env::var("POOLMAP_TEST_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|name| name == "mpi"), "{name} is not installed");
            eprintln!("SKIPPED for want of a launcher: {name}");
        }
        is_there(name)
    });
    let command = |(name, arguments): (&str, &[&str])| {
        let mut command = program(name);
        command.args(arguments).env("POOLMAP_DRIVER_WORKERS", "0");
        command
    };
    found.map(command).collect()
}

#[test]
fn tasks_of_nodes_have_lines_with_their_times() {
    let guard = guard();
    guard.allow(std::time::Duration::from_secs(120));
    let folder = tempdir().unwrap();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    for mut launcher in launchers() {
        let path = folder.path().join("log.csv");
        let output = run(launcher.args([RECORDED, "end", "48"]).arg(&path));
        assert_eq!(text(&output.stdout), "48\n", "{}", text(&output.stderr));
        let lines = read(&path);
        for index in 0..48 {
            let of_task: Vec<_> = lines.iter().filter(|line| line.index() == index).collect();
            let seen: Vec<_> = of_task.iter().map(|line| (line.text("attempt"), line.text("outcome"))).collect();
            let expected: &[(&str, &str)] = match index % 6 {
                1 => &[("1", "failed"), ("2", "failed")],
                2 => &[("1", "panicked"), ("2", "panicked")],
                3 => &[("1", "crashed"), ("2", "crashed")],
                4 => &[("1", "crashed"), ("2", "ok")],
                _ => &[("1", "ok")],
            };
            assert_eq!(seen, expected, "task {index}: {}", text(&output.stderr));
            let last = of_task.last().unwrap();
            assert_eq!(last.text("node"), host.trim());
            assert!(last.number("start_s") < 60.0 && last.number("duration_s") < 60.0, "{last:?}");
        }
    }
}
