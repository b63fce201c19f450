//! What a message of a peer may be: its tag, its length, and how it continues a body. It receives nothing.

/// The tags of messages.
pub(super) const LAST: u16 = 1;
pub(super) const MORE: u16 = 2;
pub(super) const END: u16 = 3;

/// The bounds of what is sent and received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FabricLimits {
    /// The longest message of MPI; the same in all ranks, which run one program.
    pub(crate) segment_bytes: usize,
    /// The longest body.
    pub(crate) body_bytes_max: usize,
}

impl Default for FabricLimits {
    /// Segments of 256 MiB, as MPI counts in `int`; bodies of what an address space can hold.
    fn default() -> Self {
        Self { segment_bytes: 256 << 20, body_bytes_max: isize::MAX as usize }
    }
}

/// What is to be done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intake {
    /// It ends the body.
    Last,
    /// The body goes on.
    More,
    /// The peer has ended.
    End,
}

impl FabricLimits {
    /// Judges a message of `bytes` bytes, where `before` bytes of the body have arrived; the error says what the peer did wrong.
    pub(super) fn judge(&self, tag: u16, bytes: usize, before: usize) -> Result<Intake, String> {
        let intake = match tag {
            LAST => Intake::Last,
            MORE => Intake::More,
            END => Intake::End,
            tag => return Err(format!("it sent a message with the unknown tag {tag}")),
        };
        if bytes > self.segment_bytes {
            return Err(format!("it sent a message of {bytes} bytes, more than {}", self.segment_bytes));
        }
        let is_whole = before == 0 && bytes == 0;
        match intake {
            Intake::End if !is_whole => Err("it ended in the middle of a message".to_owned()),
            // Else a peer could send them for ever, and no bound would be reached.
            Intake::More if bytes == 0 => Err("it sent a message that does not go on".to_owned()),
            _ if before.checked_add(bytes).is_none_or(|bytes| bytes > self.body_bytes_max) => {
                Err(format!("it sent a message of more than {} bytes", self.body_bytes_max))
            }
            intake => Ok(intake),
        }
    }
}

/// The parts of a body of so many bytes, each with its tag.
pub(super) fn segments(bytes: usize, segment_bytes: usize) -> impl Iterator<Item = (u16, std::ops::Range<usize>)> {
    let segment_bytes = segment_bytes.max(1);
    let count = bytes.div_ceil(segment_bytes).max(1);
    (0..count).map(move |place| {
        let start = place * segment_bytes;
        let tag = if place + 1 == count { LAST } else { MORE };
        (tag, start..bytes.min(start.saturating_add(segment_bytes)))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: FabricLimits = FabricLimits { segment_bytes: 10, body_bytes_max: 25 };

    #[test]
    fn what_a_peer_may_not_send_is_refused() {
        assert_eq!(LIMITS.judge(LAST, 0, 0), Ok(Intake::Last));
        assert_eq!(LIMITS.judge(MORE, 10, 0), Ok(Intake::More));
        assert_eq!(LIMITS.judge(LAST, 5, 20), Ok(Intake::Last));
        assert_eq!(LIMITS.judge(END, 0, 0), Ok(Intake::End));
        for (tag, bytes, before, said) in [
            (0, 1, 0, "unknown tag 0"),
            (4, 1, 0, "unknown tag 4"),
            (LAST, 11, 0, "more than 10"),
            (MORE, 0, 0, "does not go on"),
            (LAST, 6, 20, "more than 25"),
            (LAST, 1, usize::MAX, "more than 25"),
            (END, 1, 0, "in the middle"),
            (END, 0, 1, "in the middle"),
        ] {
            let refused = LIMITS.judge(tag, bytes, before).unwrap_err();
            assert!(refused.contains(said), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn segments_are_the_body_and_are_accepted(bytes in 0usize..200, segment_bytes in 1usize..50) {
            let limits = FabricLimits { segment_bytes, body_bytes_max: bytes };
            let (mut at, mut is_over) = (0, false);
            for (tag, part) in segments(bytes, segment_bytes) {
                prop_assert!(!is_over && part.start == at);
                is_over = limits.judge(tag, part.len(), at).unwrap() == Intake::Last;
                at = part.end;
            }
            prop_assert!(is_over && at == bytes);
        }
    }
}
