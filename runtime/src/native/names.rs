//! The names of addresses, by the tables of the files that they are in.
//!
//! 1. The worker has named the files. One is opened if it is regular, of at most 4 GiB, belongs to this user, to root or to the owner
//!    of this program's file, and not everybody may write to it. Its packed tables may unpack to 2 GiB in all.
//! 2. Its first bytes must be those that the worker had loaded, which have the number that the linker gave to the build: else it is
//!    another build, and has other addresses.
//! 3. A file is read once, as long as it stays the same.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use addr2line::Loader;
use object::read::{Object, ObjectSection, ReadCache};

use super::text::CallName;
use crate::locks::{Lock, Rank, Ranked};
use crate::sys::{self, LoadedFile, NativeStack, header_hash};

const FILE_BYTES_MAX: u64 = 4 << 30;
const UNPACKED_BYTES_MAX: u64 = 2 << 30;
/// So many files are kept, and then none.
const KEPT_FILES_MAX: usize = 16;
/// Each takes some hundred bytes of the text.
const INLINED_MAX: usize = 32;
/// What runs, also where its file was replaced.
const EXECUTED: &str = "/proc/self/exe";

/// The files that were read.
#[derive(Default)]
struct NamedFiles {
    files: Vec<NamedFile>,
}

struct NamedFile {
    path: PathBuf,
    header: (usize, u64),
    identity: FileVersion,
    loader: Loader,
}

/// Device, number, bytes, and the time of the last change.
type FileVersion = (u64, u64, u64, i64, i64);

impl Ranked for NamedFiles {
    const RANK: Rank = Rank::NativeNames;
}

static NAMES: Lock<NamedFiles> = Lock::new(NamedFiles { files: Vec::new() });

/// The names at each frame of a stack, the innermost first; none where there are none.
pub(super) fn look_up(stack: &NativeStack) -> Vec<Vec<CallName>> {
    let mut names = NAMES.lock();
    let found = stack.frames.iter().map(|frame| {
        let file = stack.files.get(frame.file?)?;
        names.file(file).map(|named| named.names(frame.address.wrapping_sub(file.bias)))
    });
    found.map(Option::unwrap_or_default).collect()
}

impl NamedFiles {
    fn file(&mut self, file: &LoadedFile) -> Option<&NamedFile> {
        let header = (file.header_bytes, file.header_hash);
        let kept = |named: &NamedFile| named.path == file.path && named.header == header;
        if let Some(place) = self.files.iter().position(kept) {
            if self.files[place].is_unchanged() {
                return self.files.get(place);
            }
            self.files.remove(place);
        }
        let candidates = [&*file.path, Path::new(EXECUTED)];
        let named = candidates.into_iter().find_map(|path| NamedFile::open(path, file))?;
        if self.files.len() >= KEPT_FILES_MAX {
            self.files.clear();
        }
        self.files.push(named);
        self.files.last()
    }
}

impl NamedFile {
    /// Opens a file for another of this build; none if it is not that, or may not be opened (rules 1 and 2).
    fn open(path: &Path, as_loaded: &LoadedFile) -> Option<Self> {
        let header = (as_loaded.header_bytes, as_loaded.header_hash);
        let mut file = sys::open_foreign_file(path).ok()?;
        let metadata = file.metadata().ok()?;
        if header.0 == 0 || !is_trusted(&metadata) {
            return None;
        }
        let mut first = vec![0; header.0];
        file.read_exact(&mut first).ok()?;
        if header_hash(first.into_iter()) != header.1 || !unpacks_within_limit(&file)? {
            return None;
        }
        let (path, loader) = (as_loaded.path.clone(), Loader::new(path).ok()?);
        Some(Self { path, header, identity: version(&metadata), loader })
    }

    /// Whether the file is still the one that was read; what was executed is that also where its file was replaced.
    fn is_unchanged(&self) -> bool {
        let now = [&*self.path, Path::new(EXECUTED)].map(|path| path.metadata().map(|metadata| version(&metadata)));
        now.iter().flatten().any(|now| *now == self.identity)
    }

    fn names(&self, offset: u64) -> Vec<CallName> {
        let mut names = Vec::new();
        // No table has the last address, and addr2line counts on that.
        if offset == u64::MAX {
            return names;
        }
        if let Ok(mut frames) = self.loader.find_frames(offset) {
            while names.len() < INLINED_MAX
                && let Ok(Some(frame)) = frames.next()
            {
                let function = frame.function.and_then(|function| {
                    let language = function.language;
                    function.raw_name().ok().map(|name| addr2line::demangle_auto(name, language).into_owned())
                });
                let place = frame.location.and_then(|location| place(&location));
                names.push(CallName { function: function.unwrap_or_default(), place });
            }
        }
        // Into the outermost, which is a function of its own, the others were inlined. Its symbol is its whole name, which the tables of
        // lines alone do not have.
        match (self.symbol(offset), names.last_mut()) {
            (Some(function), Some(outermost)) => outermost.function = function,
            (Some(function), None) => names.push(CallName { function, place: None }),
            (None, _) => {}
        }
        names.retain(|name| !name.function.is_empty());
        names
    }

    fn symbol(&self, offset: u64) -> Option<String> {
        let symbol = self.loader.find_symbol(offset)?;
        Some(addr2line::demangle_auto(symbol.into(), None).into_owned())
    }
}

fn place(location: &addr2line::Location<'_>) -> Option<String> {
    let mut place = location.file?.to_owned();
    for number in [location.line, location.column].into_iter().map_while(|number| number.filter(|&number| number > 0)) {
        place.push_str(&format!(":{number}"));
    }
    Some(place)
}

fn version(metadata: &Metadata) -> FileVersion {
    (metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

fn is_trusted(metadata: &Metadata) -> bool {
    const EVERYBODY_WRITES: u32 = 0o002;
    let own = Path::new(EXECUTED).metadata().map_or(0, |own| own.uid());
    let owners = [0, own, sys::user()];
    metadata.is_file()
        && metadata.len() <= FILE_BYTES_MAX
        && metadata.mode() & EVERYBODY_WRITES == 0
        && owners.contains(&metadata.uid())
}

/// Whether what is packed in a file is of at most 2 GiB, as it says; none if it is no such file.
fn unpacks_within_limit(file: &File) -> Option<bool> {
    let cache = ReadCache::new(file);
    let parsed = object::File::parse(&cache).ok()?;
    let unpacked = parsed.sections().filter_map(|section| {
        let range = section.compressed_file_range().ok()?;
        (range.format != object::CompressionFormat::None).then_some(range.uncompressed_size)
    });
    Some(unpacked.fold(0, u64::saturating_add) <= UNPACKED_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A folder that is gone after the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("poolmap-{name}-{}", std::process::id()));
            std::fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// A file as a worker names it, whose first bytes are these.
    fn loaded(path: &Path, bytes: &[u8]) -> LoadedFile {
        let first = &bytes[..bytes.len().min(1024)];
        let header_hash = header_hash(first.iter().copied());
        LoadedFile { bias: 0, header_bytes: first.len(), header_hash, path: path.to_path_buf() }
    }

    fn is_opened(path: &Path, bytes: &[u8]) -> bool {
        NamedFile::open(path, &loaded(path, bytes)).is_some()
    }

    #[test]
    fn only_a_file_that_is_as_it_was_loaded_is_opened() {
        let folder = Folder::new("names");
        let own = std::fs::read(EXECUTED).unwrap();
        let copy = folder.0.join("copy");
        std::fs::write(&copy, &own).unwrap();
        assert!(is_opened(&copy, &own));
        assert!(!is_opened(&copy, b"another build"));
        assert!(!is_opened(&copy, b""), "its first bytes are not known");
        std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o666)).unwrap();
        assert!(!is_opened(&copy, &own), "everybody may write to it");
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let folder = Folder::new("no-files");
        let pipe = folder.0.join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [&pipe, Path::new("/dev/zero"), &folder.0, Path::new("/no/such/file")] {
            assert!(!is_opened(path, &[0; 100]), "{}", path.display());
        }
    }

    #[test]
    fn a_file_that_is_broken_anywhere_gives_names_or_none() {
        let folder = Folder::new("broken");
        let mut own = std::fs::read(EXECUTED).unwrap();
        let path = folder.0.join("broken");
        for cut in [64, 1024, own.len() / 2, own.len() - 1] {
            std::fs::write(&path, &own[..cut]).unwrap();
            names_of(&path, &own[..cut]);
        }
        // The tables of sections and symbols are at the end.
        let length = own.len();
        for (place, byte) in own.iter_mut().enumerate().skip(length / 2) {
            *byte = byte.wrapping_mul(if place % 97 == 0 { 31 } else { 1 });
        }
        std::fs::write(&path, &own).unwrap();
        names_of(&path, &own);
    }

    fn names_of(path: &Path, bytes: &[u8]) {
        if let Some(named) = NamedFile::open(path, &loaded(path, bytes)) {
            for offset in [0, 0x1000, 0x10_0000, u64::MAX] {
                assert!(named.names(offset).len() <= INLINED_MAX);
            }
        }
    }
}
