//! A program that starts a Process with handles, and ends without it: the first argument says how, the second names a folder.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use poolmap::{Error, Process, Receiver, Sender, SharedSlice, channel, worker};

/// What the Process has of its parent's.
#[derive(serde::Serialize, serde::Deserialize)]
struct Handles {
    to_parent: Sender<u64>,
    from_parent: Receiver<u64>,
    numbers: SharedSlice<u64>,
}

fn kind(error: &Error) -> &'static str {
    match error {
        error if error.is_owner_died() => "owner died",
        error if error.is_disconnected() => "disconnected",
        _ => "another error",
    }
}

/// Waits until its parent is gone, and leaves word in the folder of what it sees then.
#[worker]
fn outlive(handles: Handles, parent: u32, folder: PathBuf) {
    while std::os::unix::process::parent_id() == parent {
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut seen = format!("sum {}", handles.numbers.iter().sum::<u64>());
    loop {
        match handles.from_parent.recv() {
            Ok(value) => write!(seen, ", received {value}"),
            Err(error) => {
                write!(seen, ", then {}", kind(&error)).expect("a String takes it");
                break;
            }
        }
        .expect("a String takes it");
    }
    match handles.to_parent.send(7) {
        Ok(()) => write!(seen, ", sent to nobody"),
        Err(error) => write!(seen, ", not sent: {}", kind(error.error())),
    }
    .expect("a String takes it");
    std::fs::write(folder.join("new"), seen).expect("the folder is there");
    std::fs::rename(folder.join("new"), folder.join("seen")).expect("it was written");
}

fn main() -> poolmap::Result<()> {
    poolmap::init();
    let mut arguments = std::env::args().skip(1);
    let (how, folder) = (arguments.next().expect("how to end"), arguments.next().expect("a folder"));
    let (to_parent, _from_child) = channel()?;
    let (to_child, from_parent) = channel()?;
    let numbers = (0..1000).collect();
    let handles = Handles { to_parent, from_parent, numbers };
    Process::new(outlive { handles, parent: std::process::id(), folder: folder.into() }).start()?;
    for value in [1, 2] {
        to_child.send(value).map_err(|error| error.to_string()).expect("the Process has the other end");
    }
    match how.as_str() {
        "exits" => std::process::exit(0),
        "aborts" => std::process::abort(),
        _ => Ok(()),
    }
}
