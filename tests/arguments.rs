//! The arguments of a failed task: in the text of its error, and given back by name.

mod common;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use poolmap::{
    Output, Pool, Process, SharedSlice, TaskError, TaskErrorKind, pool_iter, pool_map, pool_reduce, pool_try_map,
    shared, worker,
};
use serde::{Deserialize, Serialize};

#[worker]
fn fail(path: &str, width: u32) -> Result<u32, String> {
    Err(format!("no {path} of {width}"))
}

#[worker]
fn end(how: &str, number: u32) -> u32 {
    match how {
        "panic" => panic!("as asked"),
        "abort" => std::process::abort(),
        "exit" => std::process::exit(3),
        "sleep" => std::thread::sleep(Duration::from_secs(600)),
        "spin" => loop {
            std::hint::black_box(number);
        },
        _ => {}
    }
    number
}

fn task_of(error: poolmap::Error) -> TaskError {
    error.task().expect("an error of a task").clone()
}

/// The text, and the call of `end`.
fn of_end(error: &TaskError) -> (String, Option<(String, u32)>) {
    (error.to_string(), error.call::<end>().map(|call| (call.how, call.number)))
}

#[poolmap::test]
fn an_error_names_the_arguments_and_gives_them_back() {
    let _guard = common::guard();
    let error = pool_map!(fail, ["in/050.jpg"], [64]).unwrap_err();
    let text = "task 0 of `arguments::fail` (path: \"in/050.jpg\", width: 64) failed";
    assert_eq!(error.to_string(), text);
    assert_eq!(format!("{error:#}"), format!("{text}: no in/050.jpg of 64"));
    let task = task_of(error);
    assert_eq!(task.to_string(), text);
    let fail { path, width } = task.call().unwrap();
    assert_eq!((path.as_str(), width), ("in/050.jpg", 64));
    assert!(task.call::<end>().is_none());
    assert!(format!("{task:?}").contains("(path: \"in/050.jpg\", width: 64)"), "{task:?}");
}

#[poolmap::test]
fn every_kind_of_failure_has_the_arguments() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    for (how, says) in
        [("panic", "panicked at"), ("abort", "crashed: its worker was killed"), ("exit", "exited with code 3")]
    {
        let error = task_of(pool.apply(end { how: how.into(), number: 7 }).unwrap_err());
        let (text, call) = of_end(&error);
        assert!(text.starts_with(&format!("task 0 of `arguments::end` (how: \"{how}\", number: 7) ")), "{text}");
        assert!(text.contains(says), "{text}");
        assert_eq!(call, Some((how.to_owned(), 7)));
    }
    let limit = Duration::from_millis(300);
    let timed_out = pool.call(end { how: "sleep".into(), number: 8 }).timeout(limit).apply().unwrap_err();
    let text = "task 0 of `arguments::end` (how: \"sleep\", number: 8) timed out after 300ms";
    assert_eq!(of_end(&task_of(timed_out)), (text.to_owned(), Some(("sleep".to_owned(), 8))));
    #[cfg(target_os = "linux")]
    {
        let spun = pool_map!(in &pool, end, ["spin"], [9]; cpu_limit = limit).unwrap_err();
        let text =
            "task 0 of `arguments::end` (how: \"spin\", number: 9) was ended by its limit of 300ms of processor time";
        assert_eq!(of_end(&task_of(spun)), (text.to_owned(), Some(("spin".to_owned(), 9))));
    }
    let running = pool.submit(end { how: "sleep".into(), number: 1 }).unwrap();
    let other = pool.submit(end { how: "sleep".into(), number: 2 }).unwrap();
    let waiting = pool.submit(end { how: "".into(), number: 3 }).unwrap();
    assert!(waiting.cancel() && running.abort() && other.abort());
    for (handle, number) in [(waiting, 3), (running, 1), (other, 2)] {
        let error = task_of(handle.join().unwrap_err());
        assert_eq!(of_end(&error).1.map(|call| call.1), Some(number));
        assert!(error.to_string().ends_with("was cancelled"), "{error}");
    }
}

#[poolmap::test]
fn the_arguments_are_those_of_the_failed_task_among_many() {
    let _guard = common::guard();
    let numbers = 0..20_000u32;
    let hows = numbers.clone().map(|number| if number % 997 == 3 { "panic" } else { "" });
    let outcomes = pool_try_map!(end, hows, numbers).unwrap();
    for (index, outcome) in outcomes.iter().enumerate() {
        let number = u32::try_from(index).unwrap();
        match outcome {
            Ok(output) => assert!(*output == number && number % 997 != 3),
            Err(error) => {
                assert_eq!(error.index(), index);
                assert_eq!(of_end(error).1, Some(("panic".to_owned(), number)));
            }
        }
    }
    // Every task of a chunk fails, in order and out of it.
    let outcomes = pool_try_map!(end, std::iter::repeat_n("panic", 300), 0..300; chunk_size = 100).unwrap();
    for (index, outcome) in outcomes.iter().enumerate() {
        assert_eq!(of_end(outcome.as_ref().unwrap_err()).1, Some(("panic".to_owned(), u32::try_from(index).unwrap())));
    }
}

#[worker]
fn sum(x: u64, y: u64) -> u64 {
    x + y
}

#[worker]
fn checked(x: u64) -> u64 {
    assert!(x != 700, "seven hundred");
    x
}

#[poolmap::test]
fn reductions_iterators_retries_and_captured_output_have_them_too() {
    let _guard = common::guard();
    let begins = |error: &dyn fmt::Display| {
        let text = error.to_string();
        assert!(text.starts_with("task 700 of `arguments::checked` (x: 700) panicked"), "{text}");
    };
    begins(&pool_reduce!(checked, 0..1000; with = sum, identity = 0).unwrap_err());
    let failed: Vec<_> = pool_iter!(checked, 0..1000).unwrap().filter_map(Result::err).collect();
    begins(&failed[0]);
    let again = pool_map!(checked, 0..1000; retry_errors = 1, retry_backoff = Duration::from_millis(1)).unwrap_err();
    begins(&again);
    assert_eq!(again.task().unwrap().call::<checked>().unwrap().x, 700);
    let pool = Pool::builder().workers(1).output(Output::Captured).build().unwrap();
    begins(&pool_map!(in &pool, checked, 0..1000).unwrap_err());
}

#[worker]
fn fail_without_parameters() {
    panic!("nothing to say");
}

#[poolmap::test]
fn a_process_and_a_call_on_every_worker_have_them() {
    let _guard = common::guard();
    let error = Process::new(end { how: "exit".into(), number: 4 }).name("job").start().unwrap().join().unwrap_err();
    let text = "process `job` (`arguments::end`, how: \"exit\", number: 4) crashed: it exited with code 3";
    assert!(error.to_string().starts_with(text), "{error}");
    assert_eq!(error.task().unwrap().call::<end>().unwrap().number, 4);
    let pool = Pool::builder().workers(2).build().unwrap();
    let error = pool.run_on_all(end { how: "panic".into(), number: 5 }).unwrap_err();
    assert!(error.to_string().contains("(how: \"panic\", number: 5)"), "{error}");
    let nothing = pool.apply(fail_without_parameters {}).unwrap_err().to_string();
    assert!(nothing.starts_with("task 0 of `arguments::fail_without_parameters` panicked"), "{nothing}");
}

#[derive(Clone, Serialize, Deserialize)]
struct Plain(u32);

#[derive(Clone, Serialize, Deserialize)]
struct Explodes(u32);

impl fmt::Debug for Explodes {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no text of {}", self.0)
    }
}

#[worker]
#[allow(clippy::too_many_arguments, reason = "it has one of each form")]
fn forms(
    numbers: &[f64],
    name: Cow<'_, str>,
    path: &Path,
    plain: &Plain,
    explodes: Explodes,
    map: BTreeMap<u8, Option<String>>,
    long: &str,
    (a, _): (u8, u8),
) {
    let explodes = explodes.0;
    panic!(
        "{}",
        numbers.len()
            + name.len()
            + path.as_os_str().len()
            + map.len()
            + long.len()
            + (plain.0 + explodes) as usize
            + a as usize
    );
}

#[poolmap::test]
fn every_form_of_parameter_is_shown_and_given_back() {
    let _guard = common::guard();
    let call = || forms {
        numbers: vec![1.5; 1000],
        name: Cow::Borrowed("name"),
        path: PathBuf::from("a/b"),
        plain: Plain(3),
        explodes: Explodes(4),
        map: BTreeMap::from([(1, None), (2, Some("x\n".into()))]),
        long: "ä".repeat(500),
        arg7: (5, 6),
    };
    let pool = Pool::builder().workers(1).build().unwrap();
    let error = task_of(pool.apply(call()).unwrap_err());
    let numbers = format!("[{}", "1.5, ".repeat(16)).chars().take(80).collect::<String>();
    let text = format!(
        "task 0 of `arguments::forms` (numbers: {numbers}…, name: \"name\", path: \"a/b\", map: {{1: None, 2: Some(\"x\\n\")}}, long: \
         \"{}…, arg7: (5, 6)) panicked",
        "ä".repeat(79)
    );
    assert!(error.to_string().starts_with(&text), "{error}\n{text}");
    let back = error.call::<forms>().unwrap();
    assert_eq!((back.numbers, back.name, back.path), (call().numbers, call().name, call().path));
    assert_eq!(
        (back.plain.0, back.explodes.0, back.map, back.long, back.arg7),
        (3, 4, call().map, call().long, (5, 6))
    );
}

#[worker]
fn with_memory(before: u8, memory: &SharedSlice<u32>, after: u8) {
    panic!("{} {before} {after}", memory.len());
}

#[worker]
fn with_shared(before: u8, table: &[u32], after: u8) {
    panic!("{} {before} {after}", table.len());
}

#[worker]
fn large(bytes: &[u8], name: &str) {
    panic!("{} {name}", bytes.len());
}

#[poolmap::test]
fn arguments_that_cannot_be_given_back_are_shown_as_far_as_they_can_be() {
    let _guard = common::guard();
    let memory: SharedSlice<u32> = (0..10).collect();
    let error = task_of(pool_map!(with_memory, [1], [&memory], [2]).unwrap_err());
    assert!(error.to_string().contains("with_memory` (before: 1, …) panicked"), "{error}");
    assert!(error.call::<with_memory>().is_none());
    let table = vec![1u32; 10_000];
    let error = task_of(pool_map!(with_shared, [1], shared(&table), [2]).unwrap_err());
    assert!(error.to_string().contains("with_shared` (before: 1, table: <shared>, after: 2) panicked"), "{error}");
    assert!(error.call::<with_shared>().is_none());
    let error = task_of(pool_map!(large, [vec![1u8; 2 << 20]], ["big"]).unwrap_err());
    assert!(error.to_string().contains("1, 1, 1…, name: \"big\") panicked"), "{error}");
    assert!(error.call::<large>().is_none());
    let error = task_of(pool_map!(large, [vec![1u8; 1 << 19]], ["half"]).unwrap_err());
    assert_eq!(error.call::<large>().unwrap().bytes.len(), 1 << 19);
}

#[derive(Clone, Debug, Serialize)]
struct Secret(String);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "hunter2-spoilt" { Err(serde::de::Error::custom(format!("bad: {text}"))) } else { Ok(Self(text)) }
    }
}

#[worker]
fn log_in(user: &str, #[redact] token: Secret, host: &str) -> Result<(), String> {
    if token.0.is_empty() { Ok(()) } else { Err(format!("{host} refuses {user}")) }
}

#[worker(redact)]
fn log_in_secretly(user: &str, #[allow(unused)] token: &str) {
    panic!("{} letters", user.len());
}

#[poolmap::test]
fn redacted_arguments_are_in_no_text() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    for token in ["hunter2", "hunter2-spoilt"] {
        let call = log_in { user: "ada".into(), token: Secret(token.into()), host: "h".into() };
        let error = pool.apply(call).unwrap_err();
        for text in [error.to_string(), format!("{error:#}"), format!("{error:?}"), format!("{:?}", error.task())] {
            assert!(!text.contains("hunter2"), "{text}");
        }
        let shown = if token == "hunter2" { ", host: \"h\"" } else { "" };
        let text = error.to_string();
        assert!(text.contains("log_in` (user: \"ada\", token: <redacted>"), "{text}");
        assert!(text.contains(shown), "{text}");
        let call = error.task().unwrap().call::<log_in>();
        assert_eq!(call.map(|call| call.token.0), (token == "hunter2").then(|| token.to_owned()));
    }
    let error = pool.apply(log_in_secretly { user: "ada".into(), token: "hunter2".into() }).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("log_in_secretly` (user: <redacted>, token: <redacted>) panicked"), "{text}");
    assert!(!format!("{text} {error:?}").contains("ada"), "{error:?}");
}

#[poolmap::test]
fn a_pool_in_process_has_them() {
    let _guard = common::guard();
    let pool = Pool::builder().in_process().build().unwrap();
    let error = task_of(pool_map!(in &pool, end, ["", "panic"], [1, 2]).unwrap_err());
    assert!(
        error.to_string().starts_with("task 1 of `arguments::end` (how: \"panic\", number: 2) panicked"),
        "{error}"
    );
    assert_eq!(of_end(&error).1, Some(("panic".to_owned(), 2)));
    assert!(matches!(error.kind(), TaskErrorKind::Panicked { .. }));
}
