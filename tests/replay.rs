//! Tasks that failed are saved, each in a file, and run once more by a process that ends as the task did.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use common::{program, run, text};
use poolmap::{Pool, TaskError, current_worker, pool_iter, pool_map, pool_try_map, shared, worker};

const REPLAYED: &str = env!("CARGO_BIN_EXE_replayed");
const JOURNALED: &str = env!("CARGO_BIN_EXE_journaled");
const HOWS: [&str; 6] = ["segfault", "abort", "panic", "error", "sleep", "exit"];

/// A folder of a test's own, which does not exist, and ends with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("poolmap-replay-{name}-{}", std::process::id())))
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Replays a file; returns how the process ended, and what it said.
fn replay(file: &Path, command: &mut Command) -> (ExitStatus, String) {
    let output = run(command.env("POOLMAP_REPLAY", file));
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    (output.status, said)
}

/// Runs the program, which saves a task of each kind; returns the files, the texts of the errors, and the seeds by kind.
fn saved(folder: &Folder, command: &mut Command) -> Vec<(PathBuf, String, String)> {
    let output = run(command.arg(&folder.0).args(HOWS));
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    let lines: Vec<&str> = stdout.lines().collect();
    let (secret, tasks) = lines.split_last().unwrap();
    assert!(secret.contains("secret` (token: <redacted>) panicked"), "{secret}");
    assert!(secret.ends_with("(not saved: an argument is redacted)"), "{secret}");
    assert_eq!(tasks.len(), 2 * HOWS.len(), "{stdout}");
    let seed = |how: &str| stderr.lines().find(|line| line.contains(&format!("runs {how} with"))).unwrap().to_owned();
    let of = |(pair, how): (&[&str], &&str)| (PathBuf::from(pair[0]), pair[1].to_owned(), seed(how));
    tasks.chunks(2).zip(&HOWS).map(of).collect()
}

#[test]
fn a_replayed_task_ends_as_it_did_with_its_seed() {
    let _guard = common::guard();
    let folder = Folder::new("ends");
    let all = saved(&folder, &mut program(REPLAYED));
    assert_eq!(folder.files().len(), HOWS.len());
    for (((file, error, ran), how), index) in all.into_iter().zip(HOWS).zip(0..) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name.starts_with(&format!("replayed.end-{index}-")) && name.ends_with(".poolmap"), "{name}");
        assert!(file.starts_with(&folder.0) && error.ends_with(&format!("(saved as {})", file.display())), "{error}");
        let (status, said) = replay(&file, &mut program(REPLAYED));
        // It says first what it runs: the error as it was, without the file.
        let first = error.rsplit_once(" (saved as").unwrap().0;
        assert!(said.starts_with("poolmap: replays a task that process ") && said.contains(first), "{said}\n{first}");
        assert!(said.contains(&ran), "another seed: {said}\n{ran}");
        let (signal, code, end) = match how {
            "segfault" => (Some(11), None, ""),
            "abort" => (Some(6), None, ""),
            "panic" => (None, Some(101), "as asked"),
            "error" => (None, Some(1), "failed: no 13"),
            "exit" => (None, Some(7), ""),
            _ => (None, Some(0), "ended well"),
        };
        assert_eq!((status.signal(), status.code()), (signal, code), "{how}: {said}");
        assert!(said.contains(end), "{said}");
    }
    // A second run overwrites nothing.
    saved(&folder, &mut program(REPLAYED));
    assert_eq!(folder.files().len(), 2 * HOWS.len());
}

#[test]
fn what_cannot_be_replayed_is_refused_with_code_2_and_the_reason() {
    let _guard = common::guard();
    let folder = Folder::new("refused");
    let files: Vec<PathBuf> = saved(&folder, &mut program(REPLAYED)).into_iter().map(|(file, ..)| file).collect();
    let refused = |file: &Path, command: &str, parts: &[&str]| {
        let (status, said) = replay(file, &mut program(command));
        assert_eq!(status.code(), Some(2), "{said}");
        assert!(said.starts_with(&format!("poolmap: POOLMAP_REPLAY={}: ", file.display())), "{said}");
        assert!(parts.iter().all(|part| said.contains(part)) && !said.contains("panicked"), "{said}");
    };
    refused(
        &files[0],
        JOURNALED,
        &["saved by build ", " this program is build ", "replay it with the program that saved it"],
    );
    refused(&folder.0.join("none.poolmap"), REPLAYED, &["cannot be read", "No such file"]);
    refused(&folder.0, REPLAYED, &["no regular file"]);
    refused(Path::new("/dev/null"), REPLAYED, &["no regular file"]);
    let bytes = fs::read(&files[0]).unwrap();
    let torn = folder.0.join("torn.poolmap");
    for length in [0, 8, 16, 17, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&torn, &bytes[..length]).unwrap();
        refused(&torn, REPLAYED, &[if length < 15 { "no task" } else { "spoilt" }]);
    }
    // Nothing named is no replay.
    let usual = run(program(REPLAYED).env("POOLMAP_REPLAY", "").arg(&folder.0));
    assert!(usual.status.success(), "{}", text(&usual.stderr));
}

#[test]
fn a_debugger_shows_the_place_of_the_crash() {
    let _guard = common::guard();
    if Command::new("gdb").arg("--version").output().is_err() {
        eprintln!("SKIPPED: gdb is not installed");
        return;
    }
    let folder = Folder::new("gdb");
    let (file, ..) = saved(&folder, &mut program(REPLAYED)).swap_remove(0);
    let arguments = ["-batch", "-nx", "-ex", "set debuginfod enabled off", "-ex", "run", "-ex", "bt", REPLAYED];
    let (_, said) = replay(&file, program("gdb").args(arguments));
    if said.contains("ptrace: Operation not permitted") {
        eprintln!("SKIPPED: no process may be traced here");
        return;
    }
    assert!(said.contains("SIGSEGV") && said.contains("jobs/src/lib.rs:"), "{said}");
}

#[test]
fn a_program_of_mpi_saves_tasks_of_all_nodes_and_replays_before_it_is_a_rank() {
    let _guard = common::guard();
    let launcher = || {
        let mut command = program("mpirun.openmpi");
        command
            .args(["--allow-run-as-root", "--oversubscribe", "-n", "2"])
            .env("OMPI_MCA_rmaps_base_oversubscribe", "1");
        command.env("POOLMAP_WORKERS", "2").arg(REPLAYED);
        command
    };
    if Command::new("mpirun.openmpi").arg("--version").output().is_err() {
        eprintln!("SKIPPED for want of a launcher: openmpi-bin");
        return;
    }
    let folder = Folder::new("mpi");
    let all = saved(&folder, &mut launcher());
    let alone = Folder::new("alone");
    let of_one = saved(&alone, &mut program(REPLAYED));
    for ((of_job, of_one), how) in all.iter().zip(&of_one).zip(HOWS) {
        let named = |(_, error, _): &(PathBuf, String, String)| error.split_once(") ").unwrap().0.to_owned();
        assert_eq!(named(of_job), named(of_one), "{how}");
        assert_eq!(of_job.2, of_one.2);
    }
    let (status, said) = replay(&all[3].0, &mut launcher());
    assert!(!status.success(), "{said}");
    assert!(said.contains("failed: no 13") && said.contains("poolmap: replays a task"), "{said}");
}

#[worker]
fn check(x: u32, folder: &Path) -> Result<u32, String> {
    match x {
        1 => Err("one".into()),
        2 => {
            fs::remove_dir_all(folder).unwrap();
            Err("two".into())
        }
        3 if current_worker().is_some_and(|worker| worker.attempt() < 3) => Err("three".into()),
        4 => panic!("four"),
        _ => Ok(x),
    }
}

#[worker]
fn check_shared(table: &[u32], x: usize) -> u32 {
    table[x]
}

fn note(error: &TaskError) -> (bool, String) {
    (error.saved_as().is_some(), error.to_string())
}

#[poolmap::test]
fn each_form_of_a_call_saves_its_failures_once() {
    let _guard = common::guard();
    let folder = Folder::new("forms");
    let path = || std::iter::repeat(&*folder.0);
    let pool = Pool::builder().workers(2).build().unwrap();
    let count = || folder.files().len();
    // After the last of several executions, and not at all where one went well.
    let backoff = Duration::from_millis(1);
    let outcomes = pool_try_map!(in &pool, check, [0, 1, 3, 4], path(); shortest, retry_errors = 2, retry_backoff = backoff, save_failed = &folder.0);
    let outcomes = outcomes.unwrap();
    assert!(outcomes[0].is_ok() && outcomes[2].is_ok());
    for index in [1, 3] {
        let error = outcomes[index].as_ref().unwrap_err();
        assert!(error.attempts() == 3 && note(error).0, "{error}");
    }
    assert_eq!(count(), 2);
    // An iterator, a single call, one that is submitted, and a pool in process.
    let failed = pool_iter!(in &pool, check, [0, 1], path(); shortest, save_failed = &folder.0).unwrap();
    assert_eq!(failed.filter_map(Result::err).filter(|error| note(error.task().unwrap()).0).count(), 1);
    assert_eq!(count(), 3);
    let call = || check { x: 1, folder: folder.0.clone() };
    assert!(note(pool.call(call()).save_failed(&folder.0).apply().unwrap_err().task().unwrap()).0);
    let submitted = pool.call(call()).retry_errors(1).save_failed(&folder.0).submit().unwrap();
    assert!(note(submitted.join().unwrap_err().task().unwrap()).0);
    assert_eq!(count(), 5);
    let here = Pool::builder().in_process().build().unwrap();
    let error = pool_map!(in &here, check, [1], path(); shortest, save_failed = &folder.0).unwrap_err();
    assert!(note(error.task().unwrap()).0);
    assert_eq!(count(), 6);
    // What was cancelled or never began has not failed.
    let cancelled = pool.call(call()).save_failed(&folder.0).submit().unwrap();
    if cancelled.cancel() {
        assert!(!note(cancelled.join().unwrap_err().task().unwrap()).0);
    }
    let names: BTreeMap<String, u64> =
        folder.files().iter().map(|file| (file.display().to_string(), file.metadata().unwrap().len())).collect();
    assert!(names.values().all(|&bytes| bytes > 100), "{names:?}");
}

#[poolmap::test]
fn what_is_not_saved_is_said_and_the_error_stays() {
    let _guard = common::guard();
    let folder = Folder::new("unsaved");
    let table = vec![1u32; 10_000];
    let outcomes = pool_try_map!(check_shared, shared(&table), [1, 20_000, 30_000]; save_failed = &folder.0).unwrap();
    let texts: Vec<String> =
        outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).map(|error| note(error).1).collect();
    assert!(texts.iter().all(|text| text.contains("index out of bounds")), "{texts:?}");
    // Once for the call.
    assert_eq!(
        texts.iter().filter(|text| text.contains("not saved: an argument is in memory")).count(),
        1,
        "{texts:?}"
    );
    assert!(folder.files().is_empty());
    let error = pool_map!(check, [2], [&*folder.0]; save_failed = &folder.0).unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains("(not saved: could not write to ") && text.ends_with(": two"), "{text}");
    let error = pool_map!(check, [0], [&*folder.0]; save_failed = "/dev/null/folder").unwrap_err();
    assert!(error.is_invalid_option() && error.to_string().contains("`save_failed`"), "{error}");
}
