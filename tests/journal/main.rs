//! A program that begins anew finds in its journal what it had computed, and computes the rest.

#[path = "../common/mod.rs"]
mod common;
mod damage;
#[path = "../common/records.rs"]
mod records;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Killed, guard, program, run, text, wait_until};
use poolmap::{pool_iter, pool_map, worker};
use records::outputs;

const JOURNALED: &str = env!("CARGO_BIN_EXE_journaled");

/// A folder with a journal and a log of what was executed.
struct Place(tempfile::TempDir);

/// How a run of the program ended.
struct Ran {
    printed: String,
    stderr: String,
    executed: Vec<u64>,
}

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn journal(&self) -> PathBuf {
        self.0.path().join("journal")
    }

    fn log(&self) -> PathBuf {
        self.0.path().join("log")
    }

    /// The program, with two workers and a new log.
    fn command_of(&self, path: &Path, form: &str, tasks: u64) -> Command {
        let _ = fs::remove_file(self.log());
        let mut command = program(path.to_str().unwrap());
        command.args([form, &tasks.to_string()]).env("JOURNALED_LOG", self.log()).env("POOLMAP_WORKERS", "2");
        command.env_remove("POOLMAP_JOURNAL");
        command
    }

    fn command(&self, form: &str, tasks: u64) -> Command {
        let mut command = self.command_of(Path::new(JOURNALED), form, tasks);
        command.arg(self.journal());
        command
    }

    fn ran(&self, command: &mut Command) -> Ran {
        let output = run(command);
        let (printed, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.code().is_some_and(|code| code < 2), "{:?}: {printed}{stderr}", output.status);
        Ran { printed, stderr, executed: self.executed() }
    }

    /// Runs a form of the program with the journal.
    fn run(&self, form: &str, tasks: u64) -> Ran {
        self.ran(&mut self.command(form, tasks))
    }

    /// What was executed since the log is new, in order.
    fn executed(&self) -> Vec<u64> {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let mut executed: Vec<u64> = log.lines().map(|line| line.parse().unwrap()).collect();
        executed.sort_unstable();
        executed
    }
}

/// The results of a form without a journal.
fn reference(form: &str, tasks: u64) -> String {
    let place = Place::new();
    place.ran(&mut place.command_of(Path::new(JOURNALED), form, tasks)).printed
}

#[test]
fn every_form_of_a_map_is_computed_once() {
    let _guard = guard();
    let forms = [
        "map",
        "one by one",
        "in chunks",
        "backwards",
        "try_map",
        "iter",
        "iter_unordered",
        "stream",
        "stream_unordered",
        "for_each",
        "reduce",
        "captured",
        "padded",
        "shared",
        "twice",
        "seeded",
        "dying",
        "large",
        "slices",
        "threads",
    ];
    common::for_each_of(2, forms.to_vec(), |form| {
        let tasks = if ["large", "slices"].contains(&form) { 5 } else { 40 };
        let (place, expected) = (Place::new(), reference(form, tasks));
        let first = place.run(form, tasks);
        assert_eq!(first.printed, expected, "{form}");
        assert!(first.executed.len() >= tasks as usize, "{form}");
        let bytes = fs::metadata(place.journal()).unwrap().len();
        for _ in 0..2 {
            let again = place.run(form, tasks);
            assert_eq!((again.printed, again.executed), (expected.clone(), Vec::new()), "{form}");
            assert!(again.stderr.contains("were finished before, and 0 are computed"), "{form}: {}", again.stderr);
        }
        assert_eq!(fs::metadata(place.journal()).unwrap().len(), bytes, "{form}: nothing is written twice");
    });
}

#[test]
fn other_ways_to_run_tasks_use_it_too() {
    let _guard = guard();
    let ways = [("POOLMAP_IN_PROCESS", "1"), ("POOLMAP_TRANSPORT", "socket"), ("POOLMAP_START_METHOD", "fork_server")];
    for (variable, value) in ways {
        for form in ["map", "iter_unordered", "padded", "shared", "reduce", "slices"] {
            let (place, expected) = (Place::new(), reference(form, 20));
            for executed in [20, 0] {
                let ran = place.ran(place.command(form, 20).env(variable, value));
                assert_eq!(
                    (ran.printed.as_str(), ran.executed.len()),
                    (expected.as_str(), executed),
                    "{variable} {form}"
                );
            }
        }
    }
}

#[test]
fn no_task_that_is_in_the_file_runs_again_after_a_kill_at_any_moment() {
    let _guard = guard();
    const TASKS: u64 = 250;
    let mut halves = 0;
    for form in ["map", "in chunks", "iter"] {
        let expected = reference(form, TASKS);
        for moment in 0..8 {
            let place = Place::new();
            let mut command = place.command(form, TASKS);
            command.env("JOURNALED_SLEEP", "1000").stdout(Stdio::null()).stderr(Stdio::null());
            let mut running = Killed(command.spawn().unwrap());
            // By what it has computed: a busy machine takes longer.
            wait_until("some tasks have run", || place.executed().len() as u64 >= moment * TASKS / 8);
            running.0.kill().unwrap();
            running.0.wait().unwrap();
            drop(running);
            let kept = outputs(&place.journal()).len();
            let again = place.run(form, TASKS);
            assert_eq!(again.printed, expected, "{form}, {kept} outputs kept");
            assert_eq!(again.executed.len(), TASKS as usize - kept, "{form}: {}", again.stderr);
            let last = place.run(form, TASKS);
            assert_eq!((last.printed, last.executed.len()), (expected.clone(), 0), "{form}");
            halves += usize::from(kept > 0 && kept < TASKS as usize);
        }
    }
    assert!(halves >= 10, "{halves} were killed in the middle");
}

#[test]
fn another_build_computes_again_and_says_so() {
    let _guard = guard();
    let place = Place::new();
    let expected = place.run("map", 20).printed;
    let mut bytes = fs::read(JOURNALED).unwrap();
    let note = b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0";
    let number = bytes.windows(note.len()).position(|window| window == note);
    // Without the number, any byte is a part of the build.
    let at = number.map_or(bytes.len(), |number| number + note.len());
    if at == bytes.len() {
        bytes.push(0);
    } else {
        bytes[at] ^= 1;
    }
    let other = place.0.path().join("journaled");
    fs::copy(JOURNALED, &other).unwrap();
    fs::write(&other, bytes).unwrap();
    let mut command = place.command_of(&other, "map", 20);
    let changed = place.ran(command.arg(place.journal()));
    assert_eq!((changed.printed, changed.executed.len()), (expected.clone(), 20));
    assert!(
        changed.stderr.contains("20 outputs in it were computed by another build of the program"),
        "{}",
        changed.stderr
    );
    // Each finds its own.
    let mut command = place.command_of(&other, "map", 20);
    assert_eq!(place.ran(command.arg(place.journal())).executed.len(), 0);
    let first = place.run("map", 20);
    assert_eq!((first.printed, first.executed.len()), (expected, 0));
}

#[test]
fn tasks_with_other_arguments_are_computed_and_the_others_found_wherever_they_stand() {
    let _guard = guard();
    let place = Place::new();
    place.run("map", 10);
    let more = place.run("backwards", 15);
    assert_eq!(more.printed, reference("backwards", 15));
    assert_eq!(more.executed, (10..15).collect::<Vec<_>>());
    assert!(
        more.stderr.contains("10 tasks of `journaled::square` were finished before, and 5 are computed"),
        "{}",
        more.stderr
    );
    // A task whose output was kept elsewhere, with it or without it, has another.
    assert_eq!(place.run("for_each", 15).executed.len(), 15);
}

#[test]
fn a_map_goes_on_under_other_options() {
    let _guard = guard();
    for (form, workers) in [("one by one", "1"), ("in chunks", "4"), ("map", "3"), ("iter", "2"), ("reduce", "2")] {
        let place = Place::new();
        place.run("map", 30);
        let ran = place.ran(place.command(form, 60).env("POOLMAP_WORKERS", workers));
        assert_eq!((ran.printed, ran.executed.len()), (reference(form, 60), 30), "{form}");
    }
}

#[test]
fn what_a_task_printed_is_kept_where_it_is_captured() {
    let _guard = guard();
    let place = Place::new();
    let captured = place.run("captured", 10);
    assert_eq!(place.run("printing", 10).printed, "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n");
    assert_eq!(place.run("captured", 10).printed, captured.printed);
    // What was not captured is not there.
    let place = Place::new();
    place.run("printing", 10);
    let ran = place.run("captured", 10);
    assert_eq!((ran.executed.len(), ran.printed.matches("\"\"").count()), (0, 10));
}

#[test]
fn tasks_that_fail_run_again() {
    let _guard = guard();
    for (form, tasks, again) in
        [("failing", 30, 14), ("retried", 30, 20), ("timed out", 6, 2), ("deadline", 5, 2), ("dying", 20, 0)]
    {
        let (place, expected) = (Place::new(), reference(form, tasks));
        assert_eq!(place.run(form, tasks).printed, expected, "{form}");
        let ran = place.run(form, tasks);
        assert_eq!((ran.printed, ran.executed.len()), (expected, again), "{form}");
    }
}

#[test]
fn one_program_at_a_time_has_the_file() {
    let _guard = guard();
    let place = Place::new();
    let mut command = place.command("one by one", 1000);
    command.env("JOURNALED_SLEEP", "20000").stdout(Stdio::null()).stderr(Stdio::null());
    let running = Killed(command.spawn().unwrap());
    wait_until("some outputs are kept", || outputs(&place.journal()).len() >= 3);
    let refused = place.run("map", 3);
    assert!(refused.printed.contains("another program uses it now"), "{}", refused.printed);
    assert!(refused.printed.contains("option: true"));
    drop(running);
    // Any three tasks may have been kept, and a worker of the first program may have been at another.
    let next = place.run("map", 3);
    assert_eq!(next.printed, "[0, 1, 4]\n", "{}", next.stderr);
}

#[test]
fn the_environment_names_a_journal_for_maps_that_have_none() {
    let _guard = guard();
    let place = Place::new();
    let variable = |form: &str, path: &Path| {
        let mut command = place.command_of(Path::new(JOURNALED), form, 10);
        place.ran(command.env("POOLMAP_JOURNAL", path))
    };
    let path = place.journal();
    assert_eq!((variable("map", &path).executed.len(), variable("map", &path).executed.len()), (10, 0));
    // One that is named counts.
    let other = place.0.path().join("other");
    let mut command = place.command_of(Path::new(JOURNALED), "map", 10);
    assert_eq!(place.ran(command.arg(&other).env("POOLMAP_JOURNAL", &path)).executed.len(), 10);
    assert_eq!(outputs(&other).len(), 10);
    // Maps inside of tasks have none, nor do tasks whose arguments cannot be compared.
    let before = outputs(&path).len();
    assert_eq!(variable("nested", &path).executed.len(), 30);
    assert_eq!(outputs(&path).len(), before + 10);
    for form in ["locks", "descriptors"] {
        for _ in 0..2 {
            let ran = variable(form, &path);
            assert_eq!((ran.printed, ran.executed.len()), (reference(form, 10), 10), "{form}");
            assert!(ran.stderr.contains("have arguments that it cannot compare, and run without it"), "{}", ran.stderr);
        }
    }
    assert_eq!(variable("map", Path::new("")).executed.len(), 10);
    let named = place.run("locks", 10);
    assert!(named.printed.contains("`journal` cannot be used for `journaled::lock`") && named.executed.is_empty());
    assert!(named.printed.contains("option: true"), "{}", named.printed);
}

/// A file that cannot grow is no reason to lose results.
#[test]
fn a_map_goes_on_where_the_file_cannot_grow() {
    let _guard = guard();
    let place = Place::new();
    let limited = |tasks: u64| {
        let command = place.command("map", tasks);
        let mut limited = Command::new("sh");
        // In blocks of 512 bytes: enough for 72 records, and for the log.
        limited.args(["-c", "ulimit -f 8; exec \"$@\"", "sh", JOURNALED]).args(command.get_args());
        limited.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
        limited
    };
    let ran = place.ran(&mut limited(500));
    assert_eq!((ran.printed, ran.executed.len()), (reference("map", 500), 500));
    assert_eq!(ran.stderr.matches("The map goes on").count(), 1, "{}", ran.stderr);
    assert!(fs::metadata(place.journal()).unwrap().len() <= 8 * 512);
    let kept = outputs(&place.journal()).len();
    let again = place.run("map", 500);
    assert_eq!((again.printed, again.executed.len()), (reference("map", 500), 500 - kept));
    assert_eq!(place.run("map", 500).executed.len(), 0);
}

#[test]
#[cfg(target_os = "linux")]
fn a_map_goes_on_where_the_disk_is_full() {
    let _guard = guard();
    let place = Place::new();
    let small = place.0.path().join("small");
    fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(&small).output().unwrap();
    if !mounted.status.success() {
        eprintln!("not tested, as nothing can be mounted: {}", text(&mounted.stderr));
        return;
    }
    let mut command = place.command_of(Path::new(JOURNALED), "map", 2000);
    let ran = place.ran(command.arg(small.join("journal")));
    let kept = outputs(&small.join("journal")).len();
    let mut command = place.command_of(Path::new(JOURNALED), "map", 2000);
    let again = place.ran(command.arg(small.join("journal")));
    assert!(Command::new("umount").arg(&small).status().unwrap().success());
    assert_eq!((&ran.printed, ran.executed.len()), (&reference("map", 2000), 2000));
    assert!(ran.stderr.contains("No space left on device") && ran.stderr.contains("The map goes on"), "{}", ran.stderr);
    assert_eq!((again.printed, again.executed.len()), (ran.printed, 2000 - kept));
    assert!(kept > 0);
}

#[test]
#[cfg(target_os = "linux")]
fn a_fork_of_the_program_leaves_the_file_to_its_parent() {
    let _guard = guard();
    let place = Place::new();
    let first = place.run("forking", 20);
    assert_eq!((first.printed, first.executed.len()), (reference("iter", 20), 20), "{}", first.stderr);
    let bytes = fs::metadata(place.journal()).unwrap().len();
    let again = place.run("forking", 20);
    assert_eq!((again.printed, again.executed.len()), (reference("iter", 20), 0), "{}", again.stderr);
    assert_eq!(fs::metadata(place.journal()).unwrap().len(), bytes);
}

#[worker]
fn negate(x: i64) -> i64 {
    -x
}

#[poolmap::test]
fn equal_maps_of_one_program_are_all_computed_and_nothing_is_left_open() {
    let _guard = guard();
    let place = Place::new();
    for round in 1..=3 {
        assert_eq!(
            pool_map!(negate, 0..10; journal = place.journal()).unwrap(),
            (0..10).map(|x| -x).collect::<Vec<_>>()
        );
        assert_eq!(outputs(&place.journal()).len(), 10 * round);
        let open = common::descriptors();
        assert!(!open.iter().any(|one| one.contains(place.0.path().to_str().unwrap())), "{open:?}");
    }
    // Two maps at a time have one file, and a map that is left closes it.
    let mut lazy = pool_iter!(negate, 0..; journal = place.journal(), chunk_size = 1).unwrap();
    assert_eq!(lazy.next().unwrap().unwrap(), 0);
    assert_eq!(pool_map!(negate, [7, 7]; journal = place.journal()).unwrap(), [-7, -7]);
    assert_eq!(lazy.next().unwrap().unwrap(), -1);
    drop(lazy);
    // A file that was made anew is a new one.
    fs::remove_file(place.journal()).unwrap();
    assert_eq!(pool_map!(negate, [7]; journal = place.journal()).unwrap(), [-7]);
    assert_eq!(outputs(&place.journal()).len(), 1);
}

#[worker]
fn with_journal(path: String) -> Option<String> {
    pool_map!(negate, [1]; journal = path)
        .err()
        .filter(poolmap::Error::is_invalid_option)
        .map(|error| error.to_string())
}

#[poolmap::test]
fn a_map_inside_a_task_has_no_journal() {
    let _guard = guard();
    let place = Place::new();
    let path = place.journal().display().to_string();
    let refused = pool_map!(with_journal, [&path]).unwrap().remove(0).unwrap();
    assert!(refused.contains("inside a task"), "{refused}");
    let pool = poolmap::Pool::builder().in_process().build().unwrap();
    assert!(pool_map!(in &pool, with_journal, [&path]).unwrap()[0].is_some());
    assert!(!place.journal().exists());
}
