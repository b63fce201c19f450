//! What bounds a look-up of names: the files are those that a worker has named, and may be anything.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// A look-up takes milliseconds, and seconds in the first of a program of a gigabyte.
const TIME_MAX: Duration = Duration::from_secs(20);

/// A look-up did not come back.
static HAS_HUNG: AtomicBool = AtomicBool::new(false);

/// Runs a look-up on a thread of its own, for twenty seconds at most. None if it panics or takes longer; then none is made any more,
/// as its thread stays.
pub(super) fn within_time<T: Send + 'static>(look_up: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    if HAS_HUNG.load(Ordering::Relaxed) {
        return None;
    }
    let (sender, receiver) = channel();
    // A panic drops the sender.
    let run = move || drop(sender.send(look_up()));
    let thread = std::thread::Builder::new().name("poolmap-names".to_owned()).spawn(run).ok()?;
    match receiver.recv_timeout(TIME_MAX) {
        Err(RecvTimeoutError::Timeout) => {
            HAS_HUNG.store(true, Ordering::Relaxed);
            None
        }
        found => {
            let _ = thread.join();
            found.ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_no_name() {
        assert_eq!(within_time(|| 5), Some(5));
        assert_eq!(within_time(|| -> u32 { panic!("a file that is not as it should be") }), None);
        assert_eq!(within_time(|| 6), Some(6));
    }
}
