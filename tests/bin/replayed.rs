//! Saves the tasks that fail in a folder, and replays one where the environment asks for it. It prints where each is saved.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use poolmap::{Pool, current_worker, pool_try_map, task_seed, worker};
use poolmap_suite_jobs::write_through_null;

#[worker]
fn end(how: &str, number: u64) -> Result<u64, String> {
    // In one piece: other workers print as well.
    let line = format!("runs {how} with {number}, {:x?}\n", task_seed());
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    match how {
        "segfault" => {
            write_through_null(8);
        }
        "abort" => std::process::abort(),
        "panic" => panic!("as asked"),
        "error" => return Err(format!("no {number}")),
        "sleep" if current_worker().is_some_and(|worker| worker.pid() != worker.parent_pid()) => {
            std::thread::sleep(Duration::from_secs(600));
        }
        "exit" => std::process::exit(7),
        _ => {}
    }
    Ok(number)
}

#[worker]
fn secret(#[redact] token: &str) {
    panic!("{} letters", token.len());
}

fn main() {
    poolmap::init();
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().expect("a folder"));
    let hows: Vec<String> = arguments.collect();
    let outcomes =
        pool_try_map!(end, &hows, 10..; shortest, seed = 5, timeout = Duration::from_secs(2), save_failed = &folder);
    for error in outcomes.unwrap().into_iter().filter_map(Result::err) {
        println!("{}\n{error}", error.saved_as().map_or_else(|| "none".into(), |path| path.display().to_string()));
    }
    let pool = Pool::builder().workers(1).build().unwrap();
    let error = pool.call(secret { token: "hunter2".into() }).save_failed(&folder).apply().unwrap_err();
    println!("{error}");
}
