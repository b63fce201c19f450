//! The files of recorded calls: where they cannot be, where they cannot grow, and in each form of a map.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use poolmap::{pool_iter, pool_map, worker};
use tempfile::tempdir;

use super::common::{Killed, guard, pool, program, run, text, wait_until};
use super::log::read;

const RECORDED: &str = env!("CARGO_BIN_EXE_recorded");

#[worker]
fn square(x: u64) -> u64 {
    x * x
}

/// The program with a form of a map and so many tasks.
fn command(form: &str, tasks: u64, path: &Path) -> Command {
    let mut command = program(RECORDED);
    command.arg(form).arg(tasks.to_string()).arg(path);
    command
}

#[test]
fn every_form_of_a_map_has_all_lines() {
    let _guard = guard();
    let folder = tempdir().unwrap();
    let path = folder.path().join("log.csv");
    for form in ["map", "iter", "unordered", "stream", "reduce", "for_each", "captured", "large"] {
        let tasks = if form == "large" { 5 } else { 400 };
        for transport in ["memory", "socket"] {
            let output = run(command(form, tasks, &path).env("POOLMAP_TRANSPORT", transport));
            assert!(output.status.success(), "{form}: {}", text(&output.stderr));
            let lines = read(&path);
            let mut indices: Vec<usize> = lines.iter().map(|line| line.index()).collect();
            indices.sort_unstable();
            assert_eq!(indices, (0..tasks as usize).collect::<Vec<_>>(), "{form}, {transport}");
            assert!(lines.iter().all(|line| line.text("outcome") == "ok" && line.number("duration_s") > 0.0));
            let result_bytes = match form {
                "for_each" => 0.0,
                "large" => 9_437_192.0,
                "captured" => lines[0].number("receive_bytes"),
                _ => 8.0,
            };
            assert!(lines.iter().all(|line| line.number("receive_bytes") >= result_bytes), "{form}: {lines:?}");
        }
    }
}

#[test]
fn a_task_whose_output_a_journal_has_is_a_line_without_times() {
    let _guard = guard();
    let folder = tempdir().unwrap();
    let path = folder.path().join("log.csv");
    for (attempt, detail) in [("1", ""), ("0", "taken from the journal")] {
        assert_eq!(text(&run(&mut command("journal", 40, &path)).stdout), "40\n");
        let lines = read(&path);
        assert_eq!(lines.len(), 40);
        for line in lines {
            assert_eq!((line.text("attempt"), line.text("outcome"), line.text("detail")), (attempt, "ok", detail));
            assert_eq!(line.text("start_s").is_empty(), attempt == "0");
        }
    }
}

#[poolmap::test]
fn a_path_that_cannot_be_is_an_error_before_any_task_runs() {
    let (_guard, pool, folder) = (guard(), pool(1), tempdir().unwrap());
    let _socket = UnixListener::bind(folder.path().join("socket")).unwrap();
    for (name, why) in
        [("missing/log.csv", "No such file"), ("", "it is no regular file"), ("socket", "it is no regular file")]
    {
        let path = folder.path().join(name);
        let error = pool_map!(in &pool, square, 0..3; job_log = &path).unwrap_err();
        assert!(error.is_invalid_option(), "{error}");
        let expected = format!("could not write the `job_log` {}: ", path.display());
        assert!(error.to_string().contains(&expected) && error.to_string().contains(why), "{error}");
    }
    let path = folder.path().join("log.csv");
    let first = pool_iter!(in &pool, square, 0..3; job_log = &path).unwrap();
    let error = pool_map!(in &pool, square, 0..3; job_log = &path).unwrap_err();
    assert!(error.to_string().contains("another call or program writes it now"), "{error}");
    assert_eq!(first.count(), 3);
    assert_eq!(read(&path).len(), 3);
}

#[test]
fn a_map_goes_on_where_the_file_cannot_grow() {
    let _guard = guard();
    let folder = tempdir().unwrap();
    let path = folder.path().join("log.csv");
    let wanted = command("sleep", 600, &path);
    let mut limited = Command::new("sh");
    // Blocks of 512 bytes. Under the limit there is no memory to share.
    limited.args(["-c", "ulimit -f 64; exec \"$@\"", "sh", RECORDED]).args(wanted.get_args());
    limited.env("POOLMAP_TRANSPORT", "socket").stdin(Stdio::null());
    let output = run(&mut limited);
    assert_eq!(text(&output.stdout), "600\n", "{}", text(&output.stderr));
    let said = text(&output.stderr);
    let expected = format!("poolmap: job log {}: could not be written", path.display());
    assert!(said.contains(&expected) && said.contains("The map goes on"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    // Lines are whole.
    assert!((1..600).contains(&read(&path).len()));
}

#[test]
fn a_killed_program_leaves_its_lines() {
    let _guard = guard();
    let folder = tempdir().unwrap();
    let path = folder.path().join("log.csv");
    let mut job = command("sleep", 1_000_000, &path);
    let mut job = Killed(job.stdout(Stdio::null()).spawn().unwrap());
    let lines = || std::fs::read_to_string(&path).unwrap_or_default().lines().count();
    wait_until("lines are there while it runs", || lines() > 20);
    job.0.kill().unwrap();
    job.0.wait().unwrap();
    assert!(read(&path).len() >= 20);
}
