//! One call in a process of its own, as Python's `Process`: started, looked at, ended, joined.

use std::time::Duration;

use poolmap::{Process, TaskErrorKind, active_children, worker};

#[worker]
fn eat(times: u32, name: &str) -> String {
    for time in 1..=times {
        println!("{name} eats, time {time}");
        std::thread::sleep(Duration::from_millis(20));
    }
    format!("{name} has eaten {times} times")
}

#[poolmap::main]
fn main() -> poolmap::Result<()> {
    // Process(target=eat, kwargs={"times": 3, "name": "giao"}, name="eater", daemon=True).start()
    let mut eater = Process::new(eat { times: 3, name: "giao".into() }).name("eater").daemon(true).start()?;
    println!("{} is process {}", eater.name(), eater.pid());

    // One that would go on for long: a time limit for the wait, and then an end.
    let mut glutton = Process::new(eat { times: 1_000_000, name: "pan".into() }).name("glutton").start()?;
    for child in active_children() {
        println!("running: {} ({})", child.name(), child.pid());
    }
    if glutton.join_timeout(Duration::from_millis(100))?.is_none() {
        glutton.terminate();
    }
    let error = glutton.join().expect_err("it was ended");
    println!("{error:#}; {}", glutton.exit_status().expect("it has ended"));
    let crashed = |kind: &TaskErrorKind| matches!(kind, TaskErrorKind::Crashed { signal: Some(15), .. });
    assert!(error.task().is_some_and(|task| crashed(task.kind())));

    // The output comes back, which Python has no way for.
    println!("{}", eater.join()?);

    // Nobody joins this one: `main` waits for it, as it is no daemon.
    Process::new(eat { times: 2, name: "late".into() }).start()?;
    println!("main is over");
    Ok(())
}
