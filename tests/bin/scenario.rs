//! Programs whose whole process is what a test looks at: one scenario for each first argument.

use std::io::Write;
use std::process::exit;
use std::time::Duration;

use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use poolmap::{Pool, pool_map, pool_try_map, worker};

#[worker]
fn double(x: u64) -> u64 {
    2 * x
}

#[worker]
fn sleep_long(_task: u64) {
    std::thread::sleep(Duration::from_secs(600));
}

/// Is busy in a worker of its own.
#[worker]
fn sleep_long_below(task: u64) -> poolmap::Result<()> {
    pool_map!(sleep_long, [task]).map(drop)
}

/// The depth at which no more pools are allowed.
#[worker]
fn nest(depth: u32) -> Result<u32, String> {
    match pool_map!(nest, [depth + 1]) {
        Ok(depths) => Ok(depths[0]),
        Err(error) if error.is_nested_too_deep() => Ok(depth),
        Err(error) => Err(error.to_string()),
    }
}

#[worker]
fn panic_with(message: String) {
    panic!("{message}");
}

#[worker]
#[expect(unconditional_recursion, reason = "the stack is to overflow")]
fn overflow(depth: u64) -> u64 {
    let large = std::hint::black_box([depth; 1000]);
    overflow(depth.wrapping_add(large[1]) + 1).wrapping_add(large[2])
}

/// Takes memory and writes to it, without an end.
#[worker]
fn fill_memory(_task: u64) {
    let mut all = Vec::new();
    loop {
        all.push(std::hint::black_box(vec![1u8; 1 << 20]));
    }
}

/// Panics where little memory is left: in the thread of the task, or in another that the task waits for.
#[worker]
fn panic_without_memory(place: &str) {
    let mut all: Vec<Vec<u8>> = Vec::with_capacity(1 << 16);
    let mut block = Vec::new();
    while block.try_reserve_exact(8 << 10).is_ok() {
        all.push(std::mem::take(&mut block));
    }
    all.truncate(all.len() - 16);
    match place {
        "the task" => panic!("with little memory"),
        _ => std::thread::spawn(|| panic!("with little memory")).join().unwrap(),
    }
}

/// Writes many lines of 1 KiB to standard error.
#[worker]
fn flood(_task: usize, lines: usize) -> usize {
    let line = format!("{:1023}\n", "an error");
    (0..lines).for_each(|_| std::io::stderr().write_all(line.as_bytes()).expect("it is open"));
    lines
}

#[worker]
fn speak(task: u32) {
    println!("task {task} speaks");
}

#[worker]
fn dot(_task: u32) {
    print!(".");
}

#[poolmap::main]
fn main() -> poolmap::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["double"] => println!("{:?}", pool_map!(double, 1..4)?),
        ["nest"] => println!("{:?}", pool_map!(nest, [1])?),
        ["speak"] => {
            pool_map!(speak, 0..3)?;
            println!("the parent speaks");
        }
        ["dots"] => {
            let pool = Pool::builder().workers(1).build()?;
            // After many of them the worker knows that they are short.
            pool_map!(in &pool, dot, 0..5000)?;
            pool_map!(in &pool, dot, 0..3)?;
            std::thread::sleep(Duration::from_secs(600));
        }
        ["flood", lines, millis] => {
            let (lines, limit) = (lines.parse::<usize>(), millis.parse().map(Duration::from_millis));
            let (lines, limit) = (lines.expect("a number"), limit.expect("a number"));
            for outcome in pool_try_map!(flood, 0..4, [lines; 4]; timeout = limit)? {
                println!("{outcome:?}");
            }
        }
        ["panic"] => println!("{}", pool_map!(panic_with, ["the message"]).unwrap_err()),
        ["panic without memory", place] => {
            let pool = Pool::builder().workers(1).memory_limit(64 << 20).build().unwrap();
            println!("{}", pool_map!(in &pool, panic_without_memory, [place]).unwrap_err());
        }
        ["be killed for memory"] => println!("{}", pool_map!(fill_memory, [0]).unwrap_err()),
        ["overflow"] => println!("{}", pool_map!(overflow, [0]).unwrap_err()),
        ["global size"] => match pool_map!(double, 1..4) {
            Ok(_) => println!("{}", poolmap::global_pool()?.workers().len()),
            Err(error) => println!("{error}"),
        },
        ["without its file", ref replacement @ ..] => {
            let own = std::env::current_exe().expect("Linux tells it");
            std::fs::remove_file(&own).expect("the file is a copy for this");
            if let [replacement] = replacement {
                std::fs::copy(replacement, &own).expect("both can be copied");
            }
            println!("{:?}", pool_map!(double, 1..4)?);
        }
        ["closed streams", path] => {
            let pool = Pool::builder().workers(1).build()?;
            pool.ready()?;
            close_standard_streams();
            let worker = pool.workers()[0].pid().cast_signed();
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(worker), nix::sys::signal::SIGKILL).expect("it runs");
            // The worker that takes its place has a channel of its own, and this goes nowhere.
            while pool.workers().first().is_none_or(|now| now.pid().cast_signed() == worker) {
                std::thread::sleep(Duration::from_millis(1));
            }
            let _ = writeln!(std::io::stdout(), "a line for nobody");
            std::fs::write(path, format!("{:?}", pool_map!(in &pool, double, 1..4)?)).expect("the folder is there");
        }
        ["few descriptors", most] => few_descriptors(most.parse().expect("a number")),
        ["parent", state, workers] => parent(state, workers.parse().expect("a number"))?,
        ref other => {
            eprintln!("no scenario: {other:?}");
            exit(2);
        }
    }
    Ok(())
}

#[allow(unsafe_code, reason = "closing what std owns is what the scenario is about")]
fn close_standard_streams() {
    for descriptor in 0..3 {
        // SAFETY: std goes on without its streams: what is written to them is an error that nobody looks at.
        unsafe { libc::close(descriptor) };
    }
}

/// How many descriptors this program was started with, beside the first three, that count for a limit of so many: each takes a number
/// below it, and so each lets it rise by one.
fn inherited_below(most: libc::rlim_t) -> libc::rlim_t {
    let is_open =
        |number: libc::rlim_t| std::path::Path::new(&format!("/proc/self/fd/{number}")).symlink_metadata().is_ok();
    let mut inherited = 0;
    for number in 3.. {
        if number >= most + inherited {
            break;
        }
        inherited += libc::rlim_t::from(is_open(number));
    }
    inherited
}

/// Asks for more workers than there are descriptors for, and then for as many as there are.
fn few_descriptors(most: libc::rlim_t) {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("it has no way to fail");
    setrlimit(Resource::RLIMIT_NOFILE, most + inherited_below(most), hard).expect("a limit may be lowered");
    let error = Pool::builder().workers(64).build().expect_err("there are too few descriptors");
    println!("{} {error}", error.is_start_failure());
    let pool = Pool::builder().workers(2).build().expect("the descriptors were given back");
    println!("{:?}", pool_map!(in &pool, double, 1..4));
}

/// Numbers, and the program ends at one of them.
fn end_at(last: u64, end: fn()) -> impl Iterator<Item = u64> {
    (0..1000).inspect(move |&number| {
        if number == last {
            end();
        }
    })
}

/// Tells its workers and then goes on until it is killed.
fn parent(state: &str, workers: usize) -> poolmap::Result<()> {
    let pool = Pool::builder().workers(workers).build()?;
    if state != "starting" {
        pool.ready()?;
    }
    let pids: Vec<String> = pool.workers().iter().map(|worker| worker.pid().to_string()).collect();
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", pids.join(" ")).and_then(|()| stdout.flush()).expect("the test reads it");
    match state {
        "busy" => drop(pool_map!(in &pool, sleep_long, 0..1000)?),
        "nested" => drop(pool_map!(in &pool, sleep_long_below, 0..1000)?),
        "panic in a map" => drop(pool_map!(in &pool, sleep_long, end_at(2, || panic!("the input panics")))?),
        "abort in a map" => drop(pool_map!(in &pool, sleep_long, end_at(2, || std::process::abort()))?),
        "exit in a map" => drop(pool_map!(in &pool, sleep_long, end_at(2, || exit(3)))?),
        "panic" => panic!("the parent panics"),
        "end" => {}
        _ => std::thread::sleep(Duration::from_secs(600)),
    }
    Ok(())
}
