//! Which file a process is started from so that it runs this program: the one whose `main` runs now. It does not know how a
//! process is started.
//!
//! As a rule that is `/proc/self/exe`, which stays the running program when its file is deleted or replaced. But the kernel
//! executed another file where the program was started by its loader (`ld-linux.so ./app`) or runs under valgrind; and where
//! this code is in a library that a foreign program has loaded (a module of Python's), that program's `main` never calls
//! `init()`: a program that is named is started in its place.
//!
//! Files are compared by what `stat` gives for their paths. What /proc/self/maps gives for a mapping is the number of another
//! file system's under overlayfs and btrfs, so it proves that two files are one, and never that they are two.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::unistd::{AccessFlags, access};

/// The path to start this program by; `code` is the address of a public function of this crate. It is found once.
///
/// # Errors
///
/// Why the program cannot be started, and what to do about it.
pub(crate) fn own_program(code: usize) -> Result<&'static CString, &'static str> {
    static PROGRAM: OnceLock<Result<CString, String>> = OnceLock::new();
    PROGRAM.get_or_init(|| find(code)).as_ref().map_err(String::as_str)
}

/// The file that this code is in, where it is known, and else what was executed; `code` as above.
pub(crate) fn own_file(code: usize) -> PathBuf {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(path) = linux::file(code) {
        return path;
    }
    let _ = code;
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("this program"))
}

/// Checks that there is such a file, and that this process may execute it.
pub(crate) fn check_executable(path: &Path) -> io::Result<()> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    Ok(access(path, AccessFlags::X_OK)?)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn find(code: usize) -> Result<CString, String> {
    linux::find(code)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn find(_code: usize) -> Result<CString, String> {
    executed()
}

/// The file that the kernel has executed.
#[cfg(poolmap_linux)]
fn executed() -> Result<CString, String> {
    Ok(c"/proc/self/exe".to_owned())
}

#[cfg(not(poolmap_linux))]
fn executed() -> Result<CString, String> {
    let path = std::env::current_exe().map_err(|error| format!("could not find this program's file: {error}"))?;
    c_path(path)
}

/// A path as the system takes it.
pub(crate) fn c_path(path: PathBuf) -> Result<CString, String> {
    CString::new(path.into_os_string().into_vec()).map_err(|error| format!("could not name a program's file: {error}"))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::ffi::{CString, OsString, c_int, c_void};
    use std::os::unix::ffi::OsStringExt;
    use std::os::unix::fs::MetadataExt;
    use std::path::{Path, PathBuf};

    use nix::libc;

    use super::{c_path, executed};

    const EXECUTED: &str = "/proc/self/exe";
    const MAPS: &str = "/proc/self/maps";
    const DELETED: &[u8] = b" (deleted)";

    /// A file, by its device and its number there.
    type Identity = (u64, u64);

    pub(super) fn find(code: usize) -> Result<CString, String> {
        let no_proc = |path: &str, error: &std::io::Error| {
            format!("could not read {path}: {error}: workers are started by way of /proc, so it must be mounted")
        };
        let maps = std::fs::read(MAPS).map_err(|error| no_proc(MAPS, &error))?;
        let running = std::fs::metadata(EXECUTED).map_err(|error| no_proc(EXECUTED, &error))?;
        let (Some(main), Some(own)) = (Mapped::at(&maps, main_headers()), Mapped::at(&maps, code)) else {
            // Code that was moved to other memory has no file to ask for.
            return executed();
        };
        if own.path != main.path && !is_linked(code) {
            return Err(format!(
                "this code is in the library {}, which the program {} has loaded, and whose `main` is not yours: build a \
                 program whose `main` is poolmap::run_worker(), and name it by Pool::builder().program(path)",
                own.path.display(),
                main.path.display(),
            ));
        }
        let link = std::fs::read_link(EXECUTED).ok();
        let at_path = identity(&main.path);
        if main.is_file((running.dev(), running.ino()), at_path, link.as_deref()) {
            return executed();
        }
        if at_path.is_none() || main.is_deleted() {
            return Err(format!(
                "this program was executed by way of {}, and its own file {} is gone: start it again from a file that stays",
                link.unwrap_or_default().display(),
                main.path.display(),
            ));
        }
        c_path(main.path)
    }

    /// The file that is mapped at an address.
    pub(super) fn file(code: usize) -> Option<PathBuf> {
        Mapped::at(&std::fs::read(MAPS).ok()?, code).map(|mapped| mapped.path)
    }

    fn identity(path: &Path) -> Option<Identity> {
        std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
    }

    /// A file that is mapped.
    #[derive(Debug, PartialEq, Eq)]
    struct Mapped {
        path: PathBuf,
        identity: Identity,
    }

    impl Mapped {
        /// The file that is mapped at an address: a line `start-end permissions offset major:minor inode path` of the maps.
        fn at(maps: &[u8], address: usize) -> Option<Self> {
            maps.split(|&byte| byte == b'\n').find_map(|line| Self::on(line, address))
        }

        fn on(line: &[u8], address: usize) -> Option<Self> {
            let path = line.iter().position(|&byte| byte == b'/')?;
            let (numbers, path) = line.split_at(path);
            let mut words = std::str::from_utf8(numbers).ok()?.split_ascii_whitespace();
            let number = |text: &str| usize::from_str_radix(text, 16).ok();
            let (start, end) = words.next()?.split_once('-')?;
            if !(number(start)?..number(end)?).contains(&address) {
                return None;
            }
            let (major, minor) = words.nth(2)?.split_once(':')?;
            let half = |text: &str| u32::from_str_radix(text, 16).ok();
            let device = libc::makedev(half(major)?, half(minor)?);
            let inode = words.next()?.parse().ok()?;
            Some(Self { path: OsString::from_vec(unescaped(path)).into(), identity: (device, inode) })
        }

        fn is_deleted(&self) -> bool {
            self.path.as_os_str().as_encoded_bytes().ends_with(DELETED)
        }

        /// Whether it is the file that was executed, of which this is the identity, and the path as the kernel gives it.
        ///
        /// valgrind answers for the kernel where the link is read, and says what it runs; so the link is believed where
        /// nothing else can be asked alone.
        fn is_file(&self, executed: Identity, at_path: Option<Identity>, link: Option<&Path>) -> bool {
            let is_link = || link == Some(&self.path);
            match at_path {
                _ if self.identity == executed => true,
                Some(at_path) => at_path == executed || (self.is_deleted() && is_link()),
                None => is_link(),
            }
        }
    }

    /// The kernel writes the end of a line in a path so.
    fn unescaped(path: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(path.len());
        let mut rest = path;
        while let Some((&first, behind)) = rest.split_first() {
            match rest.strip_prefix(b"\\012") {
                Some(behind) => {
                    bytes.push(b'\n');
                    rest = behind;
                }
                None => {
                    bytes.push(first);
                    rest = behind;
                }
            }
        }
        bytes
    }

    /// Where the program headers of the main program are mapped: it is the first object of all (dl_iterate_phdr(3)).
    fn main_headers() -> usize {
        unsafe extern "C" fn first(info: *mut libc::dl_phdr_info, _bytes: usize, found: *mut c_void) -> c_int {
            // SAFETY: the loader gives a structure that lives through this call, and `found` is the pointer to a number that is
            // handed over below.
            unsafe { *found.cast::<usize>() = (*info).dlpi_phdr.addr() };
            1
        }

        let mut found = 0usize;
        // SAFETY: the callback has the right type, takes the number for what it is, and does not unwind.
        unsafe { libc::dl_iterate_phdr(Some(first), (&raw mut found).cast()) };
        found
    }

    /// Whether a public function was there when the program began, as one of a library that it is linked with: it is found by its
    /// name then. One in a library that was loaded later is not, as long as nobody asked for that.
    fn is_linked(code: usize) -> bool {
        // SAFETY: it is pointers, for which zeros are values.
        let mut details: libc::Dl_info = unsafe { std::mem::zeroed() };
        // SAFETY: any address may be asked for; the structure is ours and lives through the call.
        let found = unsafe { libc::dladdr(std::ptr::without_provenance(code), &raw mut details) };
        if found == 0 || details.dli_sname.is_null() {
            return false;
        }
        // SAFETY: the name is a string of the library's that this code is in, which stays loaded while this code runs.
        let by_name = unsafe { libc::dlsym(libc::RTLD_DEFAULT, details.dli_sname) };
        by_name == details.dli_saddr
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn an_address_is_found_in_the_line_that_spans_it() {
            let maps = b"1000-2000 r--p 00000000 fe:01 77 /usr/lib/an app\n2000-3000 rw-p 00000000 00:00 0\n\
                         3000-4000 r-xp 00001000 00:1f 9 /a\\012b (deleted)\n";
            let at = |address| Mapped::at(maps, address);
            let expected = Mapped { path: "/usr/lib/an app".into(), identity: (libc::makedev(0xfe, 1), 77) };
            assert_eq!(at(0x1000), Some(expected));
            assert_eq!([at(0xfff), at(0x2000), at(0x4000)], [None, None, None]);
            let deleted = at(0x3fff).unwrap();
            assert_eq!(deleted.path, Path::new("/a\nb (deleted)"));
            assert!(deleted.is_deleted());
        }

        #[test]
        fn files_are_told_apart_also_where_the_maps_have_other_numbers() {
            let mapped = |path: &str| Mapped { path: path.into(), identity: (1, 1) };
            let (app, gone) = (mapped("/app"), mapped("/app (deleted)"));
            let is =
                |mapped: &Mapped, executed, at_path, link: &str| mapped.is_file(executed, at_path, Some(link.as_ref()));
            // As usual; under overlayfs; deleted; replaced by a file of its old name with the suffix.
            assert!(is(&app, (1, 1), Some((1, 1)), "/app"));
            assert!(is(&app, (2, 1), Some((2, 1)), "/app"));
            assert!(is(&gone, (2, 1), None, "/app (deleted)"));
            assert!(is(&gone, (2, 1), Some((2, 5)), "/app (deleted)"));
            // By the loader, whose link is its own; under valgrind, which says that the link is the program's; deleted there.
            assert!(!is(&app, (2, 9), Some((2, 1)), "/ld.so"));
            assert!(!is(&app, (2, 9), Some((2, 1)), "/app"));
            assert!(!is(&gone, (2, 9), None, "/ld.so"));
        }

        #[test]
        fn this_program_is_what_the_kernel_executed() {
            let maps = std::fs::read(MAPS).unwrap();
            let code = find as *const () as usize;
            assert_eq!(Mapped::at(&maps, main_headers()).unwrap().path, Mapped::at(&maps, code).unwrap().path);
            assert_eq!(find(code), executed());
        }
    }
}
