//! Runs the cells of the matrix of `tests/death_matrix.rs`: 100 tasks while one task or one worker is hit in the way and at the
//! moment named, and tells in short words what became of them. What is right is not known here.

#[path = "../common/mod.rs"]
mod common;

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::libc;
use poolmap::{Pool, TaskError, TaskErrorKind, pool_try_map, worker};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const TASKS: usize = 100;
/// The task that is hit, where it is a task.
const HIT: usize = 37;
/// Of a task, where the way does not end by itself; and where it does.
const LIMITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];
/// Of a start, where the way does not end by itself.
const STARTUP_LIMIT: Duration = Duration::from_secs(2);
const MEMORY_LIMIT: u64 = 64 << 20;
/// A worker finds here how and when it is hit.
const VARIABLE: &str = "POOLMAP_GRID_CELL";
/// A cell is run again where the worker that was to be hit was not: one that takes long to end on a busy machine is killed.
const RUNS_MAX: usize = 20;

/// A way and a moment; workers alone have one for their own.
struct Cell {
    way: String,
    moment: String,
    folder: PathBuf,
}

static CELL: OnceLock<Option<Cell>> = OnceLock::new();

impl Cell {
    fn parse(text: &str) -> Self {
        let fields: Vec<&str> = text.splitn(3, '|').collect();
        let [way, moment, folder] = fields[..] else { panic!("no cell: {text}") };
        Self { way: way.to_owned(), moment: moment.to_owned(), folder: folder.into() }
    }
}

/// The way in which this process is hit at a moment.
fn way_at(moment: &str) -> Option<&'static Cell> {
    CELL.get()?.as_ref().filter(|cell| cell.moment == moment)
}

/// A task comes by a moment.
fn task_at(moment: &str, task: usize) {
    if let Some(cell) = way_at(moment).filter(|_| task == HIT) {
        die(&cell.way, &cell.folder);
    }
}

/// Whether a value is at fault in a way that is none to die.
fn is_faulty(way: &str, moment: &str, task: usize) -> bool {
    task == HIT && way_at(moment).is_some_and(|cell| cell.way == way)
}

/// A worker comes by a moment; one of all is hit.
fn worker_at(moment: &str) {
    if let Some(cell) = way_at(moment) {
        let taken = cell.folder.join(format!("taken-{}", std::process::id()));
        if std::fs::rename(cell.folder.join("token"), taken).is_ok() {
            die(&cell.way, &cell.folder);
        }
    }
}

#[allow(unsafe_code, reason = "the deaths are what the program is about")]
fn die(way: &str, folder: &Path) {
    match way {
        "panic" => panic!("it is hit"),
        "double panic" => {
            let _second = PanicsInDrop;
            panic!("it is hit");
        }
        "exit(0)" => std::process::exit(0),
        "exit(3)" => std::process::exit(3),
        // SAFETY: it does not come back.
        "_exit(4)" => unsafe { libc::_exit(4) },
        "abort" => std::process::abort(),
        "segfault" => common::segfault(),
        "SIGBUS" => read_behind_a_file(folder),
        "SIGFPE" => raise(libc::SIGFPE),
        "SIGKILL" => raise(libc::SIGKILL),
        "SIGSTOP, with a limit" => raise(libc::SIGSTOP),
        "stack overflow" => _ = black_box(overflow(0)),
        "out of memory, with a limit" => {
            let mut all = Vec::new();
            loop {
                all.extend_from_slice(black_box(&[1u8; 1 << 16]));
            }
        }
        "endless loop, with a limit" => loop {
            std::hint::spin_loop();
        },
        "closed descriptors" => {
            for descriptor in 0..64 {
                // SAFETY: there is none for what owns them; the worker is to lose its channel.
                unsafe { libc::close(descriptor) };
            }
        }
        // SAFETY: the child does no more than the worker would.
        "fork, both return" => _ = unsafe { libc::fork() },
        _ => {}
    }
}

/// This thread gets the signal before it goes on, also where it stops the process.
#[allow(unsafe_code, reason = "the signals are what the program is about")]
fn raise(signal: i32) {
    // SAFETY: a signal that ends the worker, or stops it, is what is wanted.
    unsafe { libc::raise(signal) };
}

struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("it is hit again");
    }
}

#[expect(unconditional_recursion, reason = "the stack is to overflow")]
#[inline(never)]
fn overflow(depth: usize) -> usize {
    let large = black_box([depth; 1000]);
    overflow(depth.wrapping_add(large[1])).wrapping_add(large[2])
}

#[allow(unsafe_code, reason = "the death is what the program is about")]
fn read_behind_a_file(folder: &Path) {
    use std::os::fd::AsRawFd;

    let path = folder.join("empty");
    let file = std::fs::File::options().create(true).append(true).read(true).open(path).expect("the folder is there");
    // SAFETY: the system chooses a free address; the mapping is not used again.
    let address = unsafe {
        libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0).cast::<u8>()
    };
    // SAFETY: there is none: the file has no byte there.
    black_box(unsafe { address.read_volatile() });
}

#[derive(Serialize)]
struct Argument(usize);

impl<'de> Deserialize<'de> for Argument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let task = usize::deserialize(deserializer)?;
        task_at("reading arguments", task);
        if is_faulty("argument does not decode", "reading arguments", task) {
            return Err(serde::de::Error::custom("it does not decode"));
        }
        Ok(Self(task))
    }
}

impl Drop for Argument {
    fn drop(&mut self) {
        assert!(!is_faulty("panic in Drop", "in the task", self.0), "the argument is hit");
    }
}

struct Output(usize);

impl Serialize for Output {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        task_at("writing the result", self.0);
        if is_faulty("result does not encode", "writing the result", self.0) {
            return Err(serde::ser::Error::custom("it does not encode"));
        }
        let is_poison = is_faulty("result does not decode", "writing the result", self.0);
        if is_poison { usize::MAX } else { self.0 }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Output {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match usize::deserialize(deserializer)? {
            usize::MAX => Err(serde::de::Error::custom("it does not decode")),
            task => Ok(Self(task)),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        assert!(!is_faulty("panic in Drop", "writing the result", self.0), "the result is hit");
    }
}

#[worker]
fn work(argument: Argument) -> Output {
    task_at("in the task", argument.0);
    Output(argument.0)
}

/// Sees to it that this process, if it is a worker, is hit while it is idle, or when it ends.
#[allow(unsafe_code, reason = "what runs at a process's end is registered so")]
fn prepare() {
    extern "C" fn at_exit() {
        worker_at("during close");
    }
    if way_at("during close").is_some() {
        // SAFETY: the function stays where it is.
        unsafe { libc::atexit(at_exit) };
    }
    if let Some(cell) = way_at("idle") {
        std::thread::spawn(|| {
            // The test has the token there when tasks have run.
            while !cell.folder.join("token").exists() {
                std::thread::sleep(Duration::from_millis(1));
            }
            worker_at("idle");
        });
    }
}

/// Hits a worker once its tasks have a thread, which waits for that before it says hello.
fn hit_before_hello() {
    std::thread::spawn(|| {
        let _go = LetsGoOn;
        let names = || {
            let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
            threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("comm")).ok())
        };
        while !names().any(|name| name.trim() == "poolmap-task") {
            std::thread::sleep(Duration::from_millis(1));
        }
        worker_at("before hello");
    });
}

/// What waits before the hello goes on when it is dropped, also by a panic.
struct LetsGoOn;

impl Drop for LetsGoOn {
    fn drop(&mut self) {
        if let Some(cell) = way_at("before hello") {
            // Where it cannot be written, the worker says hello a little later.
            let _ = std::fs::write(cell.folder.join(format!("go-{}", std::process::id())), "");
        }
    }
}

/// Puts the token where workers look for it.
fn give_token(folder: &Path) {
    std::fs::write(folder.join("token"), "").expect("the folder is there");
}

/// The worker that has taken the token.
fn taken(folder: &Path) -> Option<u32> {
    let names = common::files(folder).into_iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
    names.filter_map(|name| name.strip_prefix("taken-")?.parse().ok()).next()
}

/// Behind what became of a cell where no worker came by the moment.
const NOT_HIT: &str = ", not hit";

type Outcomes = Vec<Result<Output, TaskError>>;

/// Runs a cell, and tells what became of it.
fn run(cell: &Cell, workers: usize) -> String {
    let is_limited = cell.way.contains("loop") || cell.way.contains("STOP");
    let limit = LIMITS[usize::from(!is_limited)];
    let mut builder = Pool::builder().workers(workers);
    if is_limited {
        builder = builder.startup_timeout(STARTUP_LIMIT);
    }
    if cell.way.contains("memory") {
        builder = builder.memory_limit(MEMORY_LIMIT);
    }
    let is_idle = cell.moment == "idle";
    let is_of_a_worker = is_idle || ["start-up", "before hello", "during close"].contains(&cell.moment.as_str());
    if is_of_a_worker && !is_idle {
        give_token(&cell.folder);
    }
    let pool = match builder.build() {
        Ok(pool) => pool,
        Err(error) => return format!("no pool: {error}"),
    };
    let map = |tasks: std::ops::Range<usize>| pool_try_map!(in &pool, work, tasks.map(Argument); timeout = limit);
    let first = if is_idle { TASKS / 2 } else { TASKS };
    let mut outcomes = match map(0..first) {
        Ok(outcomes) => outcomes,
        Err(error) if error.is_start_failure() => return "start error".to_owned(),
        Err(error) => return format!("call error: {error}"),
    };
    if is_idle {
        give_token(&cell.folder);
        wait_for_the_hit(cell);
        match map(0..TASKS - first) {
            Ok(more) => outcomes.extend(more),
            Err(error) => return format!("call error: {error}"),
        }
    }
    let told = tell(&outcomes, first);
    drop(pool);
    if is_of_a_worker && taken(&cell.folder).is_none() { format!("{told}{NOT_HIT}") } else { told }
}

/// Waits until an idle worker is hit; and is dead or stopped, where it is to be.
fn wait_for_the_hit(cell: &Cell) {
    common::wait_until("a worker is hit", || taken(&cell.folder).is_some());
    let lives = ["panic", "endless loop, with a limit", "closed descriptors", "fork, both return"];
    if let Some(pid) = taken(&cell.folder).filter(|_| !lives.contains(&cell.way.as_str())) {
        common::wait_until("the worker is gone", || !common::is_alive(pid) || common::is_stopped(pid));
    }
}

/// What became of the tasks of one map, or of two.
fn tell(outcomes: &Outcomes, first: usize) -> String {
    assert_eq!(outcomes.len(), TASKS, "not one outcome for each task");
    let mut told = Vec::new();
    for (at, outcome) in outcomes.iter().enumerate() {
        let task = at % first;
        match outcome {
            Ok(output) => assert_eq!(output.0, task, "the result of task {task}"),
            Err(error) => {
                assert_eq!((error.index(), error.attempts()), (task, 1), "{error}");
                assert_eq!((task, first), (HIT, TASKS), "another task was hit: {error}");
                told.push(format!("1 {}", kind(error.kind())));
            }
        }
    }
    told.pop().unwrap_or_else(|| format!("all {TASKS} right"))
}

fn kind(kind: &TaskErrorKind) -> String {
    match kind {
        TaskErrorKind::Panicked { .. } => "Panicked".to_owned(),
        TaskErrorKind::Crashed { signal: Some(signal), .. } => match nix::sys::signal::Signal::try_from(*signal) {
            Ok(signal) => format!("Crashed: {signal}"),
            Err(_) => format!("Crashed: signal {signal}"),
        },
        TaskErrorKind::Crashed { exit_code: Some(code), .. } => format!("Crashed: exit code {code}"),
        TaskErrorKind::Crashed { note: Some(note), .. } => format!("Crashed: {note}"),
        TaskErrorKind::MemoryLimit { limit: MEMORY_LIMIT, .. } => "MemoryLimit".to_owned(),
        TaskErrorKind::TimedOut { limit, .. } if *limit == LIMITS[0] => "TimedOut".to_owned(),
        TaskErrorKind::Encode(..) => "Encode".to_owned(),
        TaskErrorKind::Decode(..) => "Decode".to_owned(),
        other => format!("{other:?}"),
    }
}

/// A cell as an argument: `way|moment|workers`. A line tells it again, and what became of it, and how long that took.
fn run_and_tell(text: &str, folder: &Path) {
    for run in 0..RUNS_MAX {
        let (told, millis) = run_once(text, folder.join(run.to_string()));
        if !told.ends_with(NOT_HIT) || run + 1 == RUNS_MAX {
            println!("{text}|{told}|{millis}");
            return;
        }
    }
}

fn run_once(text: &str, folder: PathBuf) -> (String, u128) {
    let (cell, workers) = text.rsplit_once('|').expect("way|moment|workers");
    let cell = Cell::parse(&format!("{cell}|{}", folder.display()));
    std::fs::create_dir_all(&cell.folder).expect("the folder is this program's");
    let fault = match cell.moment.as_str() {
        "before hello" => format!("before-hello:await,tokens={}", folder.display()),
        _ => String::new(),
    };
    // SAFETY: std alone reads the environment here, and it locks it.
    #[allow(unsafe_code, reason = "a worker is to find it when it starts")]
    unsafe {
        std::env::set_var(VARIABLE, format!("{}|{}|{}", cell.way, cell.moment, cell.folder.display()));
        std::env::set_var("POOLMAP_FAULT", fault);
    }
    let guard = common::guard();
    let started = Instant::now();
    let told = run(&cell, workers.parse().expect("a number"));
    let millis = started.elapsed().as_millis();
    drop(guard);
    (told, millis)
}

fn main() {
    // A worker has it in its environment; the parent sets it later.
    let _ = CELL.set(std::env::var(VARIABLE).ok().map(|text| Cell::parse(&text)));
    worker_at("start-up");
    if way_at("before hello").is_some() {
        hit_before_hello();
    }
    prepare();
    poolmap::init();
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().expect("a folder for tokens"));
    for (number, text) in arguments.enumerate() {
        run_and_tell(&text, &folder.join(number.to_string()));
    }
}
