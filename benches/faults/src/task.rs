//! The task that both Rust libraries run, its argument and its result. faults.py does the same.

use std::thread::sleep;
use std::time::Duration;

use nix::libc;
use nix::sys::signal::{Signal, kill, raise};
use nix::unistd::Pid;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::faults::Fault;

pub const WORKERS: usize = 2;
pub const TASKS: usize = 20;
/// The index of the bad task.
pub const BAD: usize = 7;
/// The time limit of a task, where a library has one.
pub const LIMIT: Duration = Duration::from_secs(1);
const TIME: Duration = Duration::from_millis(20);
/// How long the tasks of a parent that is killed would go on.
const LONG: Duration = Duration::from_secs(60);

/// The argument: that of the bad task cannot be decoded, if this is the fault.
#[derive(Serialize)]
pub struct Item {
    index: usize,
    fault: Fault,
    parent: u32,
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (index, fault, parent) = Deserialize::deserialize(deserializer)?;
        if index == BAD && fault == Fault::ArgumentNotRead {
            return Err(D::Error::custom("it cannot be read in the worker"));
        }
        Ok(Self { index, fault, parent })
    }
}

/// The result: that of the bad task cannot be encoded or decoded, if this is the fault.
pub struct Answer {
    pub value: usize,
    fault: Fault,
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.fault == Fault::ResultNotWritten {
            return Err(S::Error::custom("it cannot be written"));
        }
        (self.value, self.fault).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Answer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (value, fault) = Deserialize::deserialize(deserializer)?;
        if fault == Fault::ResultNotRead {
            return Err(D::Error::custom("it cannot be read in the parent"));
        }
        Ok(Self { value, fault })
    }
}

/// The arguments of all tasks of a case.
pub fn items(fault: Fault) -> impl ExactSizeIterator<Item = Item> {
    (0..TASKS).map(move |index| Item { index, fault, parent: std::process::id() })
}

/// The value that a task should give.
pub fn expected(index: usize) -> usize {
    2 * index
}

pub fn run(item: &Item) -> Answer {
    let fault = if item.index == BAD { item.fault } else { Fault::None };
    match fault {
        Fault::Killed => kill_itself(Signal::SIGKILL),
        Fault::Exit => std::process::exit(0),
        Fault::ExitAtOnce => exit_at_once(),
        Fault::Abort => std::process::abort(),
        Fault::Segfault => segfault(),
        Fault::Panic => panic!("the task fails"),
        Fault::Endless => endless(),
        Fault::Stopped => kill_itself(Signal::SIGSTOP),
        Fault::ParentKilled => kill_parent(item.parent),
        Fault::None | Fault::IdleKilled => {}
        Fault::ResultNotWritten | Fault::ResultNotRead | Fault::ArgumentNotRead => {}
    }
    sleep(if item.index > BAD && item.fault == Fault::ParentKilled { LONG } else { TIME });
    Answer { value: expected(item.index), fault }
}

/// Long enough for every worker to get one.
pub fn warm_up() -> u32 {
    sleep(5 * TIME);
    std::process::id()
}

fn kill_itself(signal: Signal) {
    raise(signal).expect("a process may signal itself");
}

fn kill_parent(parent: u32) {
    // The other worker has taken a long task by then.
    sleep(10 * TIME);
    kill(Pid::from_raw(parent.cast_signed()), Signal::SIGKILL).expect("it runs");
    sleep(LONG);
}

fn endless() {
    loop {
        std::hint::spin_loop();
    }
}

/// Ends without what is to be done at an exit.
fn exit_at_once() {
    // SAFETY: it does nothing but end the process.
    unsafe { libc::_exit(0) }
}

/// Reads at an address that is not mapped, in a C library.
fn segfault() {
    let address = std::hint::black_box(std::ptr::without_provenance(8));
    // SAFETY: there is none: the read is the fault, and it is the worker that it ends.
    std::hint::black_box(unsafe { libc::strlen(address) });
}
