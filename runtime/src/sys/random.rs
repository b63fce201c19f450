//! Bytes that nobody can foresee.

use std::io;

/// Fills bytes with random ones of the system's.
#[cfg(poolmap_linux)]
pub(crate) fn random(bytes: &mut [u8]) -> io::Result<()> {
    // A filter may deny the call, and Linux below 3.17 has none.
    by_call(bytes).or_else(|denied| by_file(bytes).map_err(|_| denied))
}

#[cfg(not(poolmap_linux))]
pub(crate) fn random(bytes: &mut [u8]) -> io::Result<()> {
    by_file(bytes)
}

#[cfg(poolmap_linux)]
fn by_call(bytes: &mut [u8]) -> io::Result<()> {
    use nix::errno::Errno;
    use nix::libc;

    let mut filled = 0;
    while filled < bytes.len() {
        let left = &mut bytes[filled..];
        // SAFETY: the pointer and the length are those of a slice that is borrowed exclusively for the call. The system call is
        // made as such: the C library has had a function for it only since 2.25.
        let count = unsafe { libc::syscall(libc::SYS_getrandom, left.as_mut_ptr(), left.len(), 0) };
        match Errno::result(count) {
            // Never more than was asked for.
            Ok(count) => filled += count as usize,
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn by_file(bytes: &mut [u8]) -> io::Result<()> {
    use std::io::Read;

    std::fs::File::open("/dev/urandom")?.read_exact(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_the_same() {
        let mut numbers = std::collections::BTreeSet::new();
        for _ in 0..100 {
            for fill in [random, by_file] {
                let mut bytes = [0; 16];
                fill(&mut bytes).unwrap();
                assert!(numbers.insert(u128::from_ne_bytes(bytes)));
            }
        }
    }
}
