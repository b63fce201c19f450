//! The process that makes the namespaces of a pool's workers, as its parent sees it: it is started as a worker is, answers, and is reaped.
//! Its parent waits for it, and enters nothing itself.

use std::time::Duration;

use super::program::EntryPoint;
use super::spawn::{Start, StartError};
use crate::sys::{Namespaces, Surroundings};

/// Makes namespaces for workers that are started so; with the reason why some are missing, if some are. The process has so long for it.
pub(crate) fn make_namespaces(
    entry: &EntryPoint,
    start: &Start,
    surroundings: &Surroundings,
    time_max: Duration,
) -> (Namespaces, Option<String>) {
    ask(entry, start, surroundings, time_max)
        .unwrap_or_else(|error| (Namespaces::default(), Some(format!("no process could make them: {error}"))))
}

#[cfg(poolmap_sandbox)]
fn ask(
    entry: &EntryPoint,
    start: &Start,
    surroundings: &Surroundings,
    time_max: Duration,
) -> Result<(Namespaces, Option<String>), StartError> {
    use std::time::Instant;

    use super::kill::await_killed;
    use super::spawn::{Particulars, spawn};
    use crate::sys::{self, Watch};
    use crate::task::Role;

    /// It is killed once it has answered; the kernel may be busy with what it has made.
    const END_TIME_MAX: Duration = Duration::from_secs(5);

    let until = Instant::now() + time_max;
    let (channel, its_end) = sys::pair()?;
    let start = Start { role: Role::Namespaces, ..*start };
    let mut process = spawn(entry, &start, surroundings, &Particulars::default(), its_end.into())?;
    let answer = sys::receive_namespaces(&channel, until);
    // It has nothing left to do. Where that is refused, it ends by itself, as its channel does.
    let _ = process.kill();
    drop(channel);
    if let Some(end) = process.borrowed_descriptor() {
        let _ = sys::poll(&mut [Watch::read(end)], Some(END_TIME_MAX));
    }
    await_killed(|| process.try_reap().is_some());
    Ok(answer?)
}

#[cfg(not(poolmap_sandbox))]
fn ask(
    _entry: &EntryPoint,
    _start: &Start,
    _surroundings: &Surroundings,
    _time_max: Duration,
) -> Result<(Namespaces, Option<String>), StartError> {
    Err(StartError::NoProgram("this platform has none"))
}
