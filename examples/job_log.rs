//! Where did the time go? A log with a line for each task, and what it says: `cargo run --release --example job_log [-- LOG]`

use std::path::PathBuf;
use std::time::{Duration, Instant};

use poolmap::{Collect, pool_map, worker};

/// Computes, waits or fails, as a job does.
#[worker]
fn job(number: u64) -> Result<u64, String> {
    let start = Instant::now();
    while number.is_multiple_of(3) && start.elapsed() < Duration::from_millis(8) {}
    std::thread::sleep(Duration::from_millis(number % 5));
    if number == 13 { Err("no luck, again".into()) } else { Ok(number) }
}

#[poolmap::main]
fn main() -> poolmap::Result<()> {
    let folder = std::env::temp_dir().join(format!("poolmap-job-log-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("there is room for a folder");
    // As JSON lines, `jobs.jsonl` would be the name. In Python, `pandas.read_csv(path)` reads this one.
    let path = std::env::args_os().nth(1).map_or_else(|| folder.join("jobs.csv"), PathBuf::from);
    pool_map!(job, 0..30; job_log = &path, on_error = Collect)?;

    let log = std::fs::read_to_string(&path).expect("the log is there");
    let (header, lines) = log.split_once('\n').expect("there is a header");
    let place = |column| header.split(',').position(|name| name == column).expect("the column is there");
    let number = |line: &str, column| line.split(',').nth(place(column)).and_then(|text| text.parse::<f64>().ok());
    // The comma in the error's text is in quotes, and behind these columns.
    let (took, computed): (f64, f64) = lines
        .lines()
        .map(|line| (number(line, "duration_s").unwrap_or(0.0), number(line, "cpu_s").unwrap_or(0.0)))
        .fold((0.0, 0.0), |sum, line| (sum.0 + line.0, sum.1 + line.1));
    println!("30 tasks took {took:.3} s, of which they computed {computed:.3} s and waited for the rest");
    for line in lines.lines().filter(|line| line.contains(",failed,")) {
        println!("failed: {line}");
    }
    assert_eq!(lines.lines().count(), 30);
    assert_eq!(lines.matches(",failed,\"failed: no luck, again\",").count(), 1);
    assert!(computed <= took);
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
    Ok(())
}
