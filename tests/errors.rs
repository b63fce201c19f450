//! The errors of tasks that cost no worker: what a function returns, panics, and values that do not travel.

mod common;

use std::error::Error as _;
use std::fmt;

use poolmap::{Pool, TaskError, TaskErrorKind, pool_iter, pool_map, pool_try_map, worker};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Refusal {
    TooLarge { value: u32, most: u32 },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::TooLarge { value, most } = self;
        write!(f, "{value} is more than {most}")
    }
}

impl std::error::Error for Refusal {}

#[worker]
fn check(value: u32) -> Result<u32, Refusal> {
    if value <= 10 { Ok(value) } else { Err(Refusal::TooLarge { value, most: 10 }) }
}

#[derive(Debug)]
struct Outer(std::num::ParseIntError);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the line is no number")
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[worker]
fn parse(line: &str) -> Result<i32, Outer> {
    line.parse().map_err(Outer)
}

#[worker]
fn open(path: &std::path::Path) -> anyhow::Result<()> {
    use anyhow::Context;
    std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    Ok(())
}

#[worker]
fn text_error(text: &str) -> Result<(), String> {
    Err(text.to_owned())
}

#[worker(plain)]
fn plain(value: u32) -> Result<u32, String> {
    if value == 0 { Err("zero".into()) } else { Ok(value) }
}

fn failed(outcome: &Result<impl fmt::Debug, TaskError>) -> &poolmap::RemoteError {
    match outcome.as_ref().unwrap_err().kind() {
        TaskErrorKind::Failed(error) => error,
        other => panic!("not Failed: {other:?}"),
    }
}

#[poolmap::test]
fn a_returned_error_keeps_message_chain_and_debug_text() {
    let _guard = common::guard();
    let outcomes = pool_try_map!(parse, ["1", "x"]).unwrap();
    assert_eq!(outcomes[0].as_ref().unwrap(), &1);
    let error = failed(&outcomes[1]);
    assert_eq!(error.to_string(), "the line is no number");
    assert_eq!(error.source().unwrap().to_string(), "invalid digit found in string");
    assert!(error.source().unwrap().source().is_none());
    assert_eq!(error.debug_text(), "Outer(ParseIntError { kind: InvalidDigit })");
    assert_eq!(error.downcast::<String>(), None, "it is not serde, so only its texts travel");
    let task = outcomes[1].as_ref().unwrap_err();
    assert_eq!((task.index(), task.function(), task.attempts()), (1, "errors::parse", 1));
    assert!(task.worker_pid().is_some());
    // What failed is its text, and why is its source: each is shown once, whoever prints the chain.
    assert_eq!(task.to_string(), "task 1 of `errors::parse` (line: \"x\") failed");
    let chain = "task 1 of `errors::parse` (line: \"x\") failed: the line is no number: invalid digit found in string";
    assert_eq!(format!("{task:#}"), chain);
    assert_eq!(format!("{:#}", anyhow::Error::from(task.clone())), chain);
}

#[poolmap::test]
fn a_returned_error_that_is_serde_comes_back_as_itself() {
    let _guard = common::guard();
    let outcomes = pool_try_map!(check, [3, 30]).unwrap();
    let error = failed(&outcomes[1]);
    assert_eq!(error.downcast::<Refusal>(), Some(Refusal::TooLarge { value: 30, most: 10 }));
    assert_eq!(error.downcast::<u32>(), None);
    assert_eq!(error.to_string(), "30 is more than 10");
    let outcomes = pool_try_map!(text_error, ["a text"]).unwrap();
    assert_eq!(failed(&outcomes[0]).downcast::<String>().as_deref(), Some("a text"));
}

#[poolmap::test]
fn anyhow_errors_keep_their_context() {
    let _guard = common::guard();
    let error = pool_map!(open, ["/nowhere/at/all"].map(std::path::Path::new)).unwrap_err();
    let TaskErrorKind::Failed(remote) = error.task().unwrap().kind() else { panic!("{error}") };
    assert_eq!(remote.message(), "cannot open /nowhere/at/all");
    assert!(remote.source().unwrap().to_string().contains("No such file"));
    let task = "task 0 of `errors::open` (path: \"/nowhere/at/all\") failed";
    let line = format!("{task}: cannot open /nowhere/at/all: No such file or directory (os error 2)");
    assert_eq!(format!("{error:#}"), line);
    let shown = format!("{error:?}");
    assert_eq!(format!("{:#}", anyhow::Error::from(error)), line);
    assert_eq!(
        shown,
        format!(
            "{task}\n  caused by: cannot open /nowhere/at/all\n  caused by: No such file or directory (os error 2)"
        )
    );
}

#[poolmap::test]
fn a_plain_result_is_a_value() {
    let _guard = common::guard();
    assert_eq!(pool_map!(plain, [0, 5]).unwrap(), [Err("zero".to_owned()), Ok(5)]);
}

#[poolmap::test]
fn a_map_stops_at_the_first_failure_and_an_iterator_goes_on() {
    let _guard = common::guard();
    let error = pool_map!(check, [1, 99, 3]).unwrap_err();
    assert_eq!(error.task().unwrap().index(), 1);
    let outcomes: Vec<_> = pool_iter!(check, [1, 99, 3]).unwrap().collect();
    assert_eq!(outcomes[0].as_ref().unwrap(), &1);
    assert_eq!(outcomes[1].as_ref().unwrap_err().task().unwrap().index(), 1);
    assert_eq!(outcomes[2].as_ref().unwrap(), &3);
}

#[worker]
fn panic_at(task: usize, at: usize) -> u32 {
    assert!(task != at, "task {task} is the one");
    std::process::id()
}

#[worker]
fn panic_with_text(_task: usize) {
    std::panic::panic_any("a plain text")
}

#[worker]
fn panic_with_value(_task: usize) {
    std::panic::panic_any(17)
}

#[poolmap::test]
fn a_panic_has_message_and_place_and_costs_no_worker() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    let outcomes = pool_try_map!(in &pool, panic_at, 0..6, std::iter::repeat(3); chunk_size = 6).unwrap();
    let pids: Vec<u32> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok().copied()).collect();
    assert_eq!(pids, [pids[0]; 5]);
    let TaskErrorKind::Panicked { message, location, backtrace, .. } = outcomes[3].as_ref().unwrap_err().kind() else {
        panic!("{:?}", outcomes[3]);
    };
    assert_eq!(message, "task 3 is the one");
    let location = location.as_ref().unwrap();
    assert!(
        location.contains("errors.rs:") && location.split(':').nth(1).unwrap().parse::<u32>().unwrap() > 100,
        "{location}"
    );
    let asked = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    assert_eq!(backtrace.is_some(), asked);
    assert!(backtrace.as_ref().is_none_or(|backtrace| backtrace.contains("panic_at")));
    assert_eq!(pool.workers()[0].pid(), pids[0]);
}

#[poolmap::test]
fn a_panic_may_carry_any_value() {
    let _guard = common::guard();
    let message = |error: poolmap::Error| match error.task().unwrap().kind() {
        TaskErrorKind::Panicked { message, .. } => message.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(message(pool_map!(panic_with_text, [0]).unwrap_err()), "a plain text");
    assert_eq!(message(pool_map!(panic_with_value, [0]).unwrap_err()), "a panic whose payload is no text");
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(i32),
    Text(String),
}

#[derive(Debug, Serialize, Deserialize)]
struct Flattened {
    a: i32,
    #[serde(flatten)]
    rest: std::collections::BTreeMap<String, i32>,
}

#[worker]
fn take_untagged(_value: Untagged) {}

#[worker]
fn take_json(_value: serde_json::Value) {}

#[worker]
fn take_flattened(_value: Flattened) {}

#[worker]
fn give_untagged(number: i32) -> Untagged {
    if number == 0 { Untagged::Text(String::new()) } else { Untagged::Number(number) }
}

#[worker]
fn give_flattened(a: i32) -> Flattened {
    Flattened { a, rest: std::collections::BTreeMap::new() }
}

/// The error of a map whose value cannot travel names the task, the type and the way out.
#[track_caller]
fn assert_names_the_way_out(error: &poolmap::Error, type_name: &str) {
    let text = format!("{error:#}");
    for part in [
        "task 0 of `errors::",
        type_name,
        "bincode cannot carry",
        "poolmap::Json(value)",
        "String or as bytes that you encode yourself",
    ] {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

#[poolmap::test]
fn types_that_describe_themselves_are_that_tasks_error() {
    let _guard = common::guard();
    assert_names_the_way_out(&pool_map!(take_untagged, [Untagged::Number(1)]).unwrap_err(), "Untagged");
    assert_names_the_way_out(&pool_map!(take_json, [serde_json::json!({"a": 1})]).unwrap_err(), "Value");
    let flattened = Flattened { a: 1, rest: std::collections::BTreeMap::new() };
    assert_names_the_way_out(&pool_map!(take_flattened, [flattened]).unwrap_err(), "Flattened");
    assert_names_the_way_out(&pool_map!(give_untagged, [1]).unwrap_err(), "Untagged");
    assert_names_the_way_out(&pool_map!(give_flattened, [1]).unwrap_err(), "Flattened");
}

/// Serialises as what it is told, and deserialises as a number.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "u64")]
struct Liar(u64);

impl From<u64> for Liar {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl Serialize for Liar {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            0 => serializer.serialize_u8(0),
            1 => Err(serde::ser::Error::custom("it does not want to")),
            2 => (7u64, 7u64).serialize(serializer),
            other => serializer.serialize_u64(other),
        }
    }
}

#[worker]
fn echo(value: Liar) -> u64 {
    value.0
}

#[worker]
fn give(value: u64) -> Liar {
    Liar(value)
}

#[poolmap::test]
fn values_that_fail_to_encode_or_decode_are_that_tasks_error_and_the_others_go_on() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    for chunk_size in [1, 3, 100] {
        let values = (0..8).map(Liar);
        let outcomes = pool_try_map!(in &pool, echo, values; chunk_size = chunk_size).unwrap();
        let kinds: Vec<&str> = outcomes.iter().map(|outcome| kind(outcome)).collect();
        // The first is too short for a number, and the bytes of the third are more than one.
        assert_eq!(kinds, ["decode", "encode", "decode", "ok", "ok", "ok", "ok", "ok"]);
        let outcomes = pool_try_map!(in &pool, give, 0..8; chunk_size = chunk_size).unwrap();
        let kinds: Vec<&str> = outcomes.iter().map(|outcome| kind(outcome)).collect();
        assert_eq!(kinds, ["decode", "encode", "decode", "ok", "ok", "ok", "ok", "ok"]);
        assert!(format!("{:#}", outcomes[1].as_ref().unwrap_err()).contains("it does not want to"));
    }
}

fn kind<T>(outcome: &Result<T, TaskError>) -> &'static str {
    match outcome.as_ref().map_err(TaskError::kind) {
        Ok(_) => "ok",
        Err(TaskErrorKind::Encode(_)) => "encode",
        Err(TaskErrorKind::Decode(_)) => "decode",
        Err(_) => "other",
    }
}

#[worker]
fn nothing() -> u32 {
    7
}

#[poolmap::test]
fn one_call_takes_its_arguments_by_name() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    assert_eq!(pool.apply(check { value: 3 }).unwrap(), 3);
    assert_eq!(pool.apply(nothing {}).unwrap(), 7);
    let error = pool.apply(check { value: 30 }).unwrap_err();
    assert_eq!((error.task().unwrap().index(), format!("{error:#}").ends_with("30 is more than 10")), (0, true));
    assert!(format!("{:#}", pool.apply(echo { value: Liar(1) }).unwrap_err()).contains("it does not want to"));
}
