//! By what names the MPI library is looked for, and what an error says where there is none. It loads nothing.

use std::ffi::OsString;

/// The program that started this one as a rank, as far as it says which library fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MpiLauncher {
    /// Open MPI's `mpirun`: it sets `OMPI_COMM_WORLD_SIZE`.
    OpenMpi,
    /// MPICH's `mpiexec.hydra`, or `srun --mpi=pmi2`: they set `PMI_RANK`.
    Pmi,
    /// `srun --mpi=pmix`, or another server of PMIx: they set `PMIX_RANK` alone.
    Pmix,
    /// None that is known.
    Unknown,
}

/// The names to try, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MpiCandidates {
    pub(super) names: Vec<OsString>,
    /// Whether a person named the library: then no other is tried.
    is_named: bool,
}

impl MpiCandidates {
    /// The library that a person named (`POOLMAP_MPI_LIB`), or else those that fit the launcher.
    pub(crate) fn new(named: Option<OsString>, launcher: MpiLauncher) -> Self {
        if let Some(name) = named {
            return Self { names: vec![name], is_named: true };
        }
        let families: &[&[&str]] = match launcher {
            MpiLauncher::OpenMpi => &[OPEN_MPI, STANDARD],
            MpiLauncher::Pmi => &[MPICH, STANDARD],
            MpiLauncher::Pmix | MpiLauncher::Unknown => &[OPEN_MPI, MPICH, STANDARD],
        };
        Self { names: families.concat().into_iter().map(OsString::from).collect(), is_named: false }
    }

    /// The error where none of them could be loaded; `failures` is the loader's answer for each.
    pub(super) fn failure(&self, failures: &[String]) -> String {
        let tried: Vec<String> = self.names.iter().map(|name| name.display().to_string()).collect();
        let why = failures.join("; ");
        if CANNOT_LOAD {
            return format!(
                "this program is linked statically with musl, and such a program cannot load an MPI library (tried {}): build it for \
                 a target with a dynamic C library, such as x86_64-unknown-linux-gnu, or set POOLMAP_ENGINE=local",
                tried.join(", "),
            );
        }
        if self.is_named {
            return format!(
                "could not load the MPI library that POOLMAP_MPI_LIB names, {}: {why}: give the path of libmpi of the MPI that \
                 starts this program, or unset the variable",
                tried.join(", "),
            );
        }
        format!(
            "could not load an MPI library; tried {}: {why}: install one (Debian and Ubuntu: apt-get install openmpi-bin, or mpich; \
             clusters: module load openmpi), or set POOLMAP_MPI_LIB to the path of libmpi",
            tried.join(", "),
        )
    }
}

/// Whether this program has a loader at all.
const CANNOT_LOAD: bool = cfg!(all(target_env = "musl", target_feature = "crt-static"));

#[cfg(target_vendor = "apple")]
const OPEN_MPI: &[&str] = &["libmpi.40.dylib"];
#[cfg(target_vendor = "apple")]
const MPICH: &[&str] = &["libmpi.12.dylib", "libmpich.12.dylib"];
#[cfg(target_vendor = "apple")]
const STANDARD: &[&str] = &["libmpi_abi.1.dylib", "libmpi_abi.0.dylib", "libmpi_abi.dylib"];

#[cfg(not(target_vendor = "apple"))]
const OPEN_MPI: &[&str] = &["libmpi.so.40"];
#[cfg(not(target_vendor = "apple"))]
const MPICH: &[&str] = &["libmpi.so.12", "libmpich.so.12"];
/// MPICH 5.0 has number 1, and prereleases had 0.
#[cfg(not(target_vendor = "apple"))]
const STANDARD: &[&str] = &["libmpi_abi.so.1", "libmpi_abi.so.0", "libmpi_abi.so"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_launcher_says_which_families_are_tried() {
        let names = |launcher| MpiCandidates::new(None, launcher).names;
        let has = |launcher, family: &[&str]| names(launcher).iter().any(|name| name == family[0]);
        assert!(has(MpiLauncher::OpenMpi, OPEN_MPI) && !has(MpiLauncher::OpenMpi, MPICH));
        assert!(has(MpiLauncher::Pmi, MPICH) && !has(MpiLauncher::Pmi, OPEN_MPI));
        assert!(has(MpiLauncher::Pmix, MPICH) && has(MpiLauncher::Pmix, OPEN_MPI));
        assert!(has(MpiLauncher::Pmi, STANDARD) && has(MpiLauncher::OpenMpi, STANDARD));
        assert_eq!(MpiCandidates::new(Some("/opt/libmpi.so".into()), MpiLauncher::Pmi).names, ["/opt/libmpi.so"]);
    }

    #[test]
    fn a_failure_names_what_was_tried_and_the_remedy() {
        let said = MpiCandidates::new(None, MpiLauncher::OpenMpi).failure(&["no such file".to_owned()]);
        for part in [OPEN_MPI[0], STANDARD[0]] {
            assert!(said.contains(part), "{said}");
        }
        let said =
            MpiCandidates::new(Some("/opt/x.so".into()), MpiLauncher::Pmix).failure(&["no such file".to_owned()]);
        assert!(said.contains("/opt/x.so"), "{said}");
        if !CANNOT_LOAD {
            assert!(said.contains("POOLMAP_MPI_LIB") && said.contains("no such file"), "{said}");
        }
    }
}
