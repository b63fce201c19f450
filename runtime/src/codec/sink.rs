//! Where encoded bytes go: into given room for as long as they fit, and into a buffer of their own once they do not. It knows
//! nothing of values.

/// Bytes that are written one behind the other.
///
/// No part of it is lent to a call that is not inlined, so that a loop that writes small values keeps it in registers.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    room: &'a mut [u8],
    /// How much the room takes: nothing more once it was too small.
    room_bytes: usize,
    bytes: usize,
    /// All that was written, once it has outgrown the room.
    spill: &'a mut Vec<u8>,
    has_spilled: bool,
}

impl<'a> Sink<'a> {
    /// A sink that writes into `room` for as long as everything fits, and else into `spill`.
    #[inline]
    pub(crate) fn new(room: &'a mut [u8], spill: &'a mut Vec<u8>) -> Self {
        let room_bytes = room.len();
        Self { room, room_bytes, bytes: 0, spill, has_spilled: false }
    }

    /// A sink without room, which goes on behind what is in a buffer.
    pub(crate) fn behind(buffer: &'a mut Vec<u8>) -> Self {
        Self { room: &mut [], room_bytes: 0, bytes: buffer.len(), spill: buffer, has_spilled: true }
    }

    /// How many bytes are written.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    /// How many bytes the room takes in all.
    #[inline]
    pub(super) fn room_bytes(&self) -> usize {
        self.room_bytes
    }

    /// Whether what was written has outgrown the room.
    #[inline]
    pub(crate) fn has_spilled(&self) -> bool {
        self.has_spilled
    }

    /// Adds bytes.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if self.bytes + bytes.len() <= self.room_bytes {
            self.write_within(bytes);
        } else {
            self.write_behind(bytes);
        }
    }

    /// Adds bytes that the room takes.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn write_within(&mut self, bytes: &[u8]) {
        let end = self.bytes + bytes.len();
        self.room[self.bytes..end].copy_from_slice(bytes);
        self.bytes = end;
    }

    /// Adds bytes that the room does not take.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn write_behind(&mut self, bytes: &[u8]) {
        let outgrown = if self.has_spilled { &[] } else { &self.room[..self.bytes] };
        append(self.spill, outgrown, bytes);
        self.has_spilled = true;
        self.room_bytes = 0;
        self.bytes += bytes.len();
    }

    /// The room that is left.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn free(&mut self) -> &mut [u8] {
        self.free_and_count().0
    }

    /// The room that is left, and how many bytes are written, for one that counts them itself.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn free_and_count(&mut self) -> (&mut [u8], &mut usize) {
        (&mut self.room[self.bytes.min(self.room_bytes)..self.room_bytes], &mut self.bytes)
    }

    /// Counts bytes that were written at the front of [`free`](Self::free).
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn filled(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.room_bytes - self.bytes);
        self.bytes += bytes;
    }

    /// Writes over what stands at a place.
    #[inline]
    pub(crate) fn write_at(&mut self, at: usize, bytes: &[u8]) {
        let written = if self.has_spilled { &mut self.spill[..] } else { &mut self.room[..self.bytes] };
        written[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Returns the bytes that were written from a place on.
    pub(crate) fn written_from(&self, at: usize) -> &[u8] {
        let written = if self.has_spilled { &self.spill[..] } else { &self.room[..self.bytes] };
        written.get(at..).unwrap_or_default()
    }

    /// Takes back the bytes that were written from a place on. Bytes that have outgrown the room stay outside.
    #[inline]
    pub(crate) fn truncate(&mut self, bytes: usize) {
        self.bytes = self.bytes.min(bytes);
        if self.has_spilled {
            self.spill.truncate(bytes);
        }
    }

    /// Returns the written bytes, in a buffer of its own.
    pub(crate) fn into_vec(self) -> Vec<u8> {
        if self.has_spilled { std::mem::take(self.spill) } else { self.room[..self.bytes].to_vec() }
    }
}

#[cold]
#[inline(never)]
fn append(spill: &mut Vec<u8>, outgrown: &[u8], bytes: &[u8]) {
    spill.extend_from_slice(outgrown);
    spill.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_stays_in_the_room_and_what_does_not_is_kept_whole() {
        let mut room = [0; 4];
        let mut spill = Vec::new();
        let mut sink = Sink::new(&mut room, &mut spill);
        sink.write(b"abc");
        sink.write_at(0, b"x");
        assert_eq!((sink.len(), sink.has_spilled()), (3, false));
        sink.write(b"def");
        assert_eq!((sink.len(), sink.has_spilled()), (6, true));
        sink.truncate(2);
        sink.write(b"y");
        assert_eq!(sink.into_vec(), b"xby");
        assert_eq!(room, *b"xbc\0");
    }
}
