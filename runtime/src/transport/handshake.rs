//! The first message of a worker: it shows that the worker has the functions of this program and speaks the same protocol.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::wire::{Greeting, ToParent, Violation};

/// Whether some worker of this process has said hello.
static ANY_DONE: AtomicBool = AtomicBool::new(false);

/// Returns whether some worker of this process has said hello, so that this program's `main` gets to `init()`.
pub(crate) fn any_said_hello() -> bool {
    ANY_DONE.load(Ordering::Relaxed)
}

/// The text of a table is kept up to here: of some ten thousand functions.
const TABLE_BYTES_MAX: usize = 4 << 20;

/// Checks that a worker says hello first, once, and with the greeting that it was sent.
pub(super) struct Handshake {
    expected: Greeting,
    is_done: bool,
    /// The table of a worker with other functions than this program's.
    table: Vec<u8>,
}

impl Handshake {
    pub(super) fn new(expected: Greeting) -> Self {
        Self { expected, is_done: false, table: Vec::new() }
    }

    /// The text of the worker's table of functions, if it has sent one before its hello: then it has others than this program.
    pub(super) fn stranger_table(&self) -> Option<&[u8]> {
        (!self.table.is_empty()).then_some(&self.table)
    }

    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    /// Checks the next message of the worker.
    pub(super) fn check(&mut self, message: &ToParent<'_>) -> Result<(), Violation> {
        match (message, self.is_done) {
            (ToParent::Hello(theirs), _) if theirs.version != self.expected.version => Err(Violation::new(format!(
                "it has another version of poolmap, whose protocol is {}, and this program's is {}",
                theirs.version, self.expected.version
            ))),
            (ToParent::Hello(theirs), _) if *theirs != self.expected => Err(Violation::new("it is another program")),
            (ToParent::Hello(_), true) => Err(Violation::new("it said hello twice")),
            (ToParent::Hello(_), false) => {
                self.is_done = true;
                ANY_DONE.store(true, Ordering::Relaxed);
                Ok(())
            }
            (ToParent::Table(part), false) if self.table.len() + part.len() <= TABLE_BYTES_MAX => {
                self.table.extend_from_slice(part);
                Ok(())
            }
            (ToParent::Table(_), _) => Err(Violation::new("it sent a table of functions unasked, or too large a one")),
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
        let version = ours.version + 1;
        let theirs = ToParent::Hello(Greeting { version, ..ours });
        assert!(said(&[theirs]).0.is_some_and(|said| said.contains(&format!("whose protocol is {version}"))));
    }

    #[test]
    fn a_table_comes_before_the_hello_and_has_a_limit() {
        let mut handshake = Handshake::new(Greeting::new(7));
        assert_eq!(handshake.stranger_table(), None);
        handshake.check(&ToParent::Table(b"one,")).unwrap();
        handshake.check(&ToParent::Table(b"two")).unwrap();
        assert!(handshake.check(&ToParent::Hello(Greeting::new(8))).is_err());
        assert_eq!(handshake.stranger_table(), Some(&b"one,two"[..]));
        assert!(handshake.check(&ToParent::Table(&vec![b'x'; TABLE_BYTES_MAX])).is_err());
        assert!(handshake.stranger_table().is_some_and(|table| table.len() < TABLE_BYTES_MAX));
        let mut handshake = Handshake::new(Greeting::new(7));
        handshake.check(&ToParent::Hello(Greeting::new(7))).unwrap();
        assert!(handshake.check(&ToParent::Table(b"late")).is_err());
    }
}
