//! The first message of a worker: it shows that the worker is this program and speaks the same protocol.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::wire::{Greeting, ToParent, Violation};

/// Whether some worker of this process has said hello.
static ANY_DONE: AtomicBool = AtomicBool::new(false);

/// Returns whether some worker of this process has said hello, so that this program's `main` gets to `init()`.
pub(crate) fn any_said_hello() -> bool {
    ANY_DONE.load(Ordering::Relaxed)
}

/// Checks that a worker says hello first, once, and with the greeting that it was sent.
pub(super) struct Handshake {
    expected: Greeting,
    is_done: bool,
}

impl Handshake {
    pub(super) fn new(expected: Greeting) -> Self {
        Self { expected, is_done: false }
    }

    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    /// Checks the next message of the worker.
    pub(super) fn check(&mut self, message: &ToParent<'_>) -> Result<(), Violation> {
        match (message, self.is_done) {
            (ToParent::Hello(theirs), _) if *theirs != self.expected => Err(Violation::new("it is another program")),
            (ToParent::Hello(_), true) => Err(Violation::new("it said hello twice")),
            (ToParent::Hello(_), false) => {
                self.is_done = true;
                ANY_DONE.store(true, Ordering::Relaxed);
                Ok(())
            }
            (_, false) => Err(Violation::new("it did not say hello first")),
            (_, true) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_comes_first_and_once_and_is_that_of_this_program() {
        let ours = Greeting::new(7);
        let said = |messages: &[ToParent<'_>]| {
            let mut handshake = Handshake::new(ours);
            let checked = messages.iter().try_for_each(|message| handshake.check(message));
            (checked.map_err(|violation| violation.0.to_string()).err(), handshake.is_done())
        };
        let hello = || ToParent::Hello(ours);
        assert_eq!(said(&[]), (None, false));
        assert_eq!(said(&[hello(), ToParent::Returned]), (None, true));
        assert_eq!(said(&[ToParent::Returned]), (Some("it did not say hello first".to_owned()), false));
        assert_eq!(said(&[hello(), hello()]), (Some("it said hello twice".to_owned()), true));
        let theirs = ToParent::Hello(Greeting::new(8));
        assert_eq!(said(&[theirs]), (Some("it is another program".to_owned()), false));
    }
}
