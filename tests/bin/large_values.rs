//! What one large value takes in memory, at most: `large_values argument|result map|apply|process` prints the peak of this process
//! and that of its worker, in MiB, which the test holds against the value's size.

use poolmap::{Pool, Process, pool_map, worker};

const BYTES: usize = 128 << 20;

/// The most memory that this process has had, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the system tells of this process");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("it tells the peak");
    let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number");
    kib / 1024
}

#[worker]
fn take(bytes: Vec<u8>) -> u64 {
    assert!(bytes.len() == BYTES && bytes[BYTES - 1] == 7);
    peak_mib()
}

#[worker]
fn give(_x: u8) -> Vec<u8> {
    vec![7; BYTES]
}

#[worker]
fn tell() -> u64 {
    peak_mib()
}

#[poolmap::main]
fn main() -> poolmap::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let pool = Pool::builder().workers(1).build()?;
    pool.ready()?;
    let worker = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["argument", "map"] => pool_map!(in &pool, take, [vec![7; BYTES]])?[0],
        ["argument", "apply"] => pool.apply(take { bytes: vec![7; BYTES] })?,
        ["argument", "process"] => Process::new(take { bytes: vec![7; BYTES] }).start()?.join()?,
        ["result", "map"] => {
            let results = pool_map!(in &pool, give, [1])?;
            assert!(results[0].len() == BYTES && results[0][BYTES - 1] == 7);
            pool.apply(tell {})?
        }
        ["result", "apply"] => {
            assert_eq!(pool.apply(give { _x: 1 })?.len(), BYTES);
            pool.apply(tell {})?
        }
        // It has ended when its result is there.
        ["result", "process"] => {
            assert_eq!(Process::new(give { _x: 1 }).start()?.join()?.len(), BYTES);
            0
        }
        _ => panic!("argument|result map|apply|process"),
    };
    println!("{} {worker}", peak_mib());
    Ok(())
}
