//! Where encoded bytes go: into given room for as long as they fit, and into a buffer of their own once they do not. It knows
//! nothing of values.

/// Bytes that are written one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Sink<'a> {
    pub(super) room: &'a mut [u8],
    pub(super) written: Written,
}

/// What was written to a sink. Each call gets the room.
#[derive(Debug, Default)]
pub(super) struct Written {
    bytes: usize,
    /// How much the room takes: nothing more once it was too small.
    room_bytes: usize,
    /// All that was written, once it has outgrown the room.
    spill: Option<Vec<u8>>,
}

impl Written {
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// How many bytes the room takes in all.
    #[inline]
    pub(super) fn room_bytes(&self) -> usize {
        self.room_bytes
    }

    /// Adds bytes that the room takes.
    #[inline(always)]
    pub(super) fn write_within(&mut self, room: &mut [u8], bytes: &[u8]) {
        let end = self.bytes + bytes.len();
        room[self.bytes..end].copy_from_slice(bytes);
        self.bytes = end;
    }

    #[inline]
    pub(super) fn write(&mut self, room: &mut [u8], bytes: &[u8]) {
        if self.bytes + bytes.len() <= self.room_bytes {
            self.write_within(room, bytes);
        } else {
            self.write_behind(room, bytes);
        }
    }

    #[cold]
    #[inline(never)]
    fn write_behind(&mut self, room: &[u8], bytes: &[u8]) {
        let spill = self.spill.get_or_insert_with(|| room[..self.bytes].to_vec());
        self.room_bytes = 0;
        spill.extend_from_slice(bytes);
        self.bytes += bytes.len();
    }
}

impl<'a> Sink<'a> {
    /// A sink that writes into `room` first.
    #[inline]
    pub(crate) fn new(room: &'a mut [u8]) -> Self {
        let room_bytes = room.len();
        Self { room, written: Written { room_bytes, ..Written::default() } }
    }

    /// A sink without room, which goes on behind what stands in a buffer.
    pub(crate) fn behind(buffer: Vec<u8>) -> Self {
        let bytes = buffer.len();
        Self { room: &mut [], written: Written { bytes, room_bytes: 0, spill: Some(buffer) } }
    }

    /// How many bytes are written.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.written.bytes
    }

    /// Whether what was written has outgrown the room.
    #[inline]
    pub(crate) fn has_spilled(&self) -> bool {
        self.written.spill.is_some()
    }

    /// Adds bytes.
    #[inline]
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.written.write(self.room, bytes);
    }

    /// Writes over what stands at a place.
    #[inline]
    pub(crate) fn write_at(&mut self, at: usize, bytes: &[u8]) {
        let written = match &mut self.written.spill {
            None => &mut self.room[..self.written.bytes],
            Some(spill) => spill,
        };
        written[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Takes back what was written from a place on. What has outgrown the room stays outside.
    #[inline]
    pub(crate) fn truncate(&mut self, bytes: usize) {
        self.written.bytes = self.written.bytes.min(bytes);
        if let Some(spill) = &mut self.written.spill {
            spill.truncate(bytes);
        }
    }

    /// What was written, in a buffer of its own.
    pub(crate) fn into_vec(self) -> Vec<u8> {
        self.written.spill.unwrap_or_else(|| self.room[..self.written.bytes].to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_stays_in_the_room_and_what_does_not_is_kept_whole() {
        let mut room = [0; 4];
        let mut sink = Sink::new(&mut room);
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
