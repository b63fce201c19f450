//! Files of records, cut and changed at every place.

use proptest::prelude::*;

use super::*;

const KEY: DigestKey = *b"a key of 16 byte";

impl ReadAt for Vec<u8> {
    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let at = usize::try_from(at).map_err(io::Error::other)?;
        let bytes = self.get(at..at + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

fn front(number: u32) -> OutputFront {
    let form = if number.is_multiple_of(2) { OutputForm::Plain } else { OutputForm::Captured };
    OutputFront {
        form,
        occurrence: number,
        function: u64::MAX - u64::from(number),
        digest: u128::MAX - u128::from(number),
    }
}

/// A file with a build and these outputs, and where each record begins.
fn file(outputs: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = header(&KEY).to_vec();
    let mut starts = vec![bytes.len()];
    bytes.extend(build_record(&KEY, b"build"));
    for (output, number) in outputs.iter().zip(0..) {
        starts.push(bytes.len());
        bytes.extend(output_start(&KEY, &front(number), &[output]).unwrap());
        bytes.extend(output);
    }
    (bytes, starts)
}

/// Outputs that are read.
type Outputs = Vec<(OutputFront, Vec<u8>)>;

/// The outputs that are read, and where the tail begins.
fn read(bytes: &Vec<u8>) -> Result<(Outputs, usize), Refusal> {
    let key = read_header(bytes)?.expect("it has a header");
    let mut read = Vec::new();
    let end = scan(bytes, &key, HEADER_BYTES as u64, bytes.len() as u64, |front, at, body_bytes| {
        let body = &bytes[at as usize..][..body_bytes as usize];
        match front {
            RecordFront::Build(build) => assert_eq!(build, b"build"),
            RecordFront::Output(front) => read.push((front, body[FRONT_BYTES..].to_vec())),
        }
    })?;
    Ok((read, end as usize))
}

fn outputs() -> impl Strategy<Value = Vec<Vec<u8>>> {
    // No zeros: a cut record that zeros fill up would be whole.
    prop::collection::vec(prop::collection::vec(1..=255u8, 0..40), 0..6)
}

proptest! {
    #[test]
    fn outputs_come_back_as_they_went(outputs in outputs()) {
        let (bytes, _) = file(&outputs);
        let (read, end) = read(&bytes).unwrap();
        prop_assert_eq!(end, bytes.len());
        let expected: Vec<_> = outputs.into_iter().zip(0..).map(|(output, number)| (front(number), output)).collect();
        prop_assert_eq!(read, expected);
    }

    /// Rule 3.
    #[test]
    fn what_is_cut_off_at_any_byte_is_the_tail(outputs in outputs(), zeros in 0..100usize) {
        let (bytes, starts) = file(&outputs);
        for cut in HEADER_BYTES..bytes.len() {
            let whole = starts.iter().filter(|start| **start <= cut).count() - 1;
            for filled in [0, zeros] {
                let mut cut_off = bytes[..cut].to_vec();
                cut_off.resize(cut + filled, 0);
                let (read, end) = read(&cut_off).unwrap();
                prop_assert_eq!(end, starts[whole], "cut at {}", cut);
                prop_assert_eq!(read.len(), whole.saturating_sub(1));
            }
        }
    }

    /// Rule 4: a changed byte is never taken for what was written, and is an error unless it is in the last record.
    #[test]
    fn a_changed_byte_is_found(outputs in outputs(), flip in 1..=255u8) {
        let (bytes, starts) = file(&outputs);
        let last = *starts.last().unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            match read(&changed) {
                Ok((read, end)) => {
                    prop_assert!(at >= last && end == last, "changed at {}", at);
                    prop_assert_eq!(read.len(), outputs.len().saturating_sub(1));
                }
                Err(Refusal::Damaged(place)) => {
                    prop_assert!(place as usize <= at && (at < last || at < HEADER_BYTES), "changed at {}", at);
                }
                Err(Refusal::Foreign) => prop_assert!(at < MAGIC.len()),
                Err(Refusal::Version(_)) => prop_assert!((16..20).contains(&at)),
                Err(Refusal::Io(error)) => return Err(TestCaseError::fail(error.to_string())),
            }
        }
    }

    #[test]
    fn any_other_bytes_are_refused_or_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(bytes.is_empty() || read_header(&bytes).is_err());
        let behind = [&header(&KEY)[..], &bytes].concat();
        prop_assert_eq!(read(&behind).unwrap().1, HEADER_BYTES);
    }
}

#[test]
fn a_header_that_was_being_written_is_that_of_a_new_file() {
    let whole = header(&KEY);
    for length in 0..HEADER_BYTES {
        let begun = read_header(&whole[..length]);
        assert_eq!(begun.is_ok(), length == 0 || length >= HEADER_BYTES_MIN, "{length} bytes");
    }
    assert_eq!(read_header(&whole).unwrap(), Some(KEY));
    assert!(matches!(read_header(b"#!/bin/sh\nexit\n"), Err(Refusal::Foreign)));
}

#[test]
fn an_output_that_is_a_journal_is_no_record_of_it() {
    let (inner, _) = file(&[b"one".to_vec(), b"two".to_vec()]);
    let other_key = *b"a key of others ";
    let start = output_start(&other_key, &front(1), &[&inner]).unwrap();
    let mut bytes = [&header(&other_key)[..], &start, &inner].concat();
    // Its head is damaged, and it is the last: what stands in it is searched for records.
    bytes[HEADER_BYTES] ^= 1;
    assert_eq!(read(&bytes).unwrap(), (Vec::new(), HEADER_BYTES));
}

#[test]
fn a_payload_in_pieces_is_one_in_one_piece() {
    let whole = output_start(&KEY, &front(3), &[b"in pieces"]).unwrap();
    assert_eq!(output_start(&KEY, &front(3), &[b"in ", b"", b"pieces"]).unwrap(), whole);
}
