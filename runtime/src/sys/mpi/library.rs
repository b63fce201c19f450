//! Loads an MPI library, and finds out which ABI it has. It starts nothing.

use std::ffi::{CStr, CString, OsString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStringExt;

use nix::libc;

use super::abi::{Handles, MPICH_HANDLES, MpiFamily, Numbers, PointerHandle, standard_handles};
use super::calls::{Calls, Functions, Symbols};
use super::names::MpiCandidates;

/// An MPI library that was loaded, and has not been started.
pub(crate) struct MpiLibrary {
    pub(super) calls: Box<dyn Calls>,
    pub(super) numbers: Numbers,
    name: String,
    version: String,
}

impl MpiLibrary {
    /// Loads the first library of the candidates that there is.
    ///
    /// # Errors
    ///
    /// None could be loaded, or the library is none whose ABI is known. The text names the remedy.
    pub(crate) fn load(candidates: &MpiCandidates) -> Result<Self, String> {
        let mut failures = Vec::new();
        for name in &candidates.names {
            match Loaded::open(name) {
                Ok(loaded) => return loaded.library(),
                Err(failure) => failures.push(failure),
            }
        }
        Err(candidates.failure(&failures))
    }

    /// The name by which it was loaded.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The first line of what the library says of its version, such as `Open MPI v4.1.4`.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }
}

/// A library in the memory of this process, where it stays.
struct Loaded {
    library: *mut c_void,
    name: String,
}

impl Loaded {
    fn open(name: &OsString) -> Result<Self, String> {
        let shown = name.display().to_string();
        let path = CString::new(name.clone().into_vec()).map_err(|_| format!("{shown:?} has a zero byte"))?;
        // The components that Open MPI loads by itself look for its symbols among those of the whole process.
        let flags = libc::RTLD_NOW | libc::RTLD_GLOBAL;
        // SAFETY: the path is a C string. The constructors of the library run here: it is the one that the user's launcher belongs
        // to, or that the user has named, and is trusted as one that the program is linked with.
        let library = unsafe { libc::dlopen(path.as_ptr(), flags) };
        if !library.is_null() {
            return Ok(Self { library, name: shown });
        }
        // SAFETY: the call returns null, or a C string that stays until the next call of this kind on this thread.
        let error = unsafe { libc::dlerror() };
        if error.is_null() {
            return Err(format!("{shown}: it could not be loaded"));
        }
        // SAFETY: as above.
        Err(unsafe { CStr::from_ptr(error) }.to_string_lossy().into_owned())
    }

    fn library(self) -> Result<MpiLibrary, String> {
        let version = self.version()?;
        let open_mpi = self.symbol(c"ompi_mpi_comm_world");
        let missing =
            |function: String| format!("could not use the MPI library {}: it has no function {function}", self.name);
        let (family, calls): (_, Box<dyn Calls>) = if self.has_standard_abi() {
            // SAFETY: the library says of itself that it has this ABI, and it is never unloaded.
            let functions = unsafe { Functions::find(&self, standard_handles()) }.map_err(missing)?;
            (MpiFamily::Standard, Box::new(functions))
        } else if let Some(world) = open_mpi {
            let handles = self.open_mpi_handles(world).map_err(missing)?;
            // SAFETY: only Open MPI, and what is built from it, exports this symbol. It is never unloaded.
            let functions = unsafe { Functions::find(&self, handles) }.map_err(missing)?;
            (MpiFamily::OpenMpi, Box::new(functions))
        } else {
            // SAFETY: what the library says of its version is that of the family (below), and it is never unloaded.
            let functions = unsafe { Functions::find(&self, MPICH_HANDLES) }.map_err(missing)?;
            (MpiFamily::Mpich, Box::new(functions))
        };
        if !is_known(family, &version) {
            return Err(format!(
                "could not use the MPI library {}: its binary interface is not known, and it says that it is {version:?}: poolmap \
                 knows Open MPI 4 and 5, MPICH 3.1 and later, Intel MPI, Cray MPICH, MVAPICH and the ABI of MPI 5: set \
                 POOLMAP_MPI_LIB to such a library, or use NATS (POOLMAP_ENGINE=nats://HOST:PORT)",
                self.name,
            ));
        }
        Ok(MpiLibrary { calls, numbers: Numbers::of(family), name: self.name, version })
    }

    /// What the library says of itself; that may be asked before MPI is started (MPI 3.0, 8.1.1).
    fn version(&self) -> Result<String, String> {
        type GetVersion = unsafe extern "C" fn(*mut c_char, *mut c_int) -> c_int;
        let Some(address) = self.symbol(c"MPI_Get_library_version") else {
            return Err(format!(
                "could not use the library {}: it is no MPI library of MPI 3.0 or later, as it has no function \
                 MPI_Get_library_version",
                self.name,
            ));
        };
        // SAFETY: it is the function of the standard of this name, which has the same type in every ABI.
        let get = unsafe { std::mem::transmute::<*mut c_void, GetVersion>(address) };
        let mut text = vec![0u8; VERSION_BYTES_MAX];
        let mut length = 0;
        // SAFETY: there is room for the longest text of any ABI (MPI_MAX_LIBRARY_VERSION_STRING is at most 8192), and a number.
        let code = unsafe { get(text.as_mut_ptr().cast(), &raw mut length) };
        if code != 0 {
            return Err(format!("could not use the MPI library {}: it does not report its version", self.name));
        }
        Ok(first_line(&text))
    }

    /// Whether the library has the ABI of MPI 5: others either lack this function, or give a number below 1.
    fn has_standard_abi(&self) -> bool {
        type GetAbiVersion = unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int;
        let Some(address) = self.symbol(c"MPI_Abi_get_version") else { return false };
        // SAFETY: it is the function of MPI 5.0 of this name, which takes two numbers, and may be called before MPI is started.
        let get = unsafe { std::mem::transmute::<*mut c_void, GetAbiVersion>(address) };
        let (mut major, mut minor) = (-1, -1);
        // SAFETY: both numbers are ours.
        let code = unsafe { get(&raw mut major, &raw mut minor) };
        code == 0 && major > 0
    }

    fn open_mpi_handles(&self, world: *mut c_void) -> Result<Handles<PointerHandle>, String> {
        let object = |name: &CStr| self.symbol(name).ok_or_else(|| name.to_string_lossy().into_owned());
        Ok(Handles {
            world: PointerHandle(world),
            byte: PointerHandle(object(c"ompi_mpi_byte")?),
            errors_return: PointerHandle(object(c"ompi_mpi_errors_return")?),
        })
    }
}

impl Symbols for Loaded {
    fn symbol(&self, name: &CStr) -> Option<*mut c_void> {
        // SAFETY: the library is loaded, and the name is a C string.
        let address = unsafe { libc::dlsym(self.library, name.as_ptr()) };
        (!address.is_null()).then_some(address)
    }
}

/// Room for the text of a version, more than any ABI asks for.
const VERSION_BYTES_MAX: usize = 16 * 1024;
/// So much of the text is shown.
const VERSION_CHARS_MAX: usize = 120;

/// The first line with something in it, as it can be shown.
fn first_line(text: &[u8]) -> String {
    let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let line = line.split(", package:").next().unwrap_or_default();
    let line: String =
        line.chars().take(VERSION_CHARS_MAX).map(|char| if char.is_whitespace() { ' ' } else { char }).collect();
    line.replace("MPI VERSION    : ", "").replace("MPICH Version:      ", "MPICH ")
}

/// Whether a library that calls itself so has the ABI of the family that its symbols say.
fn is_known(family: MpiFamily, version: &str) -> bool {
    let makers: &[&str] = match family {
        MpiFamily::Standard => return true,
        MpiFamily::OpenMpi => &["Open MPI"],
        MpiFamily::Mpich => &["MPICH", "Intel(R) MPI", "MVAPICH", "ParaStation"],
    };
    makers.iter().any(|maker| version.contains(maker))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::mpi::names::MpiLauncher;

    fn load(name: &str) -> Result<MpiLibrary, String> {
        MpiLibrary::load(&MpiCandidates::new(Some(name.into()), MpiLauncher::Unknown))
    }

    #[test]
    fn a_library_that_is_missing_or_no_mpi_is_an_error_that_names_it() {
        let said = load("/no/such/libmpi.so").err().unwrap();
        assert!(said.contains("/no/such/libmpi.so"), "{said}");
        let said = load("zero\0byte").err().unwrap();
        assert!(said.contains("POOLMAP_MPI_LIB") || said.contains("musl"), "{said}");
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn a_library_without_mpi_is_an_error_that_says_so() {
        let said = load("libm.so.6").err().unwrap();
        assert!(said.contains("no MPI library"), "{said}");
    }

    #[test]
    fn the_makers_of_known_libraries_are_recognised() {
        let known = [
            (MpiFamily::OpenMpi, "Open MPI v4.1.4, package: Debian OpenMPI, ident: 4.1.4\0"),
            (MpiFamily::Mpich, "MPICH Version:      4.0.2\nMPICH Release date: Thu Apr  7\0"),
            (MpiFamily::Mpich, "Intel(R) MPI Library 2021.9 for Linux* OS\n\0"),
            (MpiFamily::Mpich, "MPI VERSION    : CRAY MPICH version 8.1.28.2 (ANL base 3.4a2)\nMPI BUILD\0"),
            (MpiFamily::Mpich, "MVAPICH2 Version      :\t2.3.7\n\0"),
        ];
        for (family, text) in known {
            assert!(is_known(family, &first_line(text.as_bytes())), "{text}");
        }
        assert!(!is_known(MpiFamily::Mpich, &first_line(b"HPE MPT 2.25  08/27/21 03:11:40\0")));
        assert!(!is_known(MpiFamily::OpenMpi, &first_line(b"IBM Spectrum MPI v10.4, package: x\0")));
        assert_eq!(first_line(known[0].1.as_bytes()), "Open MPI v4.1.4");
        assert_eq!(first_line(known[1].1.as_bytes()), "MPICH 4.0.2");
        assert_eq!(first_line(&[0xff; 9]).chars().count(), 9);
    }
}
