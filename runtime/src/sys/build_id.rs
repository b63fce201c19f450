//! Which build of the program runs: the number that the linker gave it, and else a hash of its file. Two builds whose code differs in a
//! byte are two. It does not know what that is good for.
//!
//! The program is the executable and, where this code is in a library that a foreign program has loaded, that library.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::program::own_file;
use crate::digest::Digest;

/// What was executed, also when its file was replaced.
const EXECUTED: &str = "/proc/self/exe";
/// No linker gives a longer number.
#[cfg(any(target_os = "linux", target_os = "android", test))]
const NUMBER_BYTES_MAX: usize = 64;

/// The build of the program that runs, as at most 128 bytes. It is found once.
///
/// # Errors
///
/// The linker gave it no number, and its file cannot be read.
pub(crate) fn build_id() -> io::Result<&'static [u8]> {
    static BUILD_ID: OnceLock<Result<Vec<u8>, (io::ErrorKind, String)>> = OnceLock::new();
    let found = BUILD_ID.get_or_init(|| find().map_err(|error| (error.kind(), error.to_string())));
    found.as_deref().map_err(|(kind, message)| io::Error::new(*kind, message.clone()))
}

/// The build of a program in a file: a hash of 128 bits of all of it.
///
/// # Errors
///
/// It cannot be read.
pub(crate) fn build_id_of_file(path: &Path) -> io::Result<Vec<u8>> {
    let of_path =
        |error: io::Error| io::Error::new(error.kind(), format!("could not read {}: {error}", path.display()));
    let mut file = File::open(path).map_err(of_path)?;
    // Whoever can change the file can change what the program does: nothing is gained by two that have one hash.
    let mut hash = Digest::wide(b"poolmap build id");
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hash.finish_wide().to_le_bytes().to_vec()),
            Ok(count) => hash.write(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(of_path(error)),
        }
    }
}

fn find() -> io::Result<Vec<u8>> {
    let code = build_id as fn() -> io::Result<&'static [u8]> as usize;
    if let Some(number) = linked(code) {
        return Ok(number);
    }
    let executed = if Path::new(EXECUTED).exists() { PathBuf::from(EXECUTED) } else { std::env::current_exe()? };
    let mut id = build_id_of_file(&executed)?;
    let own = own_file(code);
    if std::fs::canonicalize(&executed).ok() != std::fs::canonicalize(&own).ok() {
        id.extend(build_id_of_file(&own)?);
    }
    Ok(id)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn linked(code: usize) -> Option<Vec<u8>> {
    linux::numbers(code)
}

/// Other systems number their programs in other ways.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn linked(_code: usize) -> Option<Vec<u8>> {
    None
}

/// The number among the notes of a program (elf(5), `Elf64_Nhdr`): lengths of the name and the number, the type, and both, each filled
/// up to four bytes.
#[cfg(any(target_os = "linux", target_os = "android", test))]
fn number_of(notes: &[u8]) -> Option<&[u8]> {
    const GNU_BUILD_ID: u32 = 3;
    const ALIGN: usize = 4;

    let mut left = notes;
    loop {
        let (head, rest) = left.split_first_chunk::<12>()?;
        let word = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (name_bytes, number_bytes) = (usize::try_from(word(0)).ok()?, usize::try_from(word(4)).ok()?);
        let (name, rest) = rest.split_at_checked(name_bytes.checked_next_multiple_of(ALIGN)?)?;
        let number = rest.get(..number_bytes)?;
        if word(8) == GNU_BUILD_ID && name == b"GNU\0" && (1..=NUMBER_BYTES_MAX).contains(&number_bytes) {
            return Some(number);
        }
        left = rest.get(number_bytes.checked_next_multiple_of(ALIGN)?..)?;
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::ffi::{c_int, c_void};

    use nix::libc;

    use super::number_of;

    /// What is looked for, and what was found.
    struct Found {
        code: usize,
        is_first: bool,
        program: Option<Vec<u8>>,
        /// That of the object with the code, where it is another.
        library: Option<Vec<u8>>,
        has_number: bool,
    }

    /// The numbers of the program and of the library that this address is in, if they have some.
    pub(super) fn numbers(code: usize) -> Option<Vec<u8>> {
        if cfg!(miri) {
            return None;
        }
        let mut found = Found { code, is_first: true, program: None, library: None, has_number: true };
        // SAFETY: the callback has the right type, takes the pointer for what it is, and does not unwind.
        unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut found).cast()) };
        let Found { program, library, has_number, .. } = found;
        let number = program.filter(|_| has_number)?;
        Some([number, library.unwrap_or_default()].concat())
    }

    unsafe extern "C" fn look(info: *mut libc::dl_phdr_info, _bytes: usize, found: *mut c_void) -> c_int {
        // SAFETY: the loader gives a structure that lives through this call, and `found` is the pointer that `numbers` hands over, to
        // a value that nobody else uses meanwhile.
        let (info, found) = unsafe { (&*info, &mut *found.cast::<Found>()) };
        if info.dlpi_phdr.is_null() {
            return 0;
        }
        // SAFETY: the loader says that so many headers stand there.
        let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
        let is_first = std::mem::replace(&mut found.is_first, false);
        // What is loaded lies so far behind the addresses in the headers, whose numbers have the width of the system's.
        let address = |in_header: usize| (info.dlpi_addr as usize).wrapping_add(in_header);
        let has_code = headers.iter().any(|header| {
            let behind = found.code.wrapping_sub(address(header.p_vaddr as usize));
            header.p_type == libc::PT_LOAD && behind < header.p_memsz as usize
        });
        if !is_first && !has_code {
            return 0;
        }
        let number = headers.iter().filter(|header| header.p_type == libc::PT_NOTE).find_map(|header| {
            let start: *const u8 = std::ptr::with_exposed_provenance(address(header.p_vaddr as usize));
            // SAFETY: the segment of notes is mapped, to be read, as long as the object is, which the loader does not unload
            // meanwhile; nobody writes to it.
            let notes = unsafe { std::slice::from_raw_parts(start, header.p_memsz as usize) };
            number_of(notes).map(<[u8]>::to_vec)
        });
        found.has_number &= number.is_some();
        *(if is_first { &mut found.program } else { &mut found.library }) = number;
        // The first is the program itself.
        c_int::from(has_code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(kind: u32, name: &[u8], number: &[u8]) -> Vec<u8> {
        let mut note = Vec::new();
        for word in [name.len() as u32, number.len() as u32, kind] {
            note.extend(word.to_ne_bytes());
        }
        for part in [name, number] {
            note.extend(part);
            note.resize(note.len().next_multiple_of(4), 0);
        }
        note
    }

    #[test]
    fn the_number_is_found_among_other_notes() {
        let others = [note(1, b"GNU\0", b"abi"), note(3, b"Go\0", b"its own"), note(3, b"GNU\0", b"")].concat();
        assert_eq!(number_of(&others), None);
        let all = [others, note(3, b"GNU\0", b"twenty bytes, or so")].concat();
        assert_eq!(number_of(&all), Some(&b"twenty bytes, or so"[..]));
        for cut in 0..all.len() {
            assert!(number_of(&all[..cut]).is_none_or(|number| number.len() == 19), "cut at {cut}");
        }
    }

    #[test]
    fn a_length_that_leads_out_of_the_notes_is_no_number() {
        let mut wrong = note(3, b"GNU\0", b"number");
        for at in [0, 4] {
            wrong[at..at + 4].copy_from_slice(&u32::MAX.to_ne_bytes());
            assert_eq!(number_of(&wrong), None);
        }
    }

    #[test]
    fn this_program_has_a_build_and_another_file_another() {
        let own = build_id().unwrap();
        assert!((16..=2 * NUMBER_BYTES_MAX).contains(&own.len()), "{own:?}");
        assert_eq!(build_id().unwrap(), own);
        let by_file = build_id_of_file(&std::env::current_exe().unwrap()).unwrap();
        assert_ne!(build_id_of_file(Path::new("/dev/null")).unwrap(), by_file);
        assert!(build_id_of_file(Path::new("/no/such/program")).unwrap_err().to_string().contains("/no/such/program"));
    }
}
