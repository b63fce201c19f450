//! What a worker has measured of a task, as it stands behind the payload of the task's result, where the call asks for it.
//!
//! Five numbers, little-endian: when the task began, how long it took and its processor time, in nanoseconds; the largest memory that its
//! process has had, in bytes (`u64` each); the bytes of its arguments and the worker's place (`u32` each).

/// The bytes of the measures of one task.
pub(crate) const MEASURES_BYTES: usize = 40;

/// In the place of a number that is not known.
const UNKNOWN: u64 = u64::MAX;

/// What was measured of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Measures {
    /// By the monotonic clock of the worker's machine.
    pub(crate) begun_nanos: u64,
    pub(crate) duration_nanos: u64,
    pub(crate) cpu_nanos: Option<u64>,
    pub(crate) peak_bytes: Option<u64>,
    pub(crate) argument_bytes: u32,
    pub(crate) worker: u32,
}

impl Measures {
    pub(crate) fn encode(&self) -> [u8; MEASURES_BYTES] {
        let known = |number: Option<u64>| number.unwrap_or(UNKNOWN);
        let mut bytes = [0; MEASURES_BYTES];
        let wide = [self.begun_nanos, self.duration_nanos, known(self.cpu_nanos), known(self.peak_bytes)];
        for (place, number) in bytes.chunks_exact_mut(8).zip(wide) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes[32..36].copy_from_slice(&self.argument_bytes.to_le_bytes());
        bytes[36..].copy_from_slice(&self.worker.to_le_bytes());
        bytes
    }

    /// Reads what [`encode`](Self::encode) has written. Any bytes are measures.
    pub(crate) fn decode(bytes: &[u8; MEASURES_BYTES]) -> Self {
        let wide = |at: usize| bytes[at..].first_chunk().map_or(UNKNOWN, |bytes| u64::from_le_bytes(*bytes));
        let narrow = |at: usize| bytes[at..].first_chunk().map_or(u32::MAX, |bytes| u32::from_le_bytes(*bytes));
        let known = |number: u64| (number != UNKNOWN).then_some(number);
        Self {
            begun_nanos: wide(0),
            duration_nanos: wide(8),
            cpu_nanos: known(wide(16)),
            peak_bytes: known(wide(24)),
            argument_bytes: narrow(32),
            worker: narrow(36),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_come_back_as_they_went() {
        let known = Measures {
            begun_nanos: 1,
            duration_nanos: 2,
            cpu_nanos: Some(3),
            peak_bytes: Some(4),
            argument_bytes: 5,
            worker: 6,
        };
        for measures in [known, Measures { cpu_nanos: None, peak_bytes: None, ..known }] {
            assert_eq!(Measures::decode(&measures.encode()), measures);
        }
    }
}
