//! The messages on their way to one rank.

use std::collections::VecDeque;
use std::rc::Rc;

use super::intake::segments;
use crate::sys::{MpiError, MpiSending, MpiSession};

/// The messages on their way to one rank, in order.
#[derive(Default)]
pub(super) struct OutgoingMessages {
    sendings: VecDeque<MpiSending>,
    bytes: usize,
}

impl OutgoingMessages {
    /// How many bytes are on their way.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sendings.is_empty()
    }

    /// Begins to send a body, in segments.
    pub(super) fn send_body(
        &mut self,
        session: &MpiSession,
        to: usize,
        body: Vec<u8>,
        segment_bytes: usize,
    ) -> Result<(), MpiError> {
        let body = Rc::new(body);
        for (tag, part) in segments(body.len(), segment_bytes) {
            self.push(session.send(to, tag, &body, part)?);
        }
        Ok(())
    }

    /// Begins to send an empty message.
    pub(super) fn send_empty(&mut self, session: &MpiSession, to: usize, tag: u16) -> Result<(), MpiError> {
        self.push(session.send(to, tag, &Rc::new(Vec::new()), 0..0)?);
        Ok(())
    }

    /// Forgets the messages that have been sent; returns how many. Messages to one rank are finished in about the order in which they
    /// were sent, so those behind one that is not are not looked at.
    pub(super) fn advance(&mut self, session: &MpiSession) -> Result<usize, MpiError> {
        let mut finished = 0;
        while let Some(first) = self.sendings.front_mut() {
            let sent = session.is_sent(first);
            if sent == Ok(false) {
                break;
            }
            self.bytes -= first.bytes();
            self.sendings.pop_front();
            finished += 1;
            sent?;
        }
        Ok(finished)
    }

    fn push(&mut self, sending: MpiSending) {
        self.bytes += sending.bytes();
        self.sendings.push_back(sending);
    }
}
