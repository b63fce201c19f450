//! A message of a session to itself, before anything else relies on the constants of its ABI.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::session::{MpiArrival, MpiError, MpiSending, MpiSession};

/// The tag of the messages, which nothing else has.
const TAG: u16 = 0x7e57;
const BODY: [u8; 8] = *b"\0poolma\xff";
/// A message within a process takes microseconds.
const TIME_MAX: Duration = Duration::from_secs(20);

impl MpiSession {
    /// Sends two messages to itself: one is probed by its tag alone, and one by its source alone. Messages of other ranks, which may
    /// have started earlier, are not touched by that.
    pub(super) fn test_self(&self) -> Result<(), String> {
        let rank = self.rank();
        for (from, tag) in [(None, Some(TAG)), (Some(rank), None)] {
            let body = Rc::new(BODY.to_vec());
            let mut sending = self.send(rank, TAG, &body, 0..BODY.len()).map_err(|error| error.to_string())?;
            let arrival = self.await_arrival(&mut sending, from, tag)?;
            let expected = MpiArrival { from: rank, tag: TAG, bytes: BODY.len() };
            if arrival != expected {
                return Err(format!("a message to itself came as {arrival:?} in the place of {expected:?}"));
            }
            let received = self.await_body(arrival)?;
            if received != BODY {
                return Err(format!("a message to itself came with the bytes {received:?}"));
            }
            self.await_sent(&mut sending)?;
        }
        Ok(())
    }

    fn await_arrival(
        &self,
        sending: &mut MpiSending,
        from: Option<usize>,
        tag: Option<u16>,
    ) -> Result<MpiArrival, String> {
        until("a message to itself did not come", || {
            self.is_sent(sending)?;
            self.probe(from, tag)
        })
    }

    fn await_body(&self, arrival: MpiArrival) -> Result<Vec<u8>, String> {
        let mut receiving = self.receive(arrival, Vec::new()).map_err(|error| error.to_string())?;
        until("a message to itself was not received", || self.received(&mut receiving))
    }

    fn await_sent(&self, sending: &mut MpiSending) -> Result<(), String> {
        until("a message to itself was received, and not reported as sent", || Ok(self.is_sent(sending)?.then_some(())))
    }
}

/// Polls until there is something; `late` is the error if that takes too long.
fn until<T>(late: &str, mut poll: impl FnMut() -> Result<Option<T>, MpiError>) -> Result<T, String> {
    let start = Instant::now();
    loop {
        if let Some(found) = poll().map_err(|error| error.to_string())? {
            return Ok(found);
        }
        if start.elapsed() > TIME_MAX {
            return Err(late.to_owned());
        }
        std::thread::yield_now();
    }
}
