//! Runs maps while `POOLMAP_FAULT` makes its workers fail, checks what must hold whatever happens to them, and tells how many
//! workers failed and how many tasks have no result: a line for each case, as `tests/faults_injected.rs` writes them.

#[path = "../common/mod.rs"]
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_lite::{StreamExt, future, stream};
use poolmap::{
    Error, Pool, SharedSlice, TaskError, TaskErrorKind, pool_iter, pool_iter_unordered, pool_reduce, pool_stream,
    pool_stream_unordered, pool_try_map, worker,
};

/// More than a part of the ring, and more than the ring.
const LARGE_BYTES: [usize; 2] = [1 << 20, 5 << 20];
/// How many numbers a task gives whose output is folded: several are more than a part of the ring, and those of some alone, so that
/// parts are sent however few tasks a worker claims.
fn folded_length(x: u64) -> usize {
    if x % 10 == 5 { 150_000 } else { 30_000 }
}

/// Large enough to be sent as memory of its own.
const OUTPUT_LENGTH: usize = 10_000;

/// Every so many tasks there is a large one.
const LARGE_EVERY: u64 = 20;

#[worker]
fn triple(x: u64) -> u64 {
    3 * x
}

/// Tasks of 0 to 300 µs.
#[worker]
fn triple_slowly(x: u64) -> u64 {
    let started = Instant::now();
    while started.elapsed() < Duration::from_micros(x * 7 % 4 * 100) {
        std::hint::spin_loop();
    }
    3 * x
}

/// Next to no time, but for three in a row that take long: who has claimed several of them is recalled from.
#[worker]
fn triple_unevenly(x: u64) -> u64 {
    if (500..503).contains(&(x % 1000)) {
        std::thread::sleep(Duration::from_millis(12));
    }
    3 * x
}

/// Longer than a worker is given to end once its channel is closed.
#[worker]
fn triple_at_length(x: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(700));
    3 * x
}

#[worker]
fn catch_a_panic(x: u64) -> u64 {
    std::panic::catch_unwind(|| panic!("task {x} handles this")).map_or_else(|_| 3 * x, |()| 0)
}

#[worker]
fn repeat(x: u64, bytes: usize) -> (u64, Vec<u8>) {
    (3 * x, vec![x as u8; bytes])
}

#[worker]
fn triple_alone(x: u64) -> Vec<u64> {
    vec![3 * x; folded_length(x)]
}

#[worker]
fn fill(x: u64) -> SharedSlice<u64> {
    (0..OUTPUT_LENGTH).map(|_| 3 * x).collect()
}

#[worker]
fn join(mut before: Vec<u64>, mut behind: Vec<u64>) -> Vec<u64> {
    before.append(&mut behind);
    before
}

#[worker]
fn check(x: u64, text: &[u8], numbers: SharedSlice<u64>) -> u64 {
    assert!(text.iter().all(|&byte| byte == x as u8) && numbers.iter().all(|&number| number == x / LARGE_EVERY));
    3 * x
}

/// A case: `load=… workers=… chunk=… tasks=… tokens=… fault=…`.
struct Case<'a> {
    load: &'a str,
    workers: usize,
    /// None leaves it to the pool.
    chunk: Option<usize>,
    tasks: u64,
    /// How often the fault happens at most.
    tokens: usize,
    fault: &'a str,
}

impl<'a> Case<'a> {
    fn parse(text: &'a str) -> Self {
        let field = |name: &str| {
            let fields = text.split(' ').filter_map(|field| field.split_once('='));
            fields
                .filter(|(field, _)| *field == name)
                .map(|(_, value)| value)
                .next()
                .unwrap_or_else(|| panic!("no {name}"))
        };
        let number = |name: &str| field(name).parse::<usize>().expect("a number");
        Self {
            load: field("load"),
            workers: number("workers"),
            chunk: Some(number("chunk")).filter(|&chunk| chunk > 0),
            tasks: number("tasks") as u64,
            tokens: number("tokens"),
            fault: field("fault"),
        }
    }
}

type Outcomes = Vec<Result<u64, TaskError>>;

/// Maps a function in a pool, with the chunk size of a case.
macro_rules! map {
    ($map:ident, $pool:ident, $case:ident, $($arguments:tt)*) => {
        match $case.chunk {
            Some(chunk) => $map!(in $pool, $($arguments)*; chunk_size = chunk),
            None => $map!(in $pool, $($arguments)*),
        }
    };
}

/// What became of each task, in order; the value of each is three times its index.
fn outcomes(pool: &Pool, case: &Case<'_>) -> Result<Outcomes, Error> {
    let tasks = case.tasks;
    match case.load {
        "short" => map!(pool_try_map, pool, case, triple, 0..tasks),
        "uneven" => map!(pool_try_map, pool, case, triple_unevenly, 0..tasks),
        "long" => map!(pool_try_map, pool, case, triple_at_length, 0..tasks),
        "iterated" => map!(pool_iter, pool, case, triple_slowly, 0..tasks)?.map(of_task).collect(),
        "unordered" => {
            let results = map!(pool_iter_unordered, pool, case, triple_slowly, 0..tasks)?;
            let mut outcomes = Vec::new();
            for result in results {
                let index =
                    result.as_ref().map_or_else(|error| error.task().map_or(0, TaskError::index), |(at, _)| *at);
                outcomes.push((index, of_task(result.map(|(_, value)| value))?));
            }
            outcomes.sort_by_key(|(index, _)| *index);
            let indices = outcomes.iter().map(|(index, _)| *index);
            assert!(indices.eq(0..tasks as usize), "an index is missing, or came twice");
            Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
        }
        "streamed" => streamed(pool, case),
        "panics" => map!(pool_try_map, pool, case, catch_a_panic, 0..tasks),
        "results" => {
            let bytes = |x: u64| if x % LARGE_EVERY == 5 { LARGE_BYTES[(x / LARGE_EVERY % 2) as usize] } else { 100 };
            let outcomes = map!(pool_try_map, pool, case, repeat, 0..tasks, (0..tasks).map(bytes))?;
            let value = |(x, (value, filling)): (u64, (u64, Vec<u8>))| {
                assert!(filling.len() == bytes(x) && filling.iter().all(|&byte| byte == x as u8), "task {x}");
                value
            };
            Ok((0..).zip(outcomes).map(|(x, outcome)| outcome.map(|given| value((x, given)))).collect())
        }
        "memory" => {
            // Some tasks have memory in common, and it is let go of in the middle of the run.
            let mut numbers = SharedSlice::from(vec![0; 1000]);
            let shared = (0..tasks).map(move |x| {
                if x % LARGE_EVERY == 0 {
                    numbers = std::iter::repeat_n(x / LARGE_EVERY, 1000).collect();
                }
                numbers.clone()
            });
            let texts = (0..tasks).map(|x| vec![x as u8; if x % LARGE_EVERY == 9 { LARGE_BYTES[0] } else { 10 }]);
            pool_iter!(in pool, check, 0..tasks, texts, shared; chunk_size = case.chunk.unwrap_or(7), window = 30)?
                .map(of_task)
                .collect()
        }
        "outputs" => {
            let outcomes = map!(pool_try_map, pool, case, fill, 0..tasks)?;
            let value = |(x, output): (u64, SharedSlice<u64>)| {
                assert!(output.len() == OUTPUT_LENGTH && output.iter().all(|&number| number == 3 * x), "task {x}");
                output[0]
            };
            Ok((0..).zip(outcomes).map(|(x, outcome)| outcome.map(|given| value((x, given)))).collect())
        }
        "folded" => folded(pool, case),
        other => panic!("no load: {other}"),
    }
}

/// The same of a stream whose input is one, while another stream and a map run beside it.
fn streamed(pool: &Pool, case: &Case<'_>) -> Result<Outcomes, Error> {
    let tasks = case.tasks;
    std::thread::scope(|scope| {
        let beside = [
            scope.spawn(move || Ok(map!(pool_try_map, pool, case, triple, 0..tasks)?.len())),
            scope.spawn(move || {
                let stream = map!(pool_stream_unordered, pool, case, triple_slowly, 0..tasks)?;
                Ok::<_, Error>(future::block_on(stream.count()))
            }),
        ];
        let numbers = stream::iter(0..tasks).then(|x| async move {
            if x % 5 == 0 {
                future::yield_now().await;
            }
            x
        });
        let stream = map!(pool_stream, pool, case, triple_slowly, poolmap::stream(numbers))?;
        let outcomes = future::block_on(stream.map(of_task).collect::<Vec<_>>());
        for beside in beside {
            assert_eq!(beside.join().expect("it does not panic")?, tasks as usize);
        }
        outcomes.into_iter().collect()
    })
}

/// The same of a reduction, which is run again after each of its errors.
fn folded(pool: &Pool, case: &Case<'_>) -> Result<Outcomes, Error> {
    let mut failed = BTreeMap::new();
    loop {
        let ended = match case.chunk {
            Some(chunk) => {
                pool_reduce!(in pool, triple_alone, 0..case.tasks; with = join, identity = Vec::new(), chunk_size = chunk)
            }
            None => pool_reduce!(in pool, triple_alone, 0..case.tasks; with = join, identity = Vec::new()),
        };
        match ended {
            Ok(values) => {
                let mut rest = &values[..];
                let outcome = |x| {
                    let (output, behind) = rest.split_at(folded_length(x));
                    assert!(output.iter().all(|value| *value == 3 * x), "the output of task {x}");
                    rest = behind;
                    failed.remove(&(x as usize)).map_or(Ok(3 * x), Err)
                };
                let outcomes = (0..case.tasks).map(outcome).collect();
                assert!(rest.is_empty(), "there are more outputs than tasks");
                return Ok(outcomes);
            }
            Err(error) => {
                let task = error.task().cloned().ok_or(error)?;
                failed.insert(task.index(), task);
            }
        }
    }
}

/// The outcome of a task; an error of the call as a whole is none.
fn of_task(result: Result<u64, Error>) -> Result<Result<u64, TaskError>, Error> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => error.task().cloned().map(Err).ok_or(error),
    }
}

/// Runs a case; gives the processes that failed, and those that a task's error names.
fn run(case: &Case<'_>, folder: &Path) -> Result<(BTreeSet<u32>, BTreeSet<u32>), Error> {
    for token in 0..case.tokens {
        std::fs::write(folder.join(format!("token-{token}")), "").expect("the folder is there");
    }
    let fault = format!("{},tokens={}", case.fault, folder.display());
    // SAFETY: std alone reads the environment here, and it locks it.
    #[allow(unsafe_code, reason = "a worker is to find it when it starts")]
    unsafe {
        std::env::set_var("POOLMAP_FAULT", fault);
    }
    let pool = Pool::builder().workers(case.workers).build()?;
    let outcomes = outcomes(&pool, case)?;
    assert_eq!(outcomes.len() as u64, case.tasks, "not one outcome for each task");
    let mut blamed = BTreeSet::new();
    for (index, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Ok(value) => assert_eq!(*value, 3 * index as u64, "the result of task {index}"),
            Err(error) => {
                assert_eq!(error.index(), index);
                check_end(case, error);
                let pid = error.worker_pid().expect("it died of one");
                assert!(blamed.insert(pid), "worker {pid} cost more than a task: {error}");
            }
        }
    }
    // A pool whose workers do not fail any more goes on as before. A worker at its end has nothing to run.
    if !case.fault.contains("closing") {
        for token in 0..case.tokens {
            let _ = std::fs::remove_file(folder.join(format!("token-{token}")));
        }
    }
    let again = pool_try_map!(in &pool, triple, 0..50)?;
    assert!(again.iter().zip(0..).all(|(outcome, x)| matches!(outcome, Ok(value) if *value == 3 * x)), "{again:?}");
    drop(pool);
    let failed = taken(folder);
    assert!(blamed.is_subset(&failed), "{blamed:?} are blamed, and {failed:?} failed");
    Ok((failed, blamed))
}

/// The error says how the worker ended.
fn check_end(case: &Case<'_>, error: &TaskError) {
    let expected = if case.fault.contains(":abort") {
        (Some(6), None)
    } else if case.fault.contains(":exit=3") {
        (None, Some(3))
    } else {
        (Some(9), None)
    };
    match error.kind() {
        TaskErrorKind::Crashed { signal, exit_code, .. } => assert_eq!((*signal, *exit_code), expected, "{error}"),
        other => panic!("not Crashed: {other:?}"),
    }
}

/// The processes that have taken a token.
fn taken(folder: &Path) -> BTreeSet<u32> {
    let pid = |path: &Path| path.file_name()?.to_str()?.strip_prefix("taken-")?.split('-').next()?.parse().ok();
    common::files(folder).iter().filter_map(|path| pid(path)).collect()
}

/// Lets workers go on that have stopped, until `done`.
fn continue_stopped(folder: &Path, done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        for pid in taken(folder) {
            if common::is_stopped(pid) {
                common::kill(pid, "CONT");
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[poolmap::main]
fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = std::path::PathBuf::from(arguments.next().expect("a folder for tokens"));
    for (number, text) in arguments.enumerate() {
        let case = Case::parse(&text);
        print!("{text}: ");
        let folder = folder.join(number.to_string());
        std::fs::create_dir(&folder).expect("the folder is this program's");
        let guard = common::guard();
        let started = Instant::now();
        let done = AtomicBool::new(false);
        let ran = std::thread::scope(|scope| {
            scope.spawn(|| continue_stopped(&folder, &done));
            let ran = std::panic::catch_unwind(|| run(&case, &folder));
            done.store(true, Ordering::Relaxed);
            ran.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        drop(guard);
        let millis = started.elapsed().as_millis();
        match ran {
            Ok((failed, blamed)) => println!("failed={} errors={} millis={millis}", failed.len(), blamed.len()),
            Err(error) => println!("failed={} millis={millis} ended with: {error}", taken(&folder).len()),
        }
    }
}
