//! What a worker keeps from task to task.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use poolmap::{Pool, TaskErrorKind, pool_map, pool_try_map, worker};

#[derive(Default)]
struct Seen {
    tasks: u32,
    by_name: BTreeMap<String, u32>,
}

struct Model {
    /// Not everything that a worker keeps can travel.
    _local: std::rc::Rc<()>,
    made: u32,
}

fn load() -> Model {
    Model { _local: std::rc::Rc::default(), made: std::process::id() }
}

#[worker]
fn count(#[state] seen: &mut Seen, name: &str) -> (u32, u32) {
    seen.tasks += 1;
    let by_name = seen.by_name.entry(name.to_owned()).or_default();
    *by_name += 1;
    (seen.tasks, *by_name)
}

#[worker]
fn count_all(#[state] seen: &mut Seen) -> (u32, u32) {
    (std::process::id(), seen.tasks)
}

#[worker]
fn made_in(#[state(init = load)] model: &mut Model, _task: usize) -> (u32, u32) {
    (model.made, std::process::id())
}

#[worker]
fn fail_or_panic(#[state] seen: &mut Seen, how: usize) -> Result<u32, String> {
    seen.tasks += 1;
    match how {
        0 => Ok(seen.tasks),
        1 => Err(format!("after {}", seen.tasks)),
        _ => panic!("with the state in its hands"),
    }
}

fn try_to_load() -> std::fs::File {
    let path = std::env::var_os("POOLMAP_STATE_FILE").expect("the test has set it");
    std::fs::File::open(Path::new(&path)).expect("there is no model")
}

#[worker]
fn bytes_of(#[state(init = try_to_load)] file: &mut std::fs::File, _task: usize) -> u64 {
    file.metadata().unwrap().len()
}

#[poolmap::test]
fn a_worker_keeps_its_state_from_task_to_task_and_from_call_to_call() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    let counts = pool_map!(in &pool, count, ["a", "b", "a"]).unwrap();
    assert_eq!(counts, [(1, 1), (2, 1), (3, 2)]);
    assert_eq!(pool.apply(count { name: "b".into() }).unwrap(), (4, 2));
    assert_eq!(pool.apply(count_all {}).unwrap().1, 4);
}

#[poolmap::test]
fn each_worker_has_a_state_of_its_own() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(3).build().unwrap();
    pool_map!(in &pool, count, vec!["x"; 300]).unwrap();
    assert_eq!(pool.run_on_all(count_all {}).unwrap().iter().map(|(_, tasks)| tasks).sum::<u32>(), 300);
    assert!(pool_map!(in &pool, made_in, 0..100).unwrap().iter().all(|(made, pid)| made == pid));
}

#[poolmap::test]
fn a_panic_makes_the_state_anew_and_an_error_does_not() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    let outcomes = pool_try_map!(in &pool, fail_or_panic, [0, 1, 0, 2, 0]).unwrap();
    let told: Vec<String> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Ok(tasks) => tasks.to_string(),
            Err(error) => match error.kind() {
                TaskErrorKind::Failed(failure) => failure.to_string(),
                TaskErrorKind::Panicked { .. } => "panicked".to_owned(),
                other => format!("{other:?}"),
            },
        })
        .collect();
    assert_eq!(told, ["1", "after 2", "3", "panicked", "1"]);
}

#[poolmap::test]
fn a_state_that_cannot_be_made_is_each_tasks_panic_until_it_can() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    // SAFETY: std alone reads the environment here, and it locks it.
    #[allow(unsafe_code, reason = "the workers are to find it")]
    unsafe {
        std::env::set_var("POOLMAP_STATE_FILE", &path);
    }
    let pool = Pool::builder().workers(1).build().unwrap();
    let error = pool.apply(bytes_of { _task: 0 }).unwrap_err();
    assert!(format!("{error:#}").contains("there is no model"), "{error}");
    std::fs::write(&path, [0; 17]).unwrap();
    assert_eq!(pool.apply(bytes_of { _task: 0 }).unwrap(), 17);
}

#[test]
fn a_function_with_a_state_can_be_called_directly() {
    let mut seen = Seen::default();
    assert_eq!(count(&mut seen, "a"), (1, 1));
    assert_eq!(count(&mut seen, "a"), (2, 2));
}
