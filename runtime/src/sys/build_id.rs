//! The build id that the linker gave the file that this code is in: a hash of what was linked, in a note of the ELF file.

/// The build id of the file that this code is in, if it has one. It is read from memory, so it is that of the code that runs, also when
/// the file has been replaced.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub(crate) fn build_id() -> Option<Vec<u8>> {
    elf::build_id(build_id as fn() -> Option<Vec<u8>> as usize)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
pub(crate) fn build_id() -> Option<Vec<u8>> {
    None
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
mod elf {
    use std::ffi::{c_int, c_void};

    use nix::libc;

    /// The types of a program header of notes, and of the note of the build id (elf.h).
    const PT_NOTE: u32 = 4;
    const PT_LOAD: u32 = 1;
    const NT_GNU_BUILD_ID: u32 = 3;
    /// A build id has 20 bytes as a rule (SHA-1), and may be given by hand.
    const ID_BYTES_MAX: usize = 64;

    /// What the loader's callback looks for, and has found.
    struct Search {
        code: usize,
        found: Option<Vec<u8>>,
    }

    pub(super) fn build_id(code: usize) -> Option<Vec<u8>> {
        let mut search = Search { code, found: None };
        // SAFETY: the callback has the right type, takes the search for what it is, and does not unwind.
        unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut search).cast()) };
        search.found
    }

    unsafe extern "C" fn visit(info: *mut libc::dl_phdr_info, _bytes: usize, search: *mut c_void) -> c_int {
        // SAFETY: the loader gives a structure that lives through this call, and `search` is that of `build_id`.
        let (info, search) = unsafe { (&*info, &mut *search.cast::<Search>()) };
        if info.dlpi_phdr.is_null() {
            return 0;
        }
        // SAFETY: the loader's structure says where the headers of a loaded object are, and how many.
        let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
        let places = |kind: u32| {
            let of_kind = headers.iter().filter(move |header| header.p_type == kind);
            of_kind.map(|header| {
                ((info.dlpi_addr as usize).wrapping_add(header.p_vaddr as usize), header.p_memsz as usize)
            })
        };
        if !places(PT_LOAD).any(|(start, bytes)| search.code.wrapping_sub(start) < bytes) {
            return 0;
        }
        for (start, bytes) in places(PT_NOTE) {
            // SAFETY: notes are in a part of the object that is loaded, readable and never written, as its header says.
            let notes = unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance::<u8>(start), bytes) };
            search.found = search.found.take().or_else(|| in_notes(notes));
        }
        1
    }

    /// The build id in a sequence of notes: lengths of the name and of what follows, a type, both padded to 4 bytes.
    fn in_notes(mut notes: &[u8]) -> Option<Vec<u8>> {
        let padded = |bytes: usize| bytes.checked_next_multiple_of(4);
        loop {
            let word = |at: usize| Some(u32::from_ne_bytes(notes.get(at..at + 4)?.try_into().ok()?));
            let (name_bytes, id_bytes, kind) = (word(0)? as usize, word(4)? as usize, word(8)?);
            let (name_end, id_start) = (12usize.checked_add(name_bytes)?, 12usize.checked_add(padded(name_bytes)?)?);
            let id_end = id_start.checked_add(id_bytes)?;
            let (name, id) = (notes.get(12..name_end)?, notes.get(id_start..id_end)?);
            if name == b"GNU\0" && kind == NT_GNU_BUILD_ID && !id.is_empty() && id.len() <= ID_BYTES_MAX {
                return Some(id.to_vec());
            }
            notes = notes.get(id_start.checked_add(padded(id_bytes)?)?..)?;
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn note(name: &[u8], kind: u32, id: &[u8]) -> Vec<u8> {
            let words = [name.len() as u32, id.len() as u32, kind];
            let mut note: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            for part in [name, id] {
                note.extend(part);
                note.resize(note.len().next_multiple_of(4), 0);
            }
            note
        }

        #[test]
        fn the_build_id_is_found_among_other_notes() {
            let id = [1, 2, 3, 4, 5];
            let notes = [note(b"GNU\0", 1, &[0; 16]), note(b"stapsdt\0", 3, &[9; 7]), note(b"GNU\0", 3, &id)].concat();
            assert_eq!(in_notes(&notes), Some(id.to_vec()));
            assert_eq!(in_notes(&note(b"GNU\0", 3, &[0; 65])), None);
            // Whatever is cut off, and lengths beyond the end.
            for end in 0..notes.len() - 3 {
                assert_eq!(in_notes(&notes[..end]), None, "{end}");
            }
            assert_eq!(in_notes(&[0xff; 64]), None);
        }

        #[test]
        fn this_programs_id_is_the_same_twice() {
            let code = build_id as fn(usize) -> Option<Vec<u8>> as usize;
            assert_eq!(build_id(code), build_id(code));
            assert_eq!(build_id(8), None);
        }
    }
}
