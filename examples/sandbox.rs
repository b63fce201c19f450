//! A parser that its input has taken over: the sandbox ends that task, and names the system call and the file.

use poolmap::{Pool, Sandbox, TaskErrorKind, pool_try_map, worker};

/// Counts the words of a text. Some of its bytes are a command for whoever has found the fault.
#[worker]
fn parse(text: &str) -> usize {
    if let Some(path) = text.strip_prefix("!read ") {
        return std::fs::read(path).map_or(0, |bytes| bytes.len());
    }
    if text == "!connect" {
        return usize::from(std::net::TcpStream::connect("127.0.0.1:80").is_ok());
    }
    if text == "!run" {
        return usize::from(std::process::Command::new("/bin/sh").status().is_ok());
    }
    text.split_whitespace().count()
}

#[poolmap::main]
fn main() -> poolmap::Result<()> {
    let sandbox = Sandbox::strict().best_effort();
    let pool = Pool::builder().workers(2).memory_limit(1 << 30).sandbox(sandbox).build()?;
    println!("{}", pool.sandbox_status());
    if !pool.sandbox_status().is_complete() {
        return Ok(());
    }
    let texts = ["one two three", "!read /etc/passwd", "!connect", "!run", "four"];
    let outcomes = pool_try_map!(in &pool, parse, texts)?;
    for outcome in &outcomes {
        match outcome {
            Ok(words) => println!("{words} words"),
            Err(error) => println!("{error}"),
        }
    }
    let denied = |error: &poolmap::TaskError| matches!(error.kind(), TaskErrorKind::Denied { .. });
    assert_eq!(outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).filter(|error| denied(error)).count(), 3);
    assert_eq!((outcomes[0].as_ref().ok(), outcomes[4].as_ref().ok()), (Some(&3), Some(&1)));
    Ok(())
}
