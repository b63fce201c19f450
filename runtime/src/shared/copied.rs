//! Copies of what others could change: read by system calls into memory of one's own, and never mapped.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::sys;

/// For less, a second thread takes longer to start than it saves.
const BYTES_PER_THREAD: usize = 16 << 20;
/// Copying is bound by the memory's speed, which a few threads use up.
const THREADS_MAX: usize = 4;

/// Reads the beginning of a file, as much of it as there is room for.
///
/// # Errors
///
/// The file cannot be read, or ends before (`UnexpectedEof`).
pub(super) fn read_all(file: &File, all: &mut [u8]) -> io::Result<()> {
    let processors = sys::cpu_count();
    let threads = (all.len() / BYTES_PER_THREAD).clamp(1, processors.min(THREADS_MAX));
    if threads == 1 {
        return file.read_exact_at(all, 0);
    }
    let size = all.len().div_ceil(threads);
    let mut parts = (0..).step_by(size).zip(all.chunks_mut(size));
    let first = parts.next();
    std::thread::scope(|scope| {
        let mut started = Vec::new();
        for (offset, part) in parts {
            let read = move || file.read_exact_at(part, offset);
            started.push(std::thread::Builder::new().spawn_scoped(scope, read)?);
        }
        let mut read = first.map_or(Ok(()), |(offset, part)| file.read_exact_at(part, offset));
        for thread in started {
            let of_thread = thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread that reads has panicked")));
            read = read.and(of_thread);
        }
        read
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::segment::Memory;
    use super::*;

    #[test]
    fn a_large_file_is_copied_by_several_threads_and_a_short_one_is_an_error() {
        let mut file = crate::sys::unnamed_file().unwrap();
        let bytes: Vec<u8> = (0..(2 * BYTES_PER_THREAD + 5) as u32).map(|at| (at >> 7) as u8).collect();
        file.write_all(&bytes).unwrap();
        let memory = Memory::copy_of(&file, bytes.len()).unwrap();
        assert!(memory.pages().numbers::<u8>(0, bytes.len()).unwrap() == bytes);
        file.set_len(100).unwrap();
        assert_eq!(Memory::copy_of(&file, bytes.len()).err().unwrap().kind(), io::ErrorKind::UnexpectedEof);
    }
}
