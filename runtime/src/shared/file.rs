//! Numbers of a file: copied into memory that nobody changes, or mapped where the caller answers for that.

use std::fs::File;
use std::io;
use std::path::Path;

use super::element::Element;
use super::segment::Memory;
use super::slice::{SharedSlice, short_name};
use crate::sys::Pages;

impl<T: Element> SharedSlice<T> {
    /// Copies the numbers of a file into shared memory.
    ///
    /// The numbers are in the byte order of this machine. Several threads read a large file. Later changes of the file do not change
    /// the slice. [`map_file`](Self::map_file) copies nothing instead, and requires that the file does not change.
    ///
    /// # Errors
    ///
    /// The file cannot be read; it is not a regular file (`InvalidInput`); its length is not a multiple of `size_of::<T>()`
    /// (`InvalidData`); it becomes shorter during the read (`UnexpectedEof`); there is no memory for it.
    ///
    /// # Examples
    ///
    /// A file whose length does not fit:
    ///
    /// ```
    /// # use poolmap::SharedSlice;
    /// let path = std::env::temp_dir().join(format!("poolmap-{}", std::process::id()));
    /// std::fs::write(&path, [1, 0, 2, 0, 3])?;
    /// let error = SharedSlice::<u16>::from_file(&path).unwrap_err();
    /// assert!(error.to_string().contains("5 bytes are not a multiple of 2"));
    /// let bytes = SharedSlice::<u8>::from_file(&path)?;
    /// std::fs::write(&path, [9])?;
    /// assert_eq!(bytes[..], [1, 0, 2, 0, 3]);
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn from_file(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::of_file(path.as_ref(), |file, bytes| Memory::copy_of(&file, bytes))
    }

    /// Maps the numbers of a file, without reading them.
    ///
    /// The numbers are in the byte order of this machine. The slice has the present length of the file. Workers map the file too. To
    /// replace a file under a slice, write another file, and rename it: the slice keeps the old one.
    ///
    /// # Safety
    ///
    /// While a slice of the file lives, in this process or in a worker, no program, this one included, may change the file or make it
    /// shorter. A change of the file changes numbers that Rust code assumes to be constant. A process that reads behind the end of a
    /// shortened file is killed by SIGBUS.
    ///
    /// # Errors
    ///
    /// The file cannot be opened or mapped; it is not a regular file (`InvalidInput`); its length is not a multiple of
    /// `size_of::<T>()` (`InvalidData`).
    ///
    /// # Examples
    ///
    /// ```
    /// # use poolmap::SharedSlice;
    /// let path = std::env::temp_dir().join(format!("poolmap-mapped-{}", std::process::id()));
    /// std::fs::write(&path, [1, 2, 3])?;
    /// // SAFETY: the file is this program's, which writes to it no more.
    /// let bytes = unsafe { SharedSlice::<u8>::map_file(&path) }?;
    /// assert_eq!(bytes[..], [1, 2, 3]);
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[allow(unsafe_code, reason = "the contract is the caller's")]
    pub unsafe fn map_file(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::of_file(path.as_ref(), |file, bytes| {
            // SAFETY: the caller answers for the file, as long as a slice of this memory lives; the slices hold the pages.
            let pages = unsafe { Pages::mapped(&file, bytes) }?;
            Ok(Memory::of_file(pages, file))
        })
    }

    /// The numbers of a file, which `make` puts into memory.
    fn of_file(path: &Path, make: impl FnOnce(File, usize) -> io::Result<Memory>) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let kinded = |kind, what: &str| named(io::Error::new(kind, what));
        let file = File::open(path).map_err(named)?;
        let metadata = file.metadata().map_err(named)?;
        if !metadata.is_file() {
            return Err(kinded(io::ErrorKind::InvalidInput, "only a regular file can be read"));
        }
        let bytes = usize::try_from(metadata.len()).map_err(|error| named(io::Error::other(error)))?;
        let size = size_of::<T>();
        if !bytes.is_multiple_of(size) {
            let what = format!("{bytes} bytes are not a multiple of {size}, the size of a `{}`", short_name::<T>());
            return Err(kinded(io::ErrorKind::InvalidData, &what));
        }
        if bytes == 0 {
            return Ok(Self::empty());
        }
        let memory = make(file, bytes).map_err(named)?;
        Ok(Self::of(memory, bytes / size))
    }
}
