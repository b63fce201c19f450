//! A saved task as the bytes of its file.
//!
//! 1. The file is a mark, the encoded task, and a digest of both. A file that was not written to its end, or was changed since, has
//!    another digest.
//! 2. Whoever can write the file can have any arguments decoded here: it is as trusted as the program's own input.

use std::io;
use std::path::Path;

use crate::codec::{self, message_struct};
use crate::digest::Digest;
use crate::error::CodecError;

/// The first bytes of a file. The number is that of the format.
const MARK: &[u8; 16] = b"poolmap replay 1";
/// The key of the digest: it finds accidents, and is no secret.
const KEY: &[u8; 16] = b"poolmap replayed";
const DIGEST_BYTES: usize = size_of::<u128>();
/// A file is no larger: what a frame may have, and the fields around it.
const BYTES_MAX: usize = u32::MAX as usize;

message_struct! {
    /// A task that failed.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) struct SavedTask {
        /// The worker function, by what it is known by in the table: name, types, place and version.
        pub(crate) function: String,
        /// Its name alone.
        pub(crate) path: String,
        pub(crate) index: u64,
        /// The number of its last execution.
        pub(crate) attempt: u32,
        /// The seed of its call.
        pub(crate) seed: u64,
        /// Which of its arguments are marked as shared: a bit for each. Their values stand behind their names.
        pub(crate) shared: u16,
        /// The build of the program that saved it.
        pub(crate) build: Vec<u8>,
        /// That of the file of its workers' program, where that is another.
        pub(crate) worker_build: Option<Vec<u8>>,
        /// The hash of its table of worker functions.
        pub(crate) table: u64,
        /// The process that saved it.
        pub(crate) pid: u32,
        /// The text of its error.
        pub(crate) died_of: String,
        /// Its encoded arguments.
        pub(crate) arguments: Vec<u8>,
    }
}

impl SavedTask {
    /// The bytes of its file.
    pub(super) fn encode(&self) -> Result<Vec<u8>, CodecError> {
        let mut bytes = MARK.to_vec();
        codec::encode(self, &mut bytes, BYTES_MAX)?;
        let digest = digest(&bytes);
        bytes.extend(digest);
        Ok(bytes)
    }

    /// The task in these bytes, or why there is none.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let Some((mark, _)) = bytes.split_first_chunk().filter(|(mark, _)| *mark == MARK) else {
            let is_older_or_newer = bytes.starts_with(&MARK[..MARK.len() - 1]);
            return Err(if is_older_or_newer {
                "another version of poolmap has written it: replay it with a program of that version".to_owned()
            } else {
                "it is no task that `save_failed` has saved: name a file that ends in `.poolmap`".to_owned()
            });
        };
        let spoilt =
            || "it is spoilt: it was not written to its end, or was changed since; name another file".to_owned();
        let rest = bytes.len().checked_sub(DIGEST_BYTES).filter(|&end| end >= mark.len()).ok_or_else(spoilt)?;
        let (content, written) = bytes.split_at(rest);
        if written != digest(content) {
            return Err(spoilt());
        }
        codec::decode(&content[MARK.len()..]).map_err(|_| spoilt())
    }

    /// Reads the task in a file, or says why there is none.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let refused =
            |error: io::Error| format!("it cannot be read ({error}): name a file that `save_failed` has written");
        let found = std::fs::metadata(path).map_err(refused)?;
        if !found.is_file() {
            return Err("it is no regular file: name a file that `save_failed` has written".to_owned());
        }
        if found.len() > 2 * BYTES_MAX as u64 {
            return Err("it is larger than any task that `save_failed` has saved: name another file".to_owned());
        }
        Self::decode(&std::fs::read(path).map_err(refused)?)
    }
}

fn digest(bytes: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut digest = Digest::wide(KEY);
    digest.write(bytes);
    digest.finish_wide().to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> SavedTask {
        SavedTask {
            function: "a::f\tfn(u8) -> u8 at a.rs:1:1, version 1".to_owned(),
            path: "a::f".to_owned(),
            index: 17,
            attempt: 2,
            seed: 42,
            shared: 0b10,
            build: vec![1, 2, 3],
            worker_build: None,
            table: 99,
            pid: 1234,
            died_of: "task 17 of `a::f` (x: 1) timed out".to_owned(),
            arguments: vec![7; 100],
        }
    }

    #[test]
    fn a_task_comes_back_as_it_was() {
        let bytes = task().encode().unwrap();
        assert_eq!(SavedTask::decode(&bytes).unwrap(), task());
    }

    #[test]
    fn a_file_that_is_torn_or_changed_at_any_byte_is_refused() {
        let bytes = task().encode().unwrap();
        for cut in 0..bytes.len() {
            let error = SavedTask::decode(&bytes[..cut]).unwrap_err();
            assert!(error.contains(if cut < MARK.len() { "version" } else { "spoilt" }) || cut < 15, "{cut}: {error}");
            let mut zeros = bytes.clone();
            zeros[cut..].fill(0);
            assert!(SavedTask::decode(&zeros).is_err() || zeros == bytes, "zeros from {cut} on");
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[cut] ^= 1 << bit;
                assert!(SavedTask::decode(&changed).is_err(), "bit {bit} of byte {cut}");
            }
        }
        let more = [&bytes[..], b"x"].concat();
        assert!(SavedTask::decode(&more).is_err());
    }

    #[test]
    fn what_is_no_saved_task_is_named_as_such() {
        for other in [&b""[..], b"step,result\n", &[0; 100]] {
            assert!(SavedTask::decode(other).unwrap_err().contains("no task"));
        }
        let mut newer = task().encode().unwrap();
        newer[15] = b'2';
        assert!(SavedTask::decode(&newer).unwrap_err().contains("another version"));
        assert!(SavedTask::read(Path::new("/no/such/file")).unwrap_err().contains("cannot be read"));
        assert!(SavedTask::read(Path::new("/dev/null")).unwrap_err().contains("no regular file"));
        assert!(SavedTask::read(Path::new("/tmp")).unwrap_err().contains("no regular file"));
    }
}
