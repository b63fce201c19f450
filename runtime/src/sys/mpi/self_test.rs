//! A message of a session to itself, before anything else relies on the constants of its ABI.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::session::{MpiArrival, MpiSending, MpiSession};

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
            let mut received = Vec::new();
            self.receive(arrival, &mut received).map_err(|error| error.to_string())?;
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
        let start = Instant::now();
        loop {
            if let Some(arrival) = self.probe(from, tag).map_err(|error| error.to_string())? {
                return Ok(arrival);
            }
            self.is_sent(sending).map_err(|error| error.to_string())?;
            if start.elapsed() > TIME_MAX {
                return Err("a message to itself did not come".to_owned());
            }
            std::thread::yield_now();
        }
    }

    fn await_sent(&self, sending: &mut MpiSending) -> Result<(), String> {
        let start = Instant::now();
        while !self.is_sent(sending).map_err(|error| error.to_string())? {
            if start.elapsed() > TIME_MAX {
                return Err("a message to itself was received, and not reported as sent".to_owned());
            }
            std::thread::yield_now();
        }
        Ok(())
    }
}
