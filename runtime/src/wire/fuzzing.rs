//! Bytes of a hostile worker, read as the parent reads them: for the fuzz target `frames`, and for random bytes in tests.

use super::fields::finish;
use super::{FrameBuffer, HEADER_BYTES, Records, ToParent};

const FRAME_BYTES_MAX: usize = 1 << 20;
/// The memory of a buffer before anything has arrived.
const EMPTY_BYTES_MAX: usize = 64 * 1024;

/// Reads a stream that the bytes make: the first tells how, the second in which steps it arrives.
///
/// # Panics
///
/// If the parent takes what it must not, or more memory than has arrived accounts for.
pub(crate) fn fuzz(bytes: &[u8]) {
    let Some((&[form, step], rest)) = bytes.split_first_chunk() else {
        return;
    };
    let stream = if form % 2 == 0 { rest.to_vec() } else { framed(rest) };
    let mut buffer = FrameBuffer::new(FRAME_BYTES_MAX);
    let mut arrived = 0;
    for part in stream.chunks(usize::from(step) + 1) {
        let room = buffer.room();
        assert!(room.len() <= EMPTY_BYTES_MAX + 2 * arrived, "memory follows what has arrived");
        room[..part.len()].copy_from_slice(part);
        buffer.filled(part.len());
        arrived += part.len();
        loop {
            let has_frame = buffer.has_frame();
            let next = buffer.next();
            assert_eq!(has_frame.is_ok_and(|has| has), matches!(next, Ok(Some(_))));
            match next {
                Ok(Some(frame)) => read(frame, arrived),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

/// Whole frames: for each a kind, a length, and the payload.
fn framed(mut bytes: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    while let Some((&[kind, length], rest)) = bytes.split_first_chunk() {
        let (payload, rest) = rest.split_at(rest.len().min(length.into()));
        let mut frame = vec![0; HEADER_BYTES - 1];
        frame.push(kind);
        frame.extend_from_slice(payload);
        finish(&mut frame);
        stream.extend(frame);
        bytes = rest;
    }
    stream
}

fn read(frame: (u8, &[u8]), arrived: usize) {
    assert!(frame.1.len() <= arrived.min(FRAME_BYTES_MAX));
    match ToParent::parse(frame) {
        Ok(ToParent::Reply { record, .. }) => split(record),
        Ok(ToParent::Note(note)) => {
            let texts = [Some(note.message), note.location, note.backtrace];
            let together: usize = texts.iter().flatten().map(String::capacity).sum();
            assert!(together <= arrived, "a note of more than has arrived");
        }
        _ => {}
    }
}

/// Results, taken one by one and split at each count, are the same.
fn split(bytes: &[u8]) {
    let mut records = Records::new(bytes.to_vec());
    let mut payload_bytes = 0;
    let mut count = 0;
    while let Ok((_, payload)) = records.next() {
        payload_bytes += payload.len();
        count += 1;
    }
    assert!(payload_bytes <= bytes.len(), "results of more bytes than have arrived");
    for first in 0..=count.min(8) {
        let (head, tail) = Records::new(bytes.to_vec()).split_parts(first).expect("so many were taken one by one");
        let head = head.into_buffer();
        assert_eq!([&head[..], &tail].concat(), bytes);
        let mut head = Records::new(head);
        assert!((0..first).all(|_| head.next().is_ok()));
        assert_eq!(head.drop_rest(), 0, "more results than were asked for");
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_frames_or_a_violation(bytes in vec(any::<u8>(), 0..400)) {
            fuzz(&bytes);
        }

        #[test]
        fn whole_frames_of_any_payload_are_read_or_refused(
            step in any::<u8>(),
            frames in vec((prop_oneof![17..23u8, any::<u8>()], vec(prop_oneof![Just(0u8), any::<u8>()], 0..100)), 0..8),
        ) {
            let mut bytes = vec![1, step];
            for (kind, payload) in frames {
                bytes.extend([kind, payload.len() as u8]);
                bytes.extend(payload);
            }
            fuzz(&bytes);
        }
    }
}
