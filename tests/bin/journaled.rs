//! Maps with a journal: `journaled FORM TASKS [JOURNAL]` prints the results. Each execution of a task adds a line to the file that
//! JOURNALED_LOG names, and takes JOURNALED_SLEEP microseconds.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use futures_lite::{StreamExt, future};
use poolmap::{
    Fd, Mutex, Output, Pool, SharedSlice, current_worker, pool_for_each, pool_iter, pool_iter_unordered, pool_map,
    pool_map_captured, pool_reduce, pool_stream, pool_stream_unordered, pool_try_map, shared, task_seed, worker,
};

/// Notes an execution, and takes its time.
fn executed(x: u64) {
    let log = std::env::var_os("JOURNALED_LOG").expect("there is a log");
    let mut log = OpenOptions::new().append(true).create(true).open(log).expect("it can be written");
    log.write_all(format!("{x}\n").as_bytes()).expect("there is room");
    if let Ok(time) = std::env::var("JOURNALED_SLEEP") {
        std::thread::sleep(Duration::from_micros(time.parse().expect("microseconds")));
    }
}

#[worker]
fn square(x: u64) -> u64 {
    executed(x);
    x * x
}

#[worker]
fn add(x: u64, y: u64) -> u64 {
    x.wrapping_add(y)
}

/// Its arguments are padded, for the numbers that it borrows.
#[worker]
fn describe(name: &str, numbers: &[f64], list: Vec<u16>) -> String {
    executed(list.len() as u64);
    format!("{name}: {} of {}", numbers.iter().sum::<f64>(), list.len())
}

#[worker]
fn look_up(table: &[f64], part: SharedSlice<u32>, x: usize) -> f64 {
    executed(x as u64);
    table[x % table.len()] + part.iter().map(|&number| f64::from(number)).sum::<f64>()
}

#[worker]
fn print(x: u64) -> u64 {
    executed(x);
    println!("printed {x}");
    x + 1
}

#[worker]
fn draw(x: u64) -> u64 {
    executed(x);
    task_seed().expect("it is a task")
}

/// Fails for each third, and in its first execution for each fifth.
#[worker]
fn fail(x: u64) -> Result<u64, String> {
    executed(x);
    let attempt = current_worker().map_or(1, |worker| worker.attempt());
    let fails = x.is_multiple_of(3) || x.is_multiple_of(5) && attempt == 1;
    if fails { Err(format!("{x} fails")) } else { Ok(x) }
}

#[worker]
fn die(x: u64) -> u64 {
    executed(x);
    let attempt = current_worker().map_or(1, |worker| worker.attempt());
    if x.is_multiple_of(4) && attempt == 1 {
        std::process::abort();
    }
    x
}

#[worker]
fn wait(x: u64) -> u64 {
    executed(x);
    if x.is_multiple_of(4) {
        std::thread::sleep(Duration::from_secs(3600));
    }
    x
}

#[worker]
fn large(x: u64) -> Vec<u64> {
    executed(x);
    vec![x; 1 << 20]
}

#[worker]
fn slice(x: u64) -> SharedSlice<u64> {
    executed(x);
    (0..50_000).map(|at| at * x).collect()
}

#[worker]
fn lock(counter: Mutex<u64>, x: u64) -> u64 {
    executed(x);
    *counter.lock().expect("nobody dies") += x;
    x
}

#[worker]
fn read(file: Fd, x: u64) -> u64 {
    drop(file);
    executed(x);
    x
}

#[worker]
fn nested(x: u64) -> Vec<u64> {
    executed(x);
    pool_map!(square, [x, x + 1]).expect("it has no journal")
}

fn results(form: &str, tasks: u64, journal: Option<&Path>) -> poolmap::Result<String> {
    // The option where there is a path: without one, the environment may name a journal.
    macro_rules! map {
        ($($map:tt)*) => {
            match journal {
                Some(journal) => run!(journal; $($map)*),
                None => run!(; $($map)*),
            }
        };
    }
    macro_rules! run {
        ($journal:ident; $name:ident!($($call:tt)*)) => { $name!($($call)*, journal = $journal) };
        (; $name:ident!($($call:tt)*)) => { $name!($($call)*) };
    }
    let xs = 0..tasks;
    Ok(match form {
        "map" => format!("{:?}", map!(pool_map!(square, xs; window = 10_000))?),
        "one by one" => format!("{:?}", map!(pool_map!(square, xs; chunk_size = 1))?),
        "in chunks" => format!("{:?}", map!(pool_map!(square, xs; chunk_size = 7))?),
        "backwards" => format!("{:?}", map!(pool_map!(square, xs.rev(); chunk_size = 3))?),
        "try_map" => format!("{:?}", outcomes(map!(pool_try_map!(square, xs; window = 100))?)),
        "iter" => format!("{:?}", map!(pool_iter!(square, xs; window = 20))?.collect::<poolmap::Result<Vec<_>>>()?),
        "iter_unordered" => {
            let mut all = map!(pool_iter_unordered!(square, xs; window = 20))?.collect::<poolmap::Result<Vec<_>>>()?;
            all.sort_unstable();
            format!("{all:?}")
        }
        "stream" => {
            let stream = map!(pool_stream!(square, poolmap::stream(futures_lite::stream::iter(xs)); window = 20))?;
            format!("{:?}", future::block_on(stream.try_collect::<u64, poolmap::Error, Vec<_>>())?)
        }
        "stream_unordered" => {
            let stream = map!(pool_stream_unordered!(square, xs; window = 20))?;
            let mut all = future::block_on(stream.try_collect::<(usize, u64), poolmap::Error, Vec<_>>())?;
            all.sort_unstable();
            format!("{all:?}")
        }
        "for_each" => format!("{:?}", map!(pool_for_each!(square, xs; window = 100))?),
        "reduce" => map!(pool_reduce!(square, xs; with = add, identity = 0))?.to_string(),
        "captured" => {
            let pool = Pool::builder().output(Output::Captured).build()?;
            let all = map!(pool_map_captured!(in &pool, print, xs; window = 100))?;
            all.into_iter().map(|one| format!("{:?} {:?}, ", one.outcome.ok(), one.stdout)).collect()
        }
        "printing" => format!("{:?}", map!(pool_map!(print, xs; window = 100))?),
        "padded" => {
            let names = (0..tasks).map(|x| "x".repeat(x as usize % 11));
            let numbers = (0..tasks).map(|x| vec![0.5; x as usize % 5]);
            let lists = (0..tasks).map(|x| vec![x as u16; x as usize]);
            format!("{:?}", map!(pool_map!(describe, names, numbers, lists; window = 100))?)
        }
        "shared" => {
            let table: Vec<f64> = (0..1000).map(f64::from).collect();
            let numbers: SharedSlice<u32> = (0..10_000).collect();
            let parts = (0..tasks as usize).map(|x| numbers.slice(x..x + 10));
            format!("{:?}", map!(pool_map!(look_up, shared(&table), parts, 0..tasks as usize; window = 100))?)
        }
        "twice" => {
            let mut both = Vec::new();
            for _ in 0..2 {
                both.push(map!(pool_map!(draw, xs.clone().chain(xs.clone()); window = 100))?);
            }
            format!("{both:?}")
        }
        "seeded" => format!("{:?}", map!(pool_map!(draw, xs.map(|_| 0); seed = 5))?),
        "failing" => format!("{:?}", outcomes(map!(pool_try_map!(fail, xs; window = 100))?)),
        "retried" => {
            let retried = map!(pool_try_map!(fail, xs; retry_errors = 1, retry_backoff = Duration::ZERO))?;
            format!("{:?}", outcomes(retried))
        }
        "dying" => format!("{:?}", map!(pool_map!(die, xs; attempts = 2))?),
        "timed out" => {
            format!("{:?}", outcomes(map!(pool_try_map!(wait, xs; timeout = Duration::from_millis(200)))?))
        }
        "deadline" => {
            format!("{:?}", outcomes(map!(pool_try_map!(wait, xs; deadline = Duration::from_millis(1500)))?))
        }
        "large" => {
            let all = map!(pool_iter!(large, xs; window = 100))?;
            let sums = all.map(|one| one.map(|one| one.iter().sum::<u64>()));
            format!("{:?}", sums.collect::<poolmap::Result<Vec<_>>>()?)
        }
        "slices" => {
            let all = map!(pool_map!(slice, xs; window = 100))?;
            format!("{:?}", all.iter().map(|one| one.iter().sum::<u64>()).collect::<Vec<_>>())
        }
        "locks" => {
            let counter = Mutex::new(0u64)?;
            let counters = (0..tasks).map(|_| counter.clone());
            format!("{:?}", map!(pool_map!(lock, counters, xs; window = 100))?)
        }
        "descriptors" => {
            let files = (0..tasks).map(|_| Fd::from(std::fs::File::open("/dev/null").expect("it is there")));
            format!("{:?}", map!(pool_map!(read, files, xs; window = 100))?)
        }
        "nested" => format!("{:?}", map!(pool_map!(nested, xs; window = 100))?),
        "threads" => {
            let all = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4)
                    .map(|at| {
                        let xs = at * tasks..(at + 1) * tasks;
                        scope.spawn(move || map!(pool_map!(square, xs; window = 100)))
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect::<Vec<_>>()
            });
            format!("{:?}", all.into_iter().collect::<poolmap::Result<Vec<_>>>()?)
        }
        // A copy of the process drops what it has of the map, and cannot use the file while its parent has it.
        "forking" => {
            let mut all = map!(pool_iter!(square, xs.clone(); window = 3))?;
            let first = all.next().expect("there are some")?;
            let child = fork();
            if child == 0 {
                drop(all);
                let own = map!(pool_map!(square, xs; window = 3));
                // Its parent may have let go of the file.
                let is_right = own.map_or_else(|error| error.is_invalid_option(), |own| own.len() == tasks as usize);
                std::process::exit(i32::from(!is_right));
            }
            let results: Vec<_> = std::iter::once(Ok(first)).chain(all).collect::<poolmap::Result<_>>()?;
            let copy = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(child), None).expect("it is a child");
            assert!(matches!(copy, nix::sys::wait::WaitStatus::Exited(_, 0)), "{copy:?}");
            format!("{results:?}")
        }
        // The rest of a map is left.
        "left" => {
            let mut some = map!(pool_iter!(square, 0..; chunk_size = 1))?;
            format!("{:?}", some.by_ref().take(tasks as usize).collect::<poolmap::Result<Vec<_>>>()?)
        }
        other => panic!("no form {other}"),
    })
}

#[allow(unsafe_code, reason = "a copy of the process is what a test is about")]
fn fork() -> i32 {
    // SAFETY: the other threads are the pool's, whose workers have started, and the journal's, which hold no lock of the standard library's.
    unsafe { nix::libc::fork() }
}

fn outcomes(all: Vec<Result<u64, poolmap::TaskError>>) -> Vec<Option<u64>> {
    all.into_iter().map(Result::ok).collect()
}

#[poolmap::main]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let tasks = arguments[1].parse().expect("a number of tasks");
    match results(&arguments[0], tasks, arguments.get(2).map(Path::new)) {
        Ok(results) => println!("{results}"),
        Err(error) => {
            println!("error: {error:#}, option: {}", error.is_invalid_option());
            std::process::exit(1);
        }
    }
}
