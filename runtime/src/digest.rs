//! SipHash with 128 and with 64 bits: a hash under a key, which nobody who lacks the key can find two equal inputs for. It knows
//! nothing of what it is a hash of.
//!
//! It is SipHash-1-3 of J.-P. Aumasson and D. J. Bernstein, the variant that std uses for its maps. Std's own has no 128 bits, and may
//! become another with any version of the compiler, so it can stand in no file.

/// The key of a hash.
pub(crate) type DigestKey = [u8; 16];

/// Hashes bytes that come one after another. A copy of it goes on by itself.
pub(crate) type Digest = Sip<1, 3>;

/// SipHash with `COMPRESS` rounds for each word, and `FINISH` at the end.
#[derive(Clone, Debug)]
pub(crate) struct Sip<const COMPRESS: usize, const FINISH: usize> {
    state: [u64; 4],
    /// The bytes that make no whole word yet: `length % 8` of them, the first the lowest.
    rest: u64,
    length: usize,
}

const WORD_BYTES: usize = size_of::<u64>();

impl<const COMPRESS: usize, const FINISH: usize> Sip<COMPRESS, FINISH> {
    /// A hash of 128 bits.
    pub(crate) fn wide(key: &DigestKey) -> Self {
        let mut hash = Self::narrow(key);
        hash.state[1] ^= 0xee;
        hash
    }

    /// A hash of 64 bits.
    #[inline]
    pub(crate) fn narrow(key: &DigestKey) -> Self {
        let key = u128::from_le_bytes(*key);
        let (low, high) = (key as u64, (key >> 64) as u64);
        let state = [
            low ^ 0x736f_6d65_7073_6575,
            high ^ 0x646f_7261_6e64_6f6d,
            low ^ 0x6c79_6765_6e65_7261,
            high ^ 0x7465_6462_7974_6573,
        ];
        Self { state, rest: 0, length: 0 }
    }

    /// Adds bytes.
    #[inline]
    pub(crate) fn write(&mut self, mut bytes: &[u8]) {
        let before = self.length % WORD_BYTES;
        self.length = self.length.wrapping_add(bytes.len());
        if before > 0 {
            let (first, behind) = bytes.split_at(bytes.len().min(WORD_BYTES - before));
            self.rest |= word(first) << (8 * before);
            if before + first.len() < WORD_BYTES {
                return;
            }
            self.compress(self.rest);
            bytes = behind;
        }
        let (words, rest) = bytes.as_chunks::<WORD_BYTES>();
        words.iter().for_each(|word| self.compress(u64::from_le_bytes(*word)));
        self.rest = word(rest);
    }

    /// The hash of 64 bits.
    #[inline]
    pub(crate) fn finish_narrow(mut self) -> u64 {
        self.end();
        self.state[2] ^= 0xff;
        self.finish_word()
    }

    /// The hash of 128 bits.
    #[inline]
    pub(crate) fn finish_wide(mut self) -> u128 {
        self.end();
        self.state[2] ^= 0xee;
        let low = self.finish_word();
        self.state[1] ^= 0xdd;
        u128::from(low) | u128::from(self.finish_word()) << 64
    }

    /// The last word has the length in its highest byte.
    #[inline]
    fn end(&mut self) {
        self.compress(self.rest | (self.length as u64) << 56);
    }

    #[inline]
    fn compress(&mut self, word: u64) {
        self.state[3] ^= word;
        for _ in 0..COMPRESS {
            self.round();
        }
        self.state[0] ^= word;
    }

    #[inline]
    fn finish_word(&mut self) -> u64 {
        for _ in 0..FINISH {
            self.round();
        }
        self.state.iter().fold(0, |all, word| all ^ word)
    }

    #[inline]
    fn round(&mut self) {
        let [mut v0, mut v1, mut v2, mut v3] = self.state;
        v0 = v0.wrapping_add(v1);
        v2 = v2.wrapping_add(v3);
        v1 = v1.rotate_left(13) ^ v0;
        v3 = v3.rotate_left(16) ^ v2;
        v0 = v0.rotate_left(32);
        v2 = v2.wrapping_add(v1);
        v0 = v0.wrapping_add(v3);
        v1 = v1.rotate_left(17) ^ v2;
        v3 = v3.rotate_left(21) ^ v0;
        v2 = v2.rotate_left(32);
        self.state = [v0, v1, v2, v3];
    }
}

/// Up to eight bytes as a word, the first the lowest.
#[inline]
fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hasher};

    use super::*;

    /// The key and the inputs of the reference implementation's vectors.
    fn reference<const C: usize, const F: usize>(hash: fn(&DigestKey) -> Sip<C, F>, length: u8) -> Sip<C, F> {
        let mut hash = hash(&std::array::from_fn(|at| at as u8));
        hash.write(&(0..length).collect::<Vec<u8>>());
        hash
    }

    #[test]
    fn the_hashes_are_those_of_the_reference_implementation() {
        // vectors.h of github.com/veorq/SipHash, for SipHash-2-4, with 64 and with 128 bits.
        let narrow = |length| reference(Sip::<2, 4>::narrow, length).finish_narrow().to_le_bytes();
        assert_eq!(narrow(0), [0x31, 0x0e, 0x0e, 0xdd, 0x47, 0xdb, 0x6f, 0x72]);
        assert_eq!(narrow(1), [0xfd, 0x67, 0xdc, 0x93, 0xc5, 0x39, 0xf8, 0x74]);
        let wide = |length| reference(Sip::<2, 4>::wide, length).finish_wide().to_be_bytes();
        let expected = |text: &str| u128::from_str_radix(text, 16).unwrap().to_be_bytes();
        assert_eq!(wide(0).iter().rev().copied().collect::<Vec<u8>>(), expected("a3817f04ba25a8e66df67214c7550293"));
        assert_eq!(wide(1).iter().rev().copied().collect::<Vec<u8>>(), expected("da87c1d86b99af44347659119b22fc45"));
    }

    #[test]
    fn the_rounds_are_those_of_the_standard_library() {
        for length in 0..70 {
            let bytes: Vec<u8> = (0..length).map(|at: u8| at.wrapping_mul(37)).collect();
            let mut std = DefaultHasher::new();
            std.write(&bytes);
            let mut own = Digest::narrow(&[0; 16]);
            own.write(&bytes);
            assert_eq!(own.finish_narrow(), std.finish(), "{length} bytes");
        }
    }

    #[test]
    fn it_does_not_matter_in_which_pieces_the_bytes_come() {
        let bytes: Vec<u8> = (0..41).collect();
        let whole = |hash: fn(&DigestKey) -> Digest| {
            let mut hash = hash(&[7; 16]);
            hash.write(&bytes);
            (hash.clone().finish_narrow(), hash.finish_wide())
        };
        for first in 0..bytes.len() {
            for second in first..bytes.len() {
                let mut hash = Digest::wide(&[7; 16]);
                for piece in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                    hash.write(piece);
                }
                assert_eq!(hash.finish_wide(), whole(Digest::wide).1, "{first} and {second}");
            }
        }
        assert_ne!(whole(Digest::narrow), whole(Digest::wide));
    }
}
