//! Programs that dump core into the current folder: the first argument names which process does. What no core may hold is told on the
//! standard output.

use std::io::Write;
use std::os::unix::fs::MetadataExt;

use nix::libc;
use nix::sys::resource::{Resource, setrlimit};
use poolmap::{Counter, Mutex, Pool, Process, SharedSlice, channel, pool_map, pool_try_map, worker};

/// A text that stands nowhere in the program's file.
fn marker(number: u64) -> String {
    let letters = (0..24).map(|place| char::from(b'a' + ((number * 7 + place * place + 3 * place) % 26) as u8));
    letters.chain(number.to_string().chars()).collect()
}

/// Dumps core in the one task that is asked to. It has not seen the arguments of those behind it, and has mapped the mutex without a
/// look at its value, which would stand in its own heap then.
#[worker]
fn crash_at(x: u64, crashes_at: u64, text: String, part: &SharedSlice<u64>, locked: &Mutex<String>) -> usize {
    if x == crashes_at {
        std::process::abort();
    }
    text.len() + part.len() + size_of_val(locked)
}

#[worker]
fn length(text: &str) -> usize {
    text.len()
}

#[worker]
fn crash(_part: SharedSlice<u64>) {
    std::process::abort();
}

/// The memory of this process that has no name, as far as it takes some.
fn memory_bytes() -> u64 {
    let files = std::fs::read_dir("/proc/self/fd").expect("the system has /proc").flatten();
    let is_memory = |path: &std::path::Path| std::fs::read_link(path).is_ok_and(|to| to.starts_with("/memfd:poolmap"));
    files
        .filter(|file| is_memory(&file.path()))
        .filter_map(|file| std::fs::metadata(file.path()).ok())
        .map(|memory| memory.blocks() * 512)
        .sum()
}

fn tell(line: &str) {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).expect("the test reads it");
}

#[poolmap::main]
fn main() -> poolmap::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, libc::RLIM_INFINITY, libc::RLIM_INFINITY).expect("the limit may be raised");
    // Numbers whose bytes are a text.
    let numbers: SharedSlice<u64> = std::iter::repeat_n(u64::from_le_bytes(*b"qzqzqzqz"), 1 << 20).collect();
    let locked = Mutex::new(marker(1000))?;
    tell("qzqzqzqzqzqzqzqz");
    tell(&marker(1000));
    let pool = Pool::builder().workers(1).build()?;
    let texts: Vec<String> = (0..40).map(marker).collect();
    match &*std::env::args().nth(1).unwrap_or_default() {
        "worker" => {
            pool.ready()?;
            let before = memory_bytes();
            let (numbers, locked) = (std::iter::repeat(&numbers), std::iter::repeat(&locked));
            let outcomes = pool_try_map!(
                in &pool, crash_at, 0..40, std::iter::repeat(3), &texts, numbers, locked; chunk_size = 40
            )?;
            assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 1);
            texts[4..].iter().for_each(|text| tell(text));
            tell(&format!("grew {}", memory_bytes().saturating_sub(before)));
        }
        "process" => {
            let before = memory_bytes();
            Process::new(crash { _part: numbers }).start()?.join().expect_err("it aborts");
            tell(&format!("grew {}", memory_bytes().saturating_sub(before)));
        }
        "parent" => {
            // Results and arguments of several sizes, a channel with something in it, and a counter.
            let (to, _from) = channel()?;
            to.send(7).expect("there is room");
            Counter::new(5)?;
            pool_map!(in &pool, length, &texts)?;
            tell("grew 0");
            std::process::abort();
        }
        other => panic!("`{other}` names no process"),
    }
    Ok(())
}
