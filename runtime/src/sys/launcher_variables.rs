//! The environment variables that launchers of clusters give to the processes that they start as ranks of a job.
//!
//! A worker of a rank is no rank. If it inherited these variables, then a program that a task starts, or the worker itself, would
//! start MPI as the rank that its parent is, and both would talk to the launcher over one connection.

use std::ffi::OsStr;

/// Each of these, where it is set, says that a launcher has started this process as a rank. (`SLURM_PROCID` is set in a batch script too,
/// which is none.)
const RANKS: [&str; 4] = ["OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "SLURM_STEP_ID"];

/// What the launchers set: Open MPI, PMIx, PMI-1 and PMI-2, PRRTE, Hydra, and the step of `srun`.
const PREFIXES: [&str; 13] = [
    "OMPI_",
    "ORTE_",
    "PMIX_",
    "PMI_",
    "PMI2_",
    "PRTE_",
    "HYDRA_",
    "HYDI_",
    "MPI_",
    "PALS_",
    "SLURM_STEP",
    "SLURM_PMI",
    "SLURM_MPI_TYPE",
];

/// What would make a program that a task starts a node of the same cluster.
const OWN: [&str; 2] = ["POOLMAP_ENGINE", "POOLMAP_ROLE"];

/// Whether a launcher started a process with such an environment as a rank.
pub(crate) fn is_rank(is_set: impl Fn(&str) -> bool) -> bool {
    RANKS.iter().any(|name| is_set(name))
}

/// Whether the workers of a rank must not inherit the variable of this name.
pub(crate) fn is_launcher_variable(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    OWN.iter().any(|own| name == own.as_bytes()) || PREFIXES.iter().any(|prefix| name.starts_with(prefix.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_a_rank_is_left_out_and_the_rest_stays() {
        let gone = [
            "OMPI_COMM_WORLD_RANK",
            "OMPI_MCA_orte_hnp_uri",
            "PMIX_RANK",
            "PMIX_SERVER_URI41",
            "PMI_FD",
            "PMI_RANK",
            "PRTE_LAUNCHED",
            "HYDRA_LAUNCHER",
            "MPI_LOCALRANKID",
            "SLURM_STEP_ID",
            "SLURM_STEPID",
            "SLURM_PMIX_MAPPING_SERV",
            "POOLMAP_ROLE",
        ];
        assert!(gone.iter().all(|name| is_launcher_variable(name.as_ref())));
        let stays =
            ["PATH", "SLURM_JOB_ID", "SLURM_CPUS_PER_TASK", "MPIR_CVAR_X", "OPAL_PREFIX", "I_MPI_ROOT", "PMIX", ""];
        assert!(!stays.iter().any(|name| is_launcher_variable(name.as_ref())));
        // Each variable that makes a rank is itself one of them, or a worker of a worker would be taken for one.
        assert!(RANKS.iter().all(|name| is_launcher_variable(name.as_ref())));
    }

    #[test]
    fn a_batch_script_is_no_rank() {
        let batch = ["SLURM_NTASKS", "SLURM_PROCID", "SLURM_JOB_ID"];
        assert!(!is_rank(|name| batch.contains(&name)));
        assert!(is_rank(|name| name == "SLURM_STEP_ID") && is_rank(|name| name == "PMI_RANK"));
    }
}
