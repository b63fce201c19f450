//! Starts MPI, and checks that its processes are those that the launcher has started.
//!
//! If the library belongs to another MPI than the launcher, then each process is rank 0 of 1 for it: as many drivers, each of which
//! would do all the work. The launcher's own count shows that.

use std::ffi::OsString;

use super::fabric::Fabric;
use super::intake::FabricLimits;
use crate::cluster::environment::Launch;
use crate::sys::{MpiCandidates, MpiLibrary, MpiSession};

/// The exit code of a process that cannot be a part of the job that it was started for.
pub(crate) const EXIT_REFUSED: i32 = 2;

impl Fabric {
    /// Loads the library that `named` names, or one that fits the launcher, and starts MPI on this thread.
    ///
    /// # Errors
    ///
    /// There is no library, it cannot be started, or it is not the launcher's. The process cannot go on as a part of the job then: the
    /// caller prints the text and exits with [`EXIT_REFUSED`].
    pub(crate) fn start(launch: &Launch, named: Option<OsString>) -> Result<Self, String> {
        Self::start_with(launch, named, FabricLimits::default())
    }

    /// The same, with other bounds.
    pub(crate) fn start_with(launch: &Launch, named: Option<OsString>, limits: FabricLimits) -> Result<Self, String> {
        let library = MpiLibrary::load(&MpiCandidates::new(named, launch.mpi_launcher()))?;
        let session = MpiSession::begin(library)?;
        match mismatch(launch, session.rank(), session.size()) {
            Some(what) => Err(format!(
                "{what}: the MPI library {} ({}) is another than the launcher's; start the program by the mpirun, mpiexec or srun of that \
                 library, or set POOLMAP_MPI_LIB to the path of libmpi of the launcher's MPI",
                session.library().name(),
                session.library().version(),
            )),
            None => Ok(Self::new(session, limits)),
        }
    }
}

/// What differs between the launcher's numbers and those of MPI, if anything does.
fn mismatch(launch: &Launch, rank: usize, size: usize) -> Option<String> {
    match launch.size {
        Some(started) if started != size => {
            Some(format!("the launcher has started {started} processes, and MPI connects {size}"))
        }
        Some(_) if launch.rank != rank => {
            Some(format!("the launcher has started this process as number {}, and MPI calls it {rank}", launch.rank))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::environment::LaunchedBy;

    #[test]
    fn another_count_than_the_launchers_is_a_mismatch() {
        let launch = |rank, size| Launch { by: LaunchedBy::OpenMpi, rank, size, local_size: None };
        assert_eq!(mismatch(&launch(1, Some(3)), 1, 3), None);
        assert_eq!(mismatch(&launch(0, None), 2, 3), None);
        assert!(mismatch(&launch(1, Some(3)), 0, 1).unwrap().contains("started 3 processes, and MPI connects 1"));
        assert!(mismatch(&launch(1, Some(3)), 2, 3).unwrap().contains("as number 1"));
    }
}
