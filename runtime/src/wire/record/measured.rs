//! Results with what was measured of their tasks behind them: takes that away, so that what is left is results as any others.

use super::{HEAD_BYTES, PART, Records, STATUS_BITS, Status, head, record, status};
use crate::wire::measures::Measures;

impl Records {
    /// Takes what was measured away from behind the results that are left, and visits each with its payload as the worker wrote it. A
    /// result that has nothing behind it, or too little, is visited without.
    pub(crate) fn take_measures(&mut self, mut visit: impl FnMut(Status, &[u8], Option<Measures>)) {
        let (mut read, mut written) = (self.at, self.at);
        while let Some((kind, start, end)) = self.front_at(read) {
            if kind == PART {
                return self.take_measures_of_parts(read, written, visit);
            }
            let Ok(status) = status(kind) else {
                break;
            };
            let (payload, measures) = split(status, &self.bytes[start..end]);
            visit(status, payload, measures);
            let payload_bytes = payload.len();
            self.bytes[written..written + HEAD_BYTES].copy_from_slice(&head(status, payload_bytes));
            self.bytes.copy_within(start..start + payload_bytes, written + HEAD_BYTES);
            written += HEAD_BYTES + payload_bytes;
            read = end;
        }
        // What is no result is left to whoever takes the results.
        self.bytes.copy_within(read.., written);
        self.bytes.truncate(self.bytes.len() - (read - written));
    }

    /// The same from a large result on, whose parts are brought together.
    #[cold]
    fn take_measures_of_parts(
        &mut self,
        from: usize,
        written: usize,
        mut visit: impl FnMut(Status, &[u8], Option<Measures>),
    ) {
        let (mut read, mut rest, mut whole) = (from, Vec::new(), Vec::new());
        let mut whole_end = from;
        while let Some((kind, start, end)) = self.front_at(read) {
            whole.extend_from_slice(&self.bytes[start..end]);
            read = end;
            if kind == PART {
                continue;
            }
            let Ok(status) = status(kind) else {
                break;
            };
            let (payload, measures) = split(status, &whole);
            visit(status, payload, measures);
            rest.extend(record(status, payload));
            whole.clear();
            whole_end = end;
        }
        rest.extend_from_slice(&self.bytes[whole_end..]);
        self.bytes.truncate(written);
        self.bytes.extend(rest);
    }

    /// The kind of the record at a place, and where its payload begins and ends; none if no whole record is there.
    #[inline]
    fn front_at(&self, at: usize) -> Option<(u32, usize, usize)> {
        let head = u32::from_le_bytes(*self.bytes.get(at..)?.first_chunk()?);
        let start = at + HEAD_BYTES;
        let end = start + (head >> STATUS_BITS) as usize;
        (end <= self.bytes.len()).then_some((head & ((1 << STATUS_BITS) - 1), start, end))
    }
}

/// The payload of a result, and what was measured of its task.
#[inline]
fn split(status: Status, bytes: &[u8]) -> (&[u8], Option<Measures>) {
    if status == Status::NotRun {
        return (bytes, None);
    }
    match bytes.split_last_chunk() {
        Some((payload, measures)) => (payload, Some(Measures::decode(measures))),
        None => (bytes, None),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{part_head, push_parts};
    use super::*;

    fn measures(begun_nanos: u64) -> Measures {
        Measures { begun_nanos, duration_nanos: 1, cpu_nanos: None, peak_bytes: None, argument_bytes: 8, worker: 3 }
    }

    fn measured(status: Status, payload: &[u8], begun: u64) -> Vec<u8> {
        record(status, &[payload, &measures(begun).encode()].concat())
    }

    #[test]
    fn what_is_left_is_the_results_without_their_measures() {
        let mut with = measured(Status::Output, b"one", 1);
        with.extend(measured(Status::Failure, b"", 2));
        with.extend(record(Status::NotRun, b""));
        // In parts, one of which ends in the middle of the measures.
        let large = [b"two".as_slice(), &measures(3).encode()].concat();
        push_parts(&mut with, &large[..10]);
        with.extend(part_head(20));
        with.extend(&large[10..30]);
        with.extend(record(Status::Output, &large[30..]));
        with.extend(measured(Status::Panic, b"!", 4));
        let mut records = Records::new(with);
        let mut seen = Vec::new();
        records.take_measures(|status, payload, measures| {
            seen.push((status, payload.to_vec(), measures.map(|measures| measures.begun_nanos)));
        });
        let expected = [
            (Status::Output, &b"one"[..], Some(1)),
            (Status::Failure, b"", Some(2)),
            (Status::NotRun, b"", None),
            (Status::Output, b"two", Some(3)),
            (Status::Panic, b"!", Some(4)),
        ];
        assert_eq!(seen, expected.map(|(status, payload, begun)| (status, payload.to_vec(), begun)));
        for (status, payload, _) in expected {
            assert_eq!(records.next(), Ok((status, payload)));
        }
        assert!(records.next().is_err());
    }

    #[test]
    fn results_that_are_cut_short_stay_as_they_are() {
        let whole = [measured(Status::Output, b"one", 1), measured(Status::Output, b"two", 2)].concat();
        for end in 0..whole.len() {
            let mut records = Records::new(whole[..end].to_vec());
            let mut count = 0;
            records.take_measures(|_, _, _| count += 1);
            assert_eq!(count, end / (whole.len() / 2));
        }
        let mut short = Records::new(record(Status::Output, b"short"));
        short.take_measures(|_, payload, measures| assert_eq!((payload, measures), (&b"short"[..], None)));
        assert_eq!(short.next(), Ok((Status::Output, &b"short"[..])));
    }
}
