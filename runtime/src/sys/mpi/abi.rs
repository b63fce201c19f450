//! The three binary interfaces of MPI: what differs between the libraries, as data. It calls nothing.
//!
//! Each is a promise of its makers:
//!
//! - Open MPI 4 and 5: a handle is the address of an object that the library exports.
//! - The MPICH ABI Compatibility Initiative of 2014 (MPICH 3.1 and later, Intel MPI, Cray MPICH, MVAPICH, ParaStation): a handle is
//!   an `int`, and the numbers are those of `mpi.h`.
//! - The ABI of the MPI standard 5.0 (MPICH 5, Open MPI 6): a handle is a pointer whose value the standard gives (`mpi_abi.h`).

use std::ffi::{c_int, c_void};

/// The makers of an MPI library, as far as they share one binary interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MpiFamily {
    OpenMpi,
    Mpich,
    Standard,
}

/// A handle where it is a pointer: Open MPI, and the standard ABI.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct PointerHandle(pub(super) *mut c_void);

// SAFETY: the address, or the number in its place, is handed to the library and never dereferenced here.
unsafe impl Send for PointerHandle {}

/// A handle where it is a number: the MPICH family.
pub(super) type NumberHandle = c_int;

/// What a library takes for the handles that exist from the start.
#[derive(Clone, Copy)]
pub(super) struct Handles<H> {
    pub(super) world: H,
    pub(super) byte: H,
    pub(super) errors_return: H,
}

/// The handles of the MPICH family (`mpi.h` of MPICH 3.1 to 5.0).
pub(super) const MPICH_HANDLES: Handles<NumberHandle> =
    Handles { world: 0x4400_0000, byte: 0x4c00_010d, errors_return: 0x5400_0001 };

/// The handles of the standard ABI (`mpi_abi.h`).
pub(super) fn standard_handles() -> Handles<PointerHandle> {
    let handle = |number: usize| PointerHandle(std::ptr::without_provenance_mut(number));
    Handles { world: handle(0x101), byte: handle(0x247), errors_return: handle(0x143) }
}

/// The numbers of an ABI that are no handles.
#[derive(Clone, Copy)]
pub(super) struct Numbers {
    pub(super) any_source: c_int,
    pub(super) any_tag: c_int,
    pub(super) thread_funneled: c_int,
    /// Where in a status, counted in `int`s, the source is; the tag follows.
    pub(super) status_source: usize,
    /// The error class of a peer that has died, where the library detects that (ULFM).
    pub(super) class_process_failed: Option<c_int>,
}

impl Numbers {
    pub(super) const fn of(family: MpiFamily) -> Self {
        match family {
            MpiFamily::OpenMpi => Self {
                any_source: -1,
                any_tag: -1,
                thread_funneled: 1,
                status_source: 0,
                class_process_failed: Some(75),
            },
            MpiFamily::Mpich => Self {
                any_source: -2,
                any_tag: -1,
                thread_funneled: 1,
                status_source: 2,
                // MPIX_ERR_PROC_FAILED: MPICH_ERR_FIRST_MPIX + 1.
                class_process_failed: Some(101),
            },
            // The levels of thread support are spaced out there.
            MpiFamily::Standard => Self {
                any_source: -1,
                any_tag: -2,
                thread_funneled: 1024,
                status_source: 0,
                class_process_failed: None,
            },
        }
    }
}

/// A status of any ABI: 20 to 32 bytes, of which the source and the tag are read.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub(super) struct RawStatus([c_int; 32]);

impl RawStatus {
    pub(super) const fn new() -> Self {
        Self([0; 32])
    }

    pub(super) fn source(&self, numbers: &Numbers) -> c_int {
        self.0[numbers.status_source]
    }

    pub(super) fn tag(&self, numbers: &Numbers) -> c_int {
        self.0[numbers.status_source + 1]
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut c_void {
        (&raw mut self.0).cast()
    }

    pub(super) fn as_ptr(&self) -> *const c_void {
        (&raw const self.0).cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_room_for_that_of_each_abi() {
        // Open MPI: 24 bytes, MPICH: 20, the standard: 32.
        assert!(size_of::<RawStatus>() >= 32 * 4);
        for family in [MpiFamily::OpenMpi, MpiFamily::Mpich, MpiFamily::Standard] {
            let numbers = Numbers::of(family);
            let mut status = RawStatus::new();
            status.0[numbers.status_source] = 7;
            status.0[numbers.status_source + 1] = 9;
            assert_eq!((status.source(&numbers), status.tag(&numbers)), (7, 9));
        }
    }
}
