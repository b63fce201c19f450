//! The job log of maps: a line for each execution, with what it took and how it ended.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use poolmap::{Collect, Pool, current_worker, pool_iter, pool_map, pool_try_map, worker};
use tempfile::TempDir;

use super::common::{guard, pool, run, segfault, text};
use super::log::{Line, read};

#[worker]
fn square(x: u64) -> u64 {
    x * x
}

/// Computes or sleeps for so many milliseconds.
#[worker]
fn take(millis: u64, sleeps: bool) {
    let time = Duration::from_millis(millis);
    let start = Instant::now();
    while start.elapsed() < time {
        if sleeps {
            std::thread::sleep(time);
        }
    }
}

/// Ends in another way for each number.
#[worker]
fn end(x: u64) -> Result<u64, String> {
    match x {
        1 => return Err("it fails, \"so\"\nand on".to_owned()),
        2 => panic!("it panics"),
        3 => segfault(),
        4 => std::process::exit(7),
        5 => loop {
            std::thread::park();
        },
        _ => {}
    }
    Ok(x)
}

#[worker]
fn end_first_as(x: u64, fails: bool) -> Result<u64, String> {
    let attempt = current_worker().map_or(1, |worker| worker.attempt());
    match (attempt, fails) {
        (1, true) => Err(format!("{x} fails")),
        (1, false) => {
            std::thread::sleep(Duration::from_millis(20));
            std::process::abort()
        }
        _ => Ok(x),
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// The lines of each task, by its index.
fn of_task(lines: &[Line], index: usize) -> Vec<&Line> {
    lines.iter().filter(|line| line.index() == index).collect()
}

#[poolmap::test]
fn each_task_has_one_line_with_what_was_measured() {
    let (_guard, folder, pool) = (guard(), folder(), pool(2));
    for name in ["log.csv", "log.jsonl"] {
        let path = folder.path().join(name);
        let start = Instant::now();
        assert_eq!(pool_map!(in &pool, square, 0..3000; job_log = &path).unwrap().len(), 3000);
        let took = start.elapsed().as_secs_f64();
        let lines = read(&path);
        assert_eq!(lines.iter().map(Line::index).collect::<BTreeSet<_>>(), (0..3000).collect());
        assert_eq!(lines.len(), 3000);
        let pids: BTreeSet<String> = pool.workers().iter().map(|worker| worker.pid().to_string()).collect();
        for line in &lines {
            assert!(line.text("function").ends_with("::square"));
            assert!(pids.contains(line.text("pid")) && line.number("worker") < 2.0 && !line.text("node").is_empty());
            assert_eq!((line.text("attempt"), line.text("outcome"), line.text("detail")), ("1", "ok", ""));
            assert!(line.number("start_s") + line.number("duration_s") <= took, "{line:?} of {took}");
            assert!(line.number("cpu_s") <= line.number("duration_s"));
            assert_eq!(line.number("send_bytes"), 8.0);
            assert_eq!(line.number("receive_bytes"), 8.0);
            assert_eq!((line.text("exitval"), line.text("signal")), ("0", "0"));
            assert!(line.number("starttime") > 1.7e9);
        }
        // Tasks of one worker follow one another.
        for pid in &pids {
            let mut of_pid: Vec<_> = lines.iter().filter(|line| line.text("pid") == pid).collect();
            of_pid.sort_by(|a, b| a.number("start_s").total_cmp(&b.number("start_s")));
            for pair in of_pid.windows(2) {
                let end = pair[0].number("start_s") + pair[0].number("duration_s");
                assert!(end <= pair[1].number("start_s") + 1e-6, "{pair:?}");
            }
        }
    }
}

#[poolmap::test]
fn a_task_that_computes_takes_processor_time_and_one_that_sleeps_does_not() {
    let (_guard, folder, pool) = (guard(), folder(), pool(1));
    let path = folder.path().join("log.csv");
    pool_map!(in &pool, take, [50, 50], [false, true]; job_log = &path).unwrap();
    let lines = read(&path);
    let [computed, slept] = [0, 1].map(|index| of_task(&lines, index)[0].clone());
    assert!(computed.number("duration_s") >= 0.05 && slept.number("duration_s") >= 0.05);
    assert!(slept.number("cpu_s") < computed.number("cpu_s"), "{computed:?} {slept:?}");
    assert!(computed.number("peak_bytes") > 100_000.0);
}

#[poolmap::test]
fn each_way_to_end_has_its_outcome() {
    let (_guard, folder, pool) = (guard(), folder(), pool(2));
    let path = folder.path().join("log.csv");
    let limit = Duration::from_secs(4);
    pool_try_map!(in &pool, end, 0..7; timeout = limit, job_log = &path).unwrap();
    let lines = read(&path);
    assert_eq!(lines.len(), 7);
    let of = |index| of_task(&lines, index)[0];
    let outcomes: Vec<&str> = (0..7).map(|index| of(index).text("outcome")).collect();
    assert_eq!(outcomes, ["ok", "failed", "panicked", "crashed", "crashed", "timed_out", "ok"]);
    assert_eq!(of(1).text("detail"), "failed: it fails, \"so\"\nand on");
    assert!(of(2).text("detail").contains("it panics"));
    assert!(of(3).text("detail").contains("SIGSEGV"));
    assert_eq!((of(3).text("signal"), of(4).text("exitval")), ("11", "7"));
    // Of a task that ended with its worker, it is known how long it ran.
    let duration = of(5).number("duration_s");
    assert!((4.0..60.0).contains(&duration), "{duration}");
    assert_eq!(of(5).text("cpu_s"), "");
    assert!(of(3).number("duration_s") < 60.0 && of(3).number("start_s") < 60.0);
}

#[poolmap::test]
fn each_execution_has_a_line() {
    let (_guard, folder, pool) = (guard(), folder(), pool(2));
    let path = folder.path().join("log.csv");
    for fails in [true, false] {
        let all = std::iter::repeat(fails);
        pool_map!(in &pool, end_first_as, 0..4, all; attempts = 2, retry_errors = 1, retry_backoff = Duration::ZERO,
            shortest, job_log = &path)
        .unwrap();
        let lines = read(&path);
        assert_eq!(lines.len(), 8, "{lines:?}");
        for index in 0..4 {
            let of_task = of_task(&lines, index);
            let seen: Vec<_> = of_task.iter().map(|line| (line.text("attempt"), line.text("outcome"))).collect();
            assert_eq!(seen, [("1", if fails { "failed" } else { "crashed" }), ("2", "ok")]);
            let least = if fails { 0.0 } else { 0.02 };
            assert!(of_task[0].number("duration_s") >= least && !of_task[0].text("pid").is_empty());
        }
    }
}

#[poolmap::test]
fn a_task_that_no_worker_began_has_a_line_too() {
    let (_guard, folder, pool) = (guard(), folder(), pool(1));
    let path = folder.path().join("log.jsonl");
    let limit = Duration::from_millis(200);
    let outcomes =
        pool_map!(in &pool, take, [3_600_000; 3], [true; 3]; deadline = limit, on_error = Collect, job_log = &path);
    assert!(outcomes.unwrap().iter().all(Result::is_err));
    let lines = read(&path);
    let seen: Vec<_> = lines.iter().map(|line| (line.text("attempt"), line.text("outcome"))).collect();
    assert_eq!(seen.len(), 3);
    assert!(seen.contains(&("1", "timed_out")) && seen.contains(&("0", "timed_out")), "{seen:?}");
    let first = of_task(&lines, 0)[0];
    assert!(first.number("duration_s") >= 0.0 && of_task(&lines, 2)[0].text("start_s").is_empty());
}

#[poolmap::test]
fn a_map_that_is_dropped_or_empty_leaves_whole_lines() {
    let (_guard, folder, pool) = (guard(), folder(), pool(2));
    let path = folder.path().join("log.csv");
    let mut iter = pool_iter!(in &pool, square, 0..100_000; job_log = &path).unwrap();
    assert_eq!(iter.by_ref().take(10).count(), 10);
    drop(iter);
    assert!(read(&path).len() >= 10);
    // The next one writes it anew.
    assert!(pool_map!(in &pool, square, 0..0; job_log = &path).unwrap().is_empty());
    assert_eq!(read(&path).len(), 0);
}

#[poolmap::test]
fn a_pool_in_process_and_one_of_a_fork_server_have_logs_too() {
    let (_guard, folder) = (guard(), folder());
    let path = folder.path().join("log.csv");
    let mut builders = vec![Pool::builder().in_process()];
    if super::common::has_fork_server() {
        builders.push(Pool::builder().workers(2).start_method(poolmap::StartMethod::ForkServer));
    }
    for builder in builders {
        let pool = builder.build().unwrap();
        pool_try_map!(in &pool, end, 0..3; job_log = &path).unwrap();
        let lines = read(&path);
        assert_eq!(lines.len(), 3);
        let outcomes: Vec<_> = (0..3).map(|index| of_task(&lines, index)[0].text("outcome")).collect();
        assert_eq!(outcomes, ["ok", "failed", "panicked"]);
        assert!(lines.iter().all(|line| line.number("duration_s") > 0.0));
    }
}

#[poolmap::test]
fn a_journal_gets_outputs_without_what_was_measured() {
    let (_guard, folder, pool) = (guard(), folder(), pool(2));
    let (path, journal) = (folder.path().join("log.csv"), folder.path().join("journal"));
    let squares = pool_map!(in &pool, square, 0..50; journal = &journal, job_log = &path).unwrap();
    assert_eq!(squares[7], 49);
    assert!(read(&path).iter().all(|line| line.text("attempt") == "1" && line.number("receive_bytes") == 8.0));
}

#[poolmap::test]
fn python_reads_it() {
    let _guard = guard();
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no python3");
        return;
    }
    let (folder, pool) = (folder(), pool(2));
    let path = folder.path().join("log.csv");
    pool_try_map!(in &pool, end, 0..4; job_log = &path).unwrap();
    let script = "import csv, sys\n\
                  rows = sorted(csv.DictReader(open(sys.argv[1], newline='')), key=lambda row: int(row['index']))\n\
                  print([row['outcome'] for row in rows], repr(rows[1]['detail']), all(None not in row for row in rows))\n\
                  print(sum(float(row['duration_s']) for row in rows) > 0)";
    let output = run(Command::new("python3").args(["-c", script]).arg(&path));
    let expected = "['ok', 'failed', 'panicked', 'crashed'] 'failed: it fails, \"so\"\\nand on' True\nTrue\n";
    assert_eq!(text(&output.stdout), expected, "{}", text(&output.stderr));
}
