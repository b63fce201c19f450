//! Waiting for descriptors, with a time limit.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};

/// A descriptor to wait for. Its hang-up is always waited for too.
pub(crate) struct Watch<'a> {
    pub(crate) descriptor: BorrowedFd<'a>,
    /// Wait until there is something to read.
    pub(crate) read: bool,
    /// Wait until there is room to write.
    pub(crate) write: bool,
    /// Set by [`poll`]: something that was waited for has happened.
    pub(crate) ready: bool,
}

impl<'a> Watch<'a> {
    pub(crate) fn read(descriptor: BorrowedFd<'a>) -> Self {
        Self { read: true, ..Self::hang_up(descriptor) }
    }

    pub(crate) fn hang_up(descriptor: BorrowedFd<'a>) -> Self {
        Self { descriptor, read: false, write: false, ready: false }
    }
}

/// Waits until one of the descriptors is ready, or until `timeout` is over (no limit without one).
pub(crate) fn poll(watches: &mut [Watch<'_>], timeout: Option<Duration>) -> io::Result<()> {
    let mut descriptors: Vec<PollFd<'_>> = watches
        .iter()
        .map(|watch| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::POLLIN, watch.read);
            flags.set(PollFlags::POLLOUT, watch.write);
            PollFd::new(watch.descriptor, flags)
        })
        .collect();
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    loop {
        match nix::poll::poll(&mut descriptors, remaining(deadline)) {
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    for (watch, descriptor) in watches.iter_mut().zip(&descriptors) {
        watch.ready = descriptor.revents().is_none_or(|revents| !revents.is_empty());
    }
    Ok(())
}

/// Waits until the other end of a descriptor is closed, or until `timeout` is over; returns whether it is. It allocates nothing.
pub(crate) fn wait_for_hang_up(descriptor: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    loop {
        let mut descriptors = [PollFd::new(descriptor, PollFlags::empty())];
        match nix::poll::poll(&mut descriptors, remaining(deadline)) {
            Ok(_) => return Ok(descriptors[0].revents().is_none_or(|revents| !revents.is_empty())),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Returns the time left until the deadline, in whole milliseconds rounded up, so that no thread wakes just before it.
fn remaining(deadline: Option<Instant>) -> PollTimeout {
    let Some(deadline) = deadline else {
        return PollTimeout::NONE;
    };
    let left = deadline.saturating_duration_since(Instant::now());
    let millis = left.as_micros().div_ceil(1000);
    i32::try_from(millis).ok().and_then(|millis| PollTimeout::try_from(millis).ok()).unwrap_or(PollTimeout::MAX)
}
