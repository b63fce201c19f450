//! How a worker sends memory that it has made, as a part of an output: the descriptor over the socket, with a byte that rings the
//! parent's bell and means nothing else. The rules are in `shared::output_memory`.

use std::cell::Cell;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::layout;
use crate::failpoints::{self, Point};
use crate::shared;
use crate::sys::{self, SocketToParent, Words};

/// Sends descriptors of outputs.
pub(crate) struct OutputSender {
    words: Arc<Words>,
    stream: Arc<SocketToParent>,
    /// How many were sent.
    sent: Cell<u32>,
}

impl OutputSender {
    pub(super) fn new(words: Arc<Words>, stream: Arc<SocketToParent>) -> Self {
        Self { words, stream, sent: Cell::new(0) }
    }

    /// Sends memory. It does not wait: false if it was not sent, as too many are under way or the socket has no room.
    pub(crate) fn send(&self, memory: BorrowedFd<'_>) -> bool {
        let sent = self.sent.get();
        // A fork of a task comes this far, and has not got the memory of the words.
        if sys::is_fork() || self.in_flight(sent) >= shared::IN_FLIGHT_MAX {
            return false;
        }
        if !matches!(sys::send_with_descriptors(&self.stream, &[0], &[memory]), Ok(1)) {
            return false;
        }
        failpoints::reached(Point::OutputSent);
        self.sent.set(sent.wrapping_add(1));
        // It is published before the result is, so whoever takes the result sees it.
        self.words.word(layout::OUTPUTS_SENT).store(u64::from(self.sent.get()), Ordering::Release);
        true
    }

    fn in_flight(&self, sent: u32) -> u32 {
        shared::in_flight(sent, self.words.word(layout::OUTPUTS_HELD).load(Ordering::Acquire))
    }
}
