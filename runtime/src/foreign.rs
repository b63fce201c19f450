//! The program's code where a panic of it must end nothing of ours: on threads of this crate, in destructors, and between two
//! steps that belong together. It knows nothing of what is run.
//!
//! 1. A panic is caught, reported by the panic hook as every panic is, and returned as its message.
//! 2. Its payload is dropped here, because that is the program's code too: its Drop may panic, and so may the Drop of that
//!    panic's payload.
//! 3. None of this runs while this thread holds a lock of this crate's: the program's code may use this crate, and would wait
//!    for itself, or for a thread that waits for this one. Debug builds check it, for those of `locks`.
//!
//! Under `panic = "abort"` nothing can be caught.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::mem::needs_drop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// A payload whose Drop panics gives another payload. After this many the last is leaked.
const PAYLOADS_MAX: u32 = 8;

/// A panic of the program's code that was caught.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Panic {
    message: String,
}

impl Panic {
    /// Takes the message out of a payload, and drops the payload.
    pub(crate) fn from_payload(payload: Box<dyn Any + Send>) -> Self {
        let message = message(&*payload);
        dispose_payload(payload);
        Self { message }
    }
}

impl fmt::Display for Panic {
    /// The message of the panic.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Runs code of the program's. Its panic is an `Err`.
pub(crate) fn run<T>(code: impl FnOnce() -> T) -> Result<T, Panic> {
    NoForeignCode::check();
    catch_unwind(AssertUnwindSafe(code)).map_err(Panic::from_payload)
}

/// Runs code of the program's that returns nothing. Its panic was reported by the hook, and is ignored.
pub(crate) fn run_quietly(code: impl FnOnce()) {
    drop(run(code));
}

/// Drops a value of the program's. A panic of its Drop was reported by the hook, and is ignored.
pub(crate) fn dispose<T>(value: T) {
    if needs_drop::<T>() {
        run_quietly(|| drop(value));
    }
}

/// Drops the payload of a panic.
pub(crate) fn dispose_payload(mut payload: Box<dyn Any + Send>) {
    for _ in 0..PAYLOADS_MAX {
        match catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            Ok(()) => return,
            Err(next) => payload = next,
        }
    }
    std::mem::forget(payload);
}

/// Wakes a waker of the program's.
pub(crate) fn wake(waker: Waker) {
    run_quietly(|| waker.wake());
}

/// Returns the text of a payload, where it is text.
pub(crate) fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(message) = payload.downcast_ref::<&str>() {
        (*message).to_owned()
    } else if let Some(message) = payload.downcast_ref::<String>() {
        message.clone()
    } else {
        "a panic whose payload is no text".to_owned()
    }
}

thread_local! {
    /// How many locks of this crate's this thread holds, in debug builds. It has no destructor, so it is there to the thread's end.
    static LOCKS_HELD: Cell<u32> = const { Cell::new(0) };
}

/// Says that this thread holds a lock of this crate's: no code of the program's runs meanwhile.
#[derive(Debug)]
#[must_use = "it is held as long as the lock"]
pub(crate) struct NoForeignCode(());

impl NoForeignCode {
    /// Begins with a lock, on the thread that has taken it.
    pub(crate) fn begin() -> Self {
        if cfg!(debug_assertions) {
            LOCKS_HELD.set(LOCKS_HELD.get() + 1);
        }
        Self(())
    }

    /// Asserts, in debug builds, that this thread may run code of the program's.
    fn check() {
        debug_assert!(
            LOCKS_HELD.get() == 0 || std::thread::panicking(),
            "code of the program's would run under a lock of this crate's"
        );
    }
}

impl Drop for NoForeignCode {
    fn drop(&mut self) {
        if cfg!(debug_assertions) {
            LOCKS_HELD.set(LOCKS_HELD.get() - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    use super::*;

    static DROPS: AtomicU32 = AtomicU32::new(0);

    /// A payload whose Drop panics with another, so many times.
    struct PanicsAgain(u32);

    impl Drop for PanicsAgain {
        fn drop(&mut self) {
            DROPS.fetch_add(1, Ordering::Relaxed);
            if self.0 > 0 {
                panic_any(PanicsAgain(self.0 - 1));
            }
        }
    }

    struct PanicsWoken;

    impl Wake for PanicsWoken {
        fn wake(self: Arc<Self>) {
            panic!("no wake");
        }
    }

    struct PanicsDropped;

    impl Wake for PanicsDropped {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for PanicsDropped {
        fn drop(&mut self) {
            panic!("no drop");
        }
    }

    #[test]
    fn a_panic_is_an_error_with_its_message() {
        assert_eq!(run(|| 7), Ok(7));
        assert_eq!(run(|| panic!("text")).map(|()| 0).map_err(|panic| panic.to_string()), Err("text".to_owned()));
        assert_eq!(run(|| panic!("{}", 1 + 1)).map(|()| 0).map_err(|panic| panic.to_string()), Err("2".to_owned()));
        let unnamed = run(|| panic_any(7)).map(|()| 0).map_err(|panic| panic.to_string());
        assert_eq!(unnamed, Err("a panic whose payload is no text".to_owned()));
    }

    #[test]
    fn payloads_that_panic_without_end_are_dropped_so_often() {
        for again in [0, 1, 3, u32::MAX] {
            DROPS.store(0, Ordering::Relaxed);
            assert!(run(|| panic_any(PanicsAgain(again))).is_err());
            assert_eq!(DROPS.load(Ordering::Relaxed), again.saturating_add(1).min(PAYLOADS_MAX));
        }
    }

    #[test]
    fn values_and_wakers_that_panic_end_nothing() {
        dispose(PanicsDropped);
        wake(Waker::from(Arc::new(PanicsWoken)));
        wake(Waker::from(Arc::new(PanicsDropped)));
        dispose(Waker::from(Arc::new(PanicsDropped)));
    }

    #[test]
    #[cfg(debug_assertions)]
    fn no_code_of_the_programs_runs_under_a_lock() {
        let held = NoForeignCode::begin();
        let ran = catch_unwind(|| run(|| ()).is_ok());
        drop(held);
        assert!(ran.is_err());
        assert!(run(|| ()).is_ok());
    }
}
