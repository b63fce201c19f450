//! Large outputs whose encoding is their memory: each is copied out of the ring straight into it, once.

use super::ParentRing;
use crate::codec::{DirectOutput, LENGTH_BYTES};
use crate::transport::layout;
use crate::wire::{self, Finished, HEAD_BYTES, Records, Status};

/// Smaller outputs are copied into a buffer, which is used again, and decoded one at a time, into memory that the allocator has at hand.
/// Straight out of the ring, several are in memory at once, and the allocator gives pages back and takes them anew: tasks that echo
/// 1 MiB took 5.2 times as long. From 4 MiB on it does so anyway, and they take 0.3 times as long.
pub(super) const DIRECT_BYTES_MIN: usize = layout::RESULTS_BYTES;

/// The record that comes next.
struct Front {
    /// None if it is a part.
    status: Option<Status>,
    /// Where its payload begins, and how many bytes that has.
    start: u32,
    bytes: usize,
}

impl ParentRing {
    /// Takes what has come of the next result, if that goes into its own memory; returns how many results are finished by it, one or
    /// none, and that one. What a worker has not written as such a result is left to [`take_copied`](Self::take_copied).
    pub(super) fn take_direct(&mut self, finished: Finished) -> Option<(u32, Records)> {
        let may_be_direct = self.entries.front().is_some_and(|entry| entry.new_direct.is_some());
        if !may_be_direct || !self.parts.is_empty() {
            self.give_up_direct();
            return None;
        }
        let mut has_part = false;
        while let Some(mut front) = self.front(finished) {
            let begun = self.direct.take();
            let is_begun = begun.is_some();
            let Some(mut output) = begun.or_else(|| self.begin_direct(&mut front)) else {
                break;
            };
            let (is_last, is_expected) = match front.status {
                None => (false, (1..output.left()).contains(&front.bytes)),
                Some(Status::Output) => (true, front.bytes == output.left() && finished.tasks != self.taken.tasks),
                Some(_) => (true, false),
            };
            if !is_expected {
                self.direct = is_begun.then_some(output);
                break;
            }
            output.copy_from(&self.results, front.start, front.bytes);
            self.taken.position = front.start.wrapping_add(front.bytes as u32);
            if is_last {
                self.taken.tasks = self.taken.tasks.wrapping_add(1);
                return Some((1, Records::direct(output)));
            }
            (self.direct, has_part) = (Some(output), true);
        }
        if has_part {
            return Some((0, Records::default()));
        }
        self.give_up_direct();
        None
    }

    /// Takes what has come as the parts of a result like others: what the worker wrote behind it is not the rest of such an output.
    fn give_up_direct(&mut self) {
        if let Some(output) = self.direct.take() {
            let (length, elements) = output.encoding();
            wire::push_parts(&mut self.parts, &length);
            wire::push_parts(&mut self.parts, elements);
        }
    }

    /// The next record, if it is all there.
    fn front(&self, finished: Finished) -> Option<Front> {
        let position = self.taken.position;
        let bytes = (finished.position.wrapping_sub(position) as usize).checked_sub(HEAD_BYTES)?;
        let (status, payload) = wire::front(self.results.read(position))?;
        (payload <= bytes).then_some(Front { status, start: position.wrapping_add(HEAD_BYTES as u32), bytes: payload })
    }

    /// Makes room for an output that begins with this part, and takes the length before its elements.
    fn begin_direct(&self, front: &mut Front) -> Option<Box<dyn DirectOutput>> {
        let new = self.entries.front()?.new_direct.filter(|_| front.status.is_none())?;
        front.bytes = front.bytes.checked_sub(LENGTH_BYTES)?;
        let length = self.results.read(front.start);
        front.start = front.start.wrapping_add(LENGTH_BYTES as u32);
        new(length, self.parts_bytes_max).filter(|output| output.bytes() >= self.direct_bytes_min)
    }
}
