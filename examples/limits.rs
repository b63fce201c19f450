//! What a task may take: time, memory, and the deaths of its workers.
//!
//! `cargo run --release --example limits`

use std::time::Duration;

use poolmap::{Pool, TaskErrorKind, current_worker, pool_try_map, worker};

#[worker]
fn work(what: &str) -> String {
    let attempt = current_worker().map_or(0, |worker| worker.attempt());
    match what {
        "for ever" => loop {
            std::hint::spin_loop();
        },
        "with a gigabyte" => format!("{} bytes", vec![1u8; 1 << 30].len()),
        "at the third attempt" if attempt < 3 => std::process::abort(),
        "never" => std::process::abort(),
        _ => format!("done at attempt {attempt}"),
    }
}

#[poolmap::main]
fn main() -> poolmap::Result<()> {
    let mut builder = Pool::builder().workers(2);
    if cfg!(target_os = "linux") {
        builder = builder.memory_limit(128 << 20);
    }
    let pool = builder.build()?;
    let tasks = ["quickly", "for ever", "with a gigabyte", "at the third attempt", "never"];
    let limit = Duration::from_millis(300);
    let outcomes = pool_try_map!(in &pool, work, tasks; timeout = limit, attempts = 3)?;
    for (task, outcome) in tasks.iter().zip(&outcomes) {
        match outcome {
            Ok(output) => println!("{task}: {output}"),
            Err(error) => println!("{task}: {error:#}"),
        }
    }
    let error = outcomes[1].as_ref().unwrap_err();
    assert!(matches!(error.kind(), TaskErrorKind::TimedOut { .. }));
    assert_eq!(outcomes[3].as_ref().unwrap(), "done at attempt 3");
    assert_eq!(outcomes[4].as_ref().unwrap_err().causes().count(), 3);
    Ok(())
}
