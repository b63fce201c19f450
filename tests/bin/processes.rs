//! Programs that start Processes, and end in one way or another: the first argument names it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use poolmap::{Process, active_children, worker};

/// Goes on until the file `go` is in the folder, and leaves the file `done`.
#[worker]
fn wait_and_tell(folder: PathBuf) {
    while !folder.join("go").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::fs::write(folder.join("done"), "").expect("the folder is there");
}

#[worker]
fn sleep_long() {
    std::thread::sleep(Duration::from_secs(600));
}

/// Starts another one below it, and comes back at once.
#[worker]
fn start_below(folder: &Path) -> poolmap::Result<()> {
    Process::new(sleep_long {}).daemon(true).start()?;
    Process::new(wait_and_tell { folder: folder.into() }).start().map(drop)
}

#[worker]
fn fail() -> Result<(), String> {
    Err("it has to".to_owned())
}

#[worker]
fn panic_with(message: String) {
    panic!("{message}");
}

fn tell(line: &str) {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).expect("the test reads it");
}

/// Starts a Process that goes on without its parent, and one that does not, and tells their numbers.
fn start(folder: &str) -> poolmap::Result<()> {
    Process::new(wait_and_tell { folder: folder.into() }).name("plain").start()?;
    Process::new(sleep_long {}).name("daemon").daemon(true).start()?;
    let pids: Vec<String> = active_children().iter().map(|child| child.pid().to_string()).collect();
    tell(&pids.join(" "));
    Ok(())
}

/// How the program ends, after its Processes were started.
fn end(how: &str) -> poolmap::Result<()> {
    match how {
        "returns" => {}
        // What it returns does not matter: a Process that fails is as good as any error.
        "fails" => Process::new(fail {}).start()?.join()?,
        "panics" => panic!("main panics"),
        "exits" => std::process::exit(3),
        _ => std::thread::sleep(Duration::from_secs(600)),
    }
    Ok(())
}

fn run(arguments: &[String]) -> poolmap::Result<()> {
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["panicking process"] => {
            let error = Process::new(panic_with { message: "the message".into() }).start()?.join().unwrap_err();
            tell(&error.to_string());
        }
        ["below", folder] => {
            let mut process = Process::new(start_below { folder: folder.into() }).start()?;
            tell(&process.pid().to_string());
            process.join()?;
        }
        ["by hand" | "under main", how, folder] => {
            start(folder)?;
            end(how)?;
        }
        ref other => unreachable!("no such program: {other:?}"),
    }
    Ok(())
}

mod under {
    #[poolmap::main]
    pub(super) fn main() -> poolmap::Result<()> {
        super::run(&Vec::from_iter(std::env::args().skip(1)))
    }
}

fn main() -> poolmap::Result<()> {
    let arguments = Vec::from_iter(std::env::args().skip(1));
    if arguments.first().is_some_and(|first| first == "by hand") {
        poolmap::init();
        return run(&arguments);
    }
    under::main()
}
