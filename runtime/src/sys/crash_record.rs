//! The words of a crash: the signal that ended a worker, and the reason of it. It knows nothing of how they are found, and how they travel.

/// The record of the signal that ended a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crash {
    pub(crate) signal: i32,
    pub(crate) reason: Reason,
}

/// The reason of the signal. Addresses are those that were read, written or run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The stack of the thread that runs the tasks, of so many bytes, was at its end.
    StackOverflow(u64),
    /// There was no memory for an allocation.
    AllocationFailed,
    /// There was no memory left of so many bytes, which is the worker's limit.
    MemoryLimit(u64),
    NotMapped(u64),
    Protected(u64),
    /// The processor refused an instruction, or an address that no memory can have.
    Refused,
    Bus(u64),
    Arithmetic(u64),
    Instruction(u64),
    /// Another process sent it; 0 is one that this process cannot see.
    SentBy(u64),
    /// The process sent it to itself, and not by an abort.
    Raised,
    /// The filter of the sandbox does not allow the system call of this number.
    Denied(u64),
}

/// So many bytes of a denied call's path are recorded.
pub(crate) const DENIED_PATH_BYTES_MAX: usize = 1024;
/// How many words a denied call's path takes: its length, and the bytes.
pub(crate) const DENIED_PATH_WORDS: usize = 1 + DENIED_PATH_BYTES_MAX / 8;

/// The path as words.
#[cfg_attr(not(poolmap_sandbox), allow(dead_code, reason = "nothing is denied"))]
pub(super) fn path_words(path: &[u8]) -> impl Iterator<Item = u64> {
    let path = &path[..path.len().min(DENIED_PATH_BYTES_MAX)];
    let word = |at: usize| {
        let mut bytes = [0; 8];
        path.iter().skip(8 * at).zip(&mut bytes).for_each(|(from, to)| *to = *from);
        u64::from_le_bytes(bytes)
    };
    std::iter::once(path.len() as u64).chain((1..DENIED_PATH_WORDS).map(move |place| word(place - 1)))
}

/// The path that a worker has written as these words; none if it is none.
pub(crate) fn path_from_words(word: impl Fn(usize) -> u64) -> Option<Vec<u8>> {
    let length = usize::try_from(word(0)).ok().filter(|length| (1..=DENIED_PATH_BYTES_MAX).contains(length))?;
    let mut path: Vec<u8> = (1..=length.div_ceil(8)).flat_map(|place| word(place).to_le_bytes()).collect();
    path.truncate(length);
    (!path.contains(&0)).then_some(path)
}

/// How many words a crash takes.
pub(crate) const CRASH_WORDS: usize = 3;

impl Crash {
    pub(super) fn to_words(self) -> [u64; CRASH_WORDS] {
        let (kind, value) = match self.reason {
            Reason::StackOverflow(bytes) => (1, bytes),
            Reason::AllocationFailed => (2, 0),
            Reason::MemoryLimit(bytes) => (3, bytes),
            Reason::NotMapped(address) => (4, address),
            Reason::Protected(address) => (5, address),
            Reason::Refused => (6, 0),
            Reason::Bus(address) => (7, address),
            Reason::Arithmetic(address) => (8, address),
            Reason::Instruction(address) => (9, address),
            Reason::SentBy(pid) => (10, pid),
            Reason::Raised => (11, 0),
            Reason::Denied(call) => (12, call),
        };
        [u64::from(self.signal.cast_unsigned()), kind, value]
    }

    /// The crash that a worker has written; none if it is none.
    pub(crate) fn from_words([signal, kind, value]: [u64; CRASH_WORDS]) -> Option<Self> {
        let reason = match kind {
            1 => Reason::StackOverflow(value),
            2 => Reason::AllocationFailed,
            3 => Reason::MemoryLimit(value),
            4 => Reason::NotMapped(value),
            5 => Reason::Protected(value),
            6 => Reason::Refused,
            7 => Reason::Bus(value),
            8 => Reason::Arithmetic(value),
            9 => Reason::Instruction(value),
            10 => Reason::SentBy(value),
            11 => Reason::Raised,
            12 => Reason::Denied(value),
            _ => return None,
        };
        Some(Self { signal: i32::try_from(signal).ok()?, reason })
    }
}

#[cfg(test)]
mod tests {
    use nix::libc;

    use super::*;

    #[test]
    fn a_crash_comes_back_from_its_words() {
        let reasons = [
            Reason::StackOverflow(8 << 20),
            Reason::AllocationFailed,
            Reason::MemoryLimit(1 << 30),
            Reason::NotMapped(0),
            Reason::Protected(0x1000),
            Reason::Refused,
            Reason::Bus(u64::MAX),
            Reason::Arithmetic(1),
            Reason::Instruction(2),
            Reason::SentBy(42),
            Reason::Raised,
            Reason::Denied(257),
        ];
        for reason in reasons {
            let crash = Crash { signal: libc::SIGSEGV, reason };
            assert_eq!(Crash::from_words(crash.to_words()), Some(crash));
        }
        assert_eq!(Crash::from_words([13, 0, 0]), None);
        assert_eq!(Crash::from_words([u64::MAX, 1, 0]), None);
    }

    #[test]
    fn a_path_comes_back_from_its_words() {
        let long = vec![b'x'; DENIED_PATH_BYTES_MAX + 1];
        for path in [&b"/etc/passwd"[..], b"12345678", &long[..DENIED_PATH_BYTES_MAX]] {
            let words: Vec<u64> = path_words(path).collect();
            assert_eq!(words.len(), DENIED_PATH_WORDS);
            assert_eq!(path_from_words(|place| words[place]).as_deref(), Some(path));
        }
        assert_eq!(path_words(&long).next(), Some(DENIED_PATH_BYTES_MAX as u64));
        for odd in [0, 9, DENIED_PATH_BYTES_MAX as u64 + 1, u64::MAX] {
            assert_eq!(path_from_words(|place| if place == 0 { odd } else { 0x61 }), None, "{odd}");
        }
    }
}
