//! Programs that limit their own memory or files, and use all that shares memory: the first argument names the limit.

use std::io::Write;

use nix::libc;
use nix::sys::resource::{Resource, setrlimit};
use poolmap::{Mutex, Output, Pool, Process, SharedSlice, SharedSliceMut, channel, pool_map, shared, worker};

#[worker]
fn double(x: u64) -> u64 {
    x * 2
}

#[worker]
fn echo(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

#[worker]
fn length_with(x: usize, all: &[u8]) -> usize {
    x + all.len()
}

#[worker]
fn sum(part: &SharedSlice<f64>) -> f64 {
    part.iter().sum()
}

#[worker]
fn fill(mut part: SharedSliceMut<u64>) {
    part.fill(7);
}

#[worker]
fn push(text: &Mutex<String>) -> poolmap::Result<()> {
    text.lock()?.push('x');
    Ok(())
}

/// Prints so many bytes, and gives how many it was.
#[worker]
fn print(bytes: usize) -> usize {
    let line = "x".repeat(999);
    for _ in 0..bytes / 1000 {
        println!("{line}");
    }
    bytes
}

#[worker]
fn die_first(x: u64, folder: std::path::PathBuf) -> u64 {
    if x == 0 && std::fs::create_dir(folder.join("died")).is_ok() {
        std::process::abort();
    }
    x
}

/// A use, and whether what it gives is right.
type Use = (&'static str, fn(&Pool) -> Result<bool, Box<dyn std::error::Error>>);

const USES: [Use; 9] = [
    ("map", |pool| Ok(pool_map!(in pool, double, 0..1000)? == (0..1000).map(|x| x * 2).collect::<Vec<u64>>())),
    ("large", |pool| {
        let blocks: Vec<Vec<u8>> = [3 << 20, 9 << 20, 100, 9 << 20].into_iter().map(|bytes| vec![3; bytes]).collect();
        Ok(pool_map!(in pool, echo, &blocks)? == blocks)
    }),
    ("shared", |pool| {
        let all = vec![1u8; 2 << 20];
        Ok(pool_map!(in pool, length_with, 0..10, shared(&all))? == (2 << 20..(2 << 20) + 10).collect::<Vec<usize>>())
    }),
    ("slice", |pool| {
        let numbers: SharedSlice<f64> = (0..1 << 20).map(f64::from).collect();
        Ok(pool_map!(in pool, sum, numbers.chunks(1 << 18))?.iter().sum::<f64>() == 524_288.0 * 1_048_575.0)
    }),
    ("slice-mut", |pool| {
        let mut numbers = SharedSliceMut::<u64>::zeroed(1 << 20)?;
        pool_map!(in pool, fill, numbers.chunks_mut(1 << 18))?;
        Ok(numbers.iter().all(|&number| number == 7))
    }),
    ("channel", |_| {
        let (to, from) = channel()?;
        for bytes in [10, 300_000, 3 << 20] {
            to.send(vec![5u8; bytes])?;
            if from.recv()? != vec![5u8; bytes] {
                return Ok(false);
            }
        }
        Ok(true)
    }),
    ("mutex", |pool| {
        let text = Mutex::new(String::new())?;
        pool_map!(in pool, push, std::iter::repeat_n(&text, 2))?;
        Ok(*text.lock()? == "xx")
    }),
    ("process", |_| {
        let bytes = vec![9; 3 << 20];
        Ok(Process::new(echo { bytes: bytes.clone() }).start()?.join()? == bytes)
    }),
    ("captured", |_| {
        let pool = Pool::builder().workers(1).output(Output::Captured).build()?;
        // Each prints less than 100 KiB, and all of them more than some limits.
        Ok(pool_map!(in &pool, print, std::iter::repeat_n(100_000, 40))? == vec![100_000; 40])
    }),
];

/// The limit of a process's address space.
#[cfg(target_os = "freebsd")]
const ADDRESS_SPACE: Resource = Resource::RLIMIT_VMEM;
#[cfg(not(target_os = "freebsd"))]
const ADDRESS_SPACE: Resource = Resource::RLIMIT_AS;

fn tell(line: &str) {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).expect("the test reads it");
}

/// An error and all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source()).map(|cause| format!(": {cause}"));
    format!("{error}{}", causes.collect::<String>())
}

fn use_all(pool: &Pool) {
    for (name, using) in USES {
        match using(pool) {
            Ok(true) => tell(&format!("{name}: right")),
            Ok(false) => tell(&format!("{name}: WRONG")),
            Err(error) => tell(&format!("{name}: error: {}", chain(&*error))),
        }
    }
}

fn number<N: std::str::FromStr>(place: usize) -> N {
    std::env::args().nth(place).and_then(|argument| argument.parse().ok()).expect("a number")
}

/// A line of this process's status, in KiB.
#[cfg(target_os = "linux")]
fn status_kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the system has /proc");
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).expect("the line is there")
}

fn pool(workers: usize) -> Option<Pool> {
    let built = Pool::builder().workers(workers).build();
    built.inspect_err(|error| tell(&format!("build: error: {}", chain(error)))).ok()
}

/// All memory is locked, with a limit or without one.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "there is no safe way to lock all memory")]
fn locked() {
    let kib: libc::rlim_t = number(2);
    if kib > 0 {
        setrlimit(Resource::RLIMIT_MEMLOCK, kib << 10, kib << 10).expect("a limit may be lowered");
        // Root may lock all.
        // SAFETY: the call takes nothing.
        if unsafe { libc::geteuid() } != 0 {
            return tell("skipped: only root can become another user");
        }
        // SAFETY: the call takes numbers, and touches no memory.
        assert_eq!(unsafe { libc::setresuid(65534, 65534, 65534) }, 0, "root may be anyone");
    }
    // SAFETY: the call takes a number, and changes nothing but where pages are.
    if unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) } != 0 {
        return tell(&format!("skipped: {}", std::io::Error::last_os_error()));
    }
    let resident = status_kib("VmRSS");
    let Some(pool) = pool(2) else { return };
    match USES[0].1(&pool) {
        Ok(is_right) => tell(&format!("map: {}", if is_right { "right" } else { "WRONG" })),
        Err(error) => tell(&format!("map: error: {}", chain(&*error))),
    }
    tell(&format!("grew {}", status_kib("VmRSS").saturating_sub(resident)));
    if kib == 0 {
        use_all(&pool);
    }
}

#[cfg(not(target_os = "linux"))]
fn locked() {
    tell("skipped: the limit and its measure are Linux's");
}

#[poolmap::main]
fn main() {
    match &*std::env::args().nth(1).unwrap_or_default() {
        // A limit for files, before the pool is made.
        "files" => {
            setrlimit(Resource::RLIMIT_FSIZE, number(2), libc::RLIM_INFINITY).expect("a limit may be lowered");
            pool(2).iter().for_each(use_all);
        }
        // The same, after that.
        "files-later" => {
            let Some(pool) = pool(2) else { return };
            pool.ready().expect("nothing is limited");
            setrlimit(Resource::RLIMIT_FSIZE, number(2), libc::RLIM_INFINITY).expect("a limit may be lowered");
            use_all(&pool);
            // A worker that dies is replaced by one that has the limit.
            let folder = std::env::args().nth(3).expect("a folder");
            match pool_map!(in &pool, die_first, 0..20, std::iter::repeat(folder); attempts = 2) {
                Ok(numbers) => tell(&format!("replaced: {}", if numbers.len() == 20 { "right" } else { "WRONG" })),
                Err(error) => tell(&format!("replaced: error: {}", chain(&error))),
            }
        }
        "address-space" => {
            let bytes = number::<libc::rlim_t>(2) << 20;
            setrlimit(ADDRESS_SPACE, bytes, bytes).expect("a limit may be lowered");
            let Some(pool) = pool(number(3)) else { return };
            match USES[0].1(&pool) {
                Ok(is_right) => tell(&format!("map: {}", if is_right { "right" } else { "WRONG" })),
                Err(error) => tell(&format!("map: error: {}", chain(&*error))),
            }
        }
        "locked" => locked(),
        other => panic!("`{other}` names no limit"),
    }
}
