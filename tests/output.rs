//! What workers print: tagged, whole lines only; captured, with the outcome of its task.

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{program, run, text};
use nix::libc;
use poolmap::{
    Output, Pool, TaskError, TaskErrorKind, pool_for_each, pool_iter, pool_map, pool_map_captured, pool_try_map, worker,
};

/// What a scenario wrote to both streams.
fn printed(scenario: &str) -> (String, String) {
    let output = run(program(env!("CARGO_BIN_EXE_printing")).arg(scenario).env_remove("RUST_BACKTRACE"));
    assert!(output.status.success(), "{scenario}: {output:?}");
    (text(&output.stdout), text(&output.stderr))
}

/// The lines of each tag, in their order; every line must have one.
fn by_tag(text: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut tags: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    assert!(text.is_empty() || text.ends_with('\n'), "the last line has no end: {text:?}");
    for line in text.lines() {
        let (tag, rest) = line.split_once("] ").unwrap_or_else(|| panic!("a line without a tag: {line:?}"));
        tags.entry(tag.trim_start_matches('[')).or_default().push(rest);
    }
    tags
}

#[test]
fn tagged_lines_are_whole_with_five_workers_at_once() {
    let _guard = common::guard();
    for (scenario, tasks, lines) in [("lines", 20, 200), ("chunks", 100, 3)] {
        let (stdout, stderr) = printed(scenario);
        for (stream, verb) in [(&stdout, "says"), (&stderr, "warns")] {
            let tags = by_tag(stream);
            assert_eq!(tags.len(), tasks);
            for task in 0..tasks {
                let expected: Vec<_> = (0..lines).map(|line| format!("{task} {verb} line {line}")).collect();
                assert_eq!(tags[&*format!("lines #{task}")], expected);
            }
        }
    }
}

#[test]
fn a_line_without_an_end_gets_one_when_its_task_ends() {
    let _guard = common::guard();
    let (stdout, stderr) = printed("partial");
    for task in 0..20 {
        assert!(stdout.contains(&format!("[partial #{task}] no end {task}\n")), "{stdout}");
        assert!(stderr.contains(&format!("[partial #{task}] nor here {task}\n")), "{stderr}");
    }
}

#[test]
fn what_c_code_and_child_processes_print_is_tagged_too() {
    let _guard = common::guard();
    let (stdout, stderr) = printed("foreign");
    for task in 0..4 {
        let tag = format!("foreign #{task}");
        let mut lines = by_tag(&stdout)[&*tag].clone();
        lines.sort_unstable();
        assert_eq!(lines, ["from C ".to_owned() + &task.to_string(), "from a child".to_owned()]);
        assert_eq!(by_tag(&stderr)[&*tag], ["from a child"]);
    }
}

#[test]
fn a_crash_half_a_line_in_loses_nothing_that_was_written() {
    let _guard = common::guard();
    let (stdout, stderr) = printed("crash");
    for task in 0..6 {
        assert!(stdout.contains(&format!("[crash #{task}] a line of {task}\n[crash #{task}] half a line of {task}\n")));
        assert!(stderr.contains(&format!("[crash #{task}] an error of {task}\n")), "{stderr}");
    }
    let told = stdout.find("task 3 of `printing::crash` (task: 3) crashed").unwrap();
    assert!(stdout[..told].contains("[crash #3] half"), "the caller was told before: {stdout}");
    assert!(stdout.ends_with("; its standard error ended with:\nan error of 3\n"), "{stdout}");
    let (stdout, _) = printed("again");
    assert_eq!(stdout.matches("[crash #0] half a line of 3\n").count(), 2, "{stdout}");
}

#[test]
fn lines_are_seen_while_their_task_runs_and_when_it_is_ended() {
    let _guard = common::guard();
    let mut command = program(env!("CARGO_BIN_EXE_printing"));
    let mut child = common::Killed(command.arg("live").stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "[announce #0] begun\n");
    drop(child);
    let (stdout, _) = printed("dropped");
    assert!(stdout.contains("[announce #0] begun\n"), "{stdout}");
    by_tag(&stdout);
}

#[test]
fn large_tagged_output_is_complete_and_long_lines_go_on_in_others() {
    let _guard = common::guard();
    let (stdout, _) = printed("flood");
    assert_eq!(stdout.lines().count(), 10 << 10);
    assert!(stdout.lines().all(|line| line.len() == 1023 + "[flood #0] ".len()));
    let (stdout, _) = printed("long");
    let tags = by_tag(&stdout);
    assert_eq!(tags["long_line #0"].concat(), "x".repeat(100_000));
    assert!(stdout.lines().all(|line| line.len() < 4096));
}

#[worker]
fn speak(task: u64) -> Result<u64, String> {
    println!("out {task}");
    eprintln!("err {task}");
    if task == 2 { Err("two".to_owned()) } else { Ok(task) }
}

#[worker]
fn end(way: &str) -> usize {
    println!("about to {way}");
    eprint!("the last words before {way}");
    match way {
        "panic" => panic!("a panic"),
        "segfault" => die_of_a_segfault(),
        "exit" => std::process::exit(3),
        "sleep" => std::thread::sleep(Duration::from_secs(600)),
        _ => {}
    }
    way.len()
}

#[allow(unsafe_code, reason = "the death is what the test is about")]
fn die_of_a_segfault() {
    // SAFETY: there is none: the worker that runs this is to be ended by it.
    unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(1) };
}

#[worker]
#[allow(unsafe_code, reason = "C code prints in its own way")]
fn foreign(task: u64) {
    // SAFETY: the text is a C string.
    unsafe { libc::puts(c"from C".as_ptr()) };
    let script = format!("printf 'from a child {task}' >&2");
    assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
}

#[worker]
fn flood(bytes: usize) -> usize {
    let mut stdout = std::io::stdout().lock();
    let line = format!("{:1023}\n", "much");
    for _ in 0..bytes / line.len() {
        stdout.write_all(line.as_bytes()).unwrap();
    }
    println!("the end");
    eprintln!("few");
    bytes
}

#[worker]
fn large(bytes: usize) -> Vec<u8> {
    print!("{}", "y".repeat(bytes));
    vec![7; bytes]
}

fn capturing(workers: usize) -> Pool {
    Pool::builder().workers(workers).output(Output::Captured).build().unwrap()
}

fn words(error: &TaskError) -> (&str, &str) {
    (error.stdout().unwrap(), error.stderr().unwrap())
}

#[poolmap::test]
fn every_task_has_what_it_printed() {
    let _guard = common::guard();
    let pool = capturing(3);
    for chunk_size in [1, 7] {
        let captured = pool_map_captured!(in &pool, speak, 0..50; chunk_size = chunk_size).unwrap();
        for (task, of_task) in captured.iter().enumerate() {
            assert_eq!(of_task.stdout, format!("out {task}\n"));
            assert_eq!(of_task.stderr, format!("err {task}\n"));
            match &of_task.outcome {
                Ok(output) => assert_eq!(*output, task as u64),
                Err(error) => assert_eq!((task, words(error)), (2, ("out 2\n", "err 2\n"))),
            }
        }
    }
    // The other fronts give the outputs, and errors have what was printed.
    assert_eq!(pool_map!(in &pool, speak, 10..14).unwrap(), [10, 11, 12, 13]);
    let error = pool_map!(in &pool, speak, 0..4).unwrap_err();
    assert_eq!(words(error.task().unwrap()), ("out 2\n", "err 2\n"));
    let outputs: Vec<_> = pool_iter!(in &pool, speak, 0..4).unwrap().collect();
    assert_eq!(words(outputs[2].as_ref().unwrap_err().task().unwrap()).0, "out 2\n");
    let error = pool.submit(speak { task: 2 }).unwrap().join().unwrap_err();
    assert_eq!(words(error.task().unwrap()), ("out 2\n", "err 2\n"));
    assert_eq!(pool.apply(speak { task: 5 }).unwrap(), 5);
}

#[poolmap::test]
fn what_c_code_and_child_processes_print_is_captured_too() {
    let _guard = common::guard();
    let captured = pool_map_captured!(in &capturing(2), foreign, 0..6).unwrap();
    for (task, of_task) in captured.iter().enumerate() {
        assert_eq!((&*of_task.stdout, &*of_task.stderr), ("from C\n", &*format!("from a child {task}")));
    }
}

#[poolmap::test]
fn failures_of_every_kind_have_what_was_printed() {
    let _guard = common::guard();
    let pool = capturing(2);
    let ways = ["panic", "segfault", "exit", "nothing", "sleep"];
    let captured = pool_map_captured!(in &pool, end, ways; timeout = Duration::from_secs(3)).unwrap();
    for (way, of_task) in ways.iter().zip(&captured) {
        let expected = (format!("about to {way}\n"), format!("the last words before {way}"));
        assert_eq!((&of_task.stdout, &of_task.stderr), (&expected.0, &expected.1));
        match (&of_task.outcome, *way) {
            (Ok(length), "nothing") => assert_eq!(*length, 7),
            (Ok(_), _) => panic!("`{way}` is no failure"),
            (Err(error), _) => {
                assert_eq!(words(error), (&*expected.0, &*expected.1));
                match error.kind() {
                    TaskErrorKind::Crashed { note: Some(note), .. } => {
                        assert!(note.ends_with(&format!("its standard error ended with:\n{}", expected.1)), "{note}");
                    }
                    TaskErrorKind::Panicked { .. } => assert_eq!(*way, "panic"),
                    TaskErrorKind::TimedOut { .. } => assert_eq!(*way, "sleep"),
                    other => panic!("{way}: {other:?}"),
                }
            }
        }
    }
}

#[poolmap::test]
fn a_deadline_has_what_its_running_tasks_printed() {
    let _guard = common::guard();
    let pool = capturing(1);
    pool.ready().unwrap();
    let outcomes = pool_try_map!(in &pool, end, ["sleep", "sleep"]; deadline = Duration::from_secs(3)).unwrap();
    let errors: Vec<_> = outcomes.iter().map(|outcome| outcome.as_ref().unwrap_err()).collect();
    // Its standard output has a line's end, so it has left the buffer.
    assert_eq!(words(errors[0]), ("about to sleep\n", "the last words before sleep"));
    assert_eq!((errors[1].attempts(), errors[1].stdout()), (0, None));
}

#[poolmap::test]
fn large_output_is_cut_at_its_beginning() {
    let _guard = common::guard();
    let pool = capturing(2);
    let captured = pool_map_captured!(in &pool, flood, std::iter::repeat_n(10 << 20, 4)).unwrap();
    for of_task in captured {
        assert_eq!(of_task.outcome.unwrap(), 10 << 20);
        let (note, rest) = of_task.stdout.split_once('\n').unwrap();
        assert_eq!(note, format!("[{} bytes were left out]", (10 << 20) + 8 - (64 << 10)));
        assert!(rest.len() == 64 << 10 && rest.ends_with("the end\n"));
        assert_eq!(of_task.stderr, "few\n");
    }
}

#[poolmap::test]
fn a_result_of_any_size_stands_beside_what_was_printed() {
    let _guard = common::guard();
    let sizes = [0, 1, 4000, 60_000, 5 << 20, 10];
    let captured = pool_map_captured!(in &capturing(2), large, sizes).unwrap();
    for (size, of_task) in sizes.iter().zip(captured) {
        assert_eq!(of_task.outcome.unwrap(), vec![7; *size]);
        assert!(
            of_task.stdout.len() >= (*size).min(64 << 10) && of_task.stdout.ends_with(if *size > 0 { "y" } else { "" })
        );
    }
    // The frame has no room for all of it.
    let pool = Pool::builder().workers(1).frame_bytes_max(4096).output(Output::Captured).build().unwrap();
    let captured = pool_map_captured!(in &pool, large, [3000, 100]).unwrap();
    assert_eq!(captured[0].outcome.as_ref().unwrap().len(), 3000);
    assert!((500..3000).contains(&captured[0].stdout.len()));
    assert_eq!(captured[1].stdout, "y".repeat(100));
}

#[poolmap::test]
fn a_pool_that_captures_nothing_says_so() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    assert!(pool_map_captured!(in &pool, large, [1]).unwrap_err().is_invalid_option());
    let outcomes = pool_try_map!(in &pool, speak, [2]).unwrap();
    assert_eq!(outcomes[0].as_ref().unwrap_err().stdout(), None);
}

#[poolmap::test]
fn a_map_that_sends_nothing_back_goes_on_where_output_is_kept() {
    let _guard = common::guard();
    let captured = Pool::builder().workers(2).output(Output::Captured).build().unwrap();
    pool_for_each!(in &captured, speak, [0, 1, 3]).unwrap();
    let error = pool_for_each!(in &captured, speak, [2]).unwrap_err();
    let task = error.task().unwrap();
    assert_eq!((task.stdout(), task.stderr()), (Some("out 2\n"), Some("err 2\n")), "{error}");
}

#[poolmap::test]
fn what_a_submitted_call_printed_comes_with_its_outcome() {
    let _guard = common::guard();
    let captured = Pool::builder().workers(2).output(Output::Captured).build().unwrap();
    let handles: Vec<_> = [0, 1, 2].map(|task| captured.submit(speak { task }).unwrap()).into();
    for (task, handle) in handles.into_iter().enumerate() {
        let captured = handle.join_captured().unwrap();
        assert_eq!((captured.stdout, captured.stderr), (format!("out {task}\n"), format!("err {task}\n")));
        assert_eq!(captured.outcome.is_err(), task == 2);
    }
    let error = Pool::new().unwrap().submit(speak { task: 0 }).unwrap().join_captured().unwrap_err();
    assert!(error.is_invalid_option(), "{error}");
    assert!(error.to_string().contains("captures nothing"), "{error}");
    let pool = Pool::builder().workers(1).output(Output::Captured).build().unwrap();
    let handle = pool.submit(end { way: "sleep".into() }).unwrap();
    pool.terminate();
    assert!(handle.join_captured().is_err_and(|error| error.is_closed()));
}
