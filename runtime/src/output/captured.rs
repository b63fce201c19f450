//! The output of one task, as it travels: behind the payload of its result stand the two texts, and the length of each.

use crate::error::Printed;
use crate::wire::Violation;

/// Of what a task prints, so much is kept of each stream: the last.
pub(super) const KEPT_BYTES_MAX: usize = 64 * 1024;

const LENGTH_BYTES: usize = 4;

/// The bytes behind the payload of a result, in `bytes_max` and the two lengths: text that does not fit is left out.
pub(super) fn suffix(stdout: &[u8], stderr: &[u8], bytes_max: usize) -> Vec<u8> {
    let stderr = last(stderr, bytes_max);
    let stdout = last(stdout, bytes_max - stderr.len());
    let mut suffix = [stdout, stderr].concat();
    for text in [stdout, stderr] {
        let length = u32::try_from(text.len()).expect("no more than KEPT_BYTES_MAX and a note are kept");
        suffix.extend_from_slice(&length.to_le_bytes());
    }
    suffix
}

fn last(text: &[u8], bytes_max: usize) -> &[u8] {
    &text[text.len().saturating_sub(bytes_max)..]
}

/// The payload of a result, and what its task has printed.
pub(crate) fn split(record: &[u8]) -> Result<(&[u8], Printed), Violation> {
    let cut = |bytes: &mut &[u8], count: usize| {
        let at = bytes.len().checked_sub(count).ok_or_else(|| Violation::new("what a task printed is cut short"))?;
        let (rest, end) = bytes.split_at(at);
        let end = end.to_vec();
        *bytes = rest;
        Ok::<_, Violation>(end)
    };
    let mut left = record;
    let length = |left: &mut &[u8]| {
        let bytes = cut(left, LENGTH_BYTES)?;
        Ok::<_, Violation>(bytes.iter().rev().fold(0, |length: usize, &byte| length << 8 | usize::from(byte)))
    };
    let (stderr_bytes, stdout_bytes) = (length(&mut left)?, length(&mut left)?);
    let (stderr, stdout) = (cut(&mut left, stderr_bytes)?, cut(&mut left, stdout_bytes)?);
    Ok((left, Printed { stdout: text(&stdout), stderr: text(&stderr) }))
}

/// Puts behind a payload that its task has printed nothing.
pub(crate) fn append_nothing_printed(payload: &mut Vec<u8>) {
    payload.extend_from_slice(&[0; 2 * LENGTH_BYTES]);
}

/// The printed output, as text.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_and_the_payload_is_whole() {
        for (stdout, stderr) in [("", ""), ("out", ""), ("", "err\n"), ("one\ntwo", "three")] {
            let record = [b"payload", &suffix(stdout.as_bytes(), stderr.as_bytes(), 1000)[..]].concat();
            let (payload, printed) = split(&record).unwrap();
            assert_eq!((payload, &*printed.stdout, &*printed.stderr), (&b"payload"[..], stdout, stderr));
        }
    }

    #[test]
    fn nothing_printed_is_two_empty_texts() {
        let mut record = b"payload".to_vec();
        append_nothing_printed(&mut record);
        let (payload, printed) = split(&record).unwrap();
        assert_eq!((payload, &*printed.stdout, &*printed.stderr), (&b"payload"[..], "", ""));
    }

    #[test]
    fn what_finds_no_room_is_left_out_from_its_beginning() {
        let record = suffix(b"a long text", b"error", 8);
        let (payload, printed) = split(&record).unwrap();
        assert_eq!((payload, &*printed.stdout, &*printed.stderr), (&b""[..], "ext", "error"));
        assert_eq!(suffix(b"a long text", b"error", 0).len(), 2 * LENGTH_BYTES);
    }

    #[test]
    fn what_claims_more_than_is_there_is_refused() {
        let whole = suffix(b"out", b"err", 100);
        for cut in 1..whole.len() {
            assert!(split(&whole[cut..]).is_err(), "cut at {cut}");
        }
        assert!(split(&[0xff; 8]).is_err() && split(b"").is_err());
    }
}
