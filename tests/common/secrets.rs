//! A secret, and how it is found in bytes: it never stands in memory that only searches for it.

/// The bytes of a secret, which never stand one behind the other in a process that searches for it.
fn secret_byte(salt: u64, place: usize) -> u8 {
    (place as u8).wrapping_mul(97) ^ (salt as u8).wrapping_mul(31) ^ 0x5a ^ (salt >> 8) as u8
}

pub(crate) const SECRET_BYTES: usize = 64;
/// It is there so often: what is written over its first bytes does not hide it.
pub(crate) const SECRETS: usize = 64;

pub(crate) fn secret(salt: u64) -> Vec<u8> {
    (0..SECRET_BYTES * SECRETS).map(|place| secret_byte(salt, place % SECRET_BYTES)).collect()
}

pub(crate) fn has_secret(bytes: &[u8], salt: u64) -> bool {
    let first = secret_byte(salt, 0);
    let mut rest = bytes;
    while let Some(place) = position(rest, first) {
        rest = &rest[place..];
        let is_there = |(place, &byte): (usize, &u8)| byte == secret_byte(salt, place);
        if rest.len() >= SECRET_BYTES && rest[..SECRET_BYTES].iter().enumerate().all(is_there) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

/// The first place of a byte. The C library's search is fast in a test, too, which is built without optimization.
#[allow(unsafe_code, reason = "it is a call of the C library")]
fn position(bytes: &[u8], byte: u8) -> Option<usize> {
    // SAFETY: the pointer and the length are those of the bytes.
    let found = unsafe { nix::libc::memchr(bytes.as_ptr().cast(), byte.into(), bytes.len()) };
    (!found.is_null()).then(|| found.addr() - bytes.as_ptr().addr())
}
