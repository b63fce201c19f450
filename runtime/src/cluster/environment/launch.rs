//! Which launcher has started this process, if any, and as which of how many: by the variables that each sets.
//!
//! 1. The variables of the launcher that is nearest to the process count. `mpirun` and `mpiexec` run inside a step or a batch script of
//!    Slurm, never the other way round, so theirs are read first.
//! 2. `SLURM_NTASKS` and `SLURM_PROCID` are set in a batch script too, where `./app` is no step: a step is a process with
//!    `SLURM_STEP_ID`, of `SLURM_STEP_NUM_TASKS`.
//! 3. A step that has no variable of a process manager (`srun --mpi=none`) cannot start MPI.

use super::snapshot::EnvironmentSnapshot;
use super::value;
use crate::error::Result;
use crate::sys::MpiLauncher;

/// More processes than any job has.
const RANKS_MAX: usize = 1 << 24;

/// How a process was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Launch {
    pub(crate) by: LaunchedBy,
    /// This process's number, from 0.
    pub(crate) rank: usize,
    /// How many processes were started, where the launcher says that.
    pub(crate) size: Option<usize>,
    /// How many of them are on this machine, where the launcher says that.
    pub(crate) local_size: Option<usize>,
}

/// The kind of a launcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LaunchedBy {
    /// Open MPI's `mpirun`.
    OpenMpi,
    /// MPICH's `mpiexec.hydra` or another that speaks PMI-1 or PMI-2: `srun --mpi=pmi2`, or that of Cray.
    Pmi,
    /// `srun --mpi=pmix`, or another server of PMIx.
    Pmix,
    /// `srun` without a process manager.
    SlurmStep,
    /// A pod of a Kubernetes Job with an index.
    Kubernetes,
    /// A shell, a service manager, a batch script, a program.
    Nothing,
}

impl Launch {
    /// Reads the variables of the launchers.
    ///
    /// # Errors
    ///
    /// One has a value that no launcher sets.
    pub(crate) fn read(variables: &EnvironmentSnapshot) -> Result<Self> {
        let step = SlurmStep::read(variables)?;
        let pair = |rank: &str, size: &str| -> Result<Option<(usize, usize)>> {
            let numbers = (count(variables, rank, 0)?, count(variables, size, 1)?);
            match numbers {
                (Some(number), Some(all)) if number >= all => {
                    let allowed = format!("less than `{size}` ({all})");
                    Err(value::refused(rank, &allowed, &number.to_string()))
                }
                (Some(number), Some(all)) => Ok(Some((number, all))),
                _ => Ok(None),
            }
        };
        if let Some((rank, size)) = pair("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")? {
            let local_size = count(variables, "OMPI_COMM_WORLD_LOCAL_SIZE", 1)?;
            return Ok(Self { by: LaunchedBy::OpenMpi, rank, size: Some(size), local_size });
        }
        if let Some((rank, size)) = pair("PMI_RANK", "PMI_SIZE")? {
            let local_size = count(variables, "MPI_LOCALNRANKS", 1)?;
            let local_size = local_size.or(step.as_ref().and_then(|step| step.local_size));
            return Ok(Self { by: LaunchedBy::Pmi, rank, size: Some(size), local_size });
        }
        if let Some(rank) = count(variables, "PMIX_RANK", 0)? {
            let step = step.filter(|step| step.rank == rank);
            let (size, local_size) = step.map_or((None, None), |step| (Some(step.size), step.local_size));
            return Ok(Self { by: LaunchedBy::Pmix, rank, size, local_size });
        }
        if let Some(SlurmStep { rank, size, local_size }) = step {
            // Cray's plug-in of Slurm gives the rank by Slurm's own variables.
            let by = if variables.has("PMI_CONTROL_PORT") { LaunchedBy::Pmi } else { LaunchedBy::SlurmStep };
            return Ok(Self { by, rank, size: Some(size), local_size });
        }
        if let Some(rank) = count(variables, "JOB_COMPLETION_INDEX", 0)? {
            return Ok(Self { by: LaunchedBy::Kubernetes, rank, size: None, local_size: Some(1) });
        }
        Ok(Self { by: LaunchedBy::Nothing, rank: 0, size: Some(1), local_size: Some(1) })
    }

    /// Whether the launcher has started a job of several processes that MPI can connect.
    pub(super) fn is_mpi_job(&self) -> bool {
        match self.by {
            LaunchedBy::OpenMpi | LaunchedBy::Pmi | LaunchedBy::Pmix => self.size != Some(1),
            LaunchedBy::SlurmStep | LaunchedBy::Kubernetes | LaunchedBy::Nothing => false,
        }
    }

    /// What the launcher says of the MPI library that fits it.
    pub(crate) fn mpi_launcher(&self) -> MpiLauncher {
        match self.by {
            LaunchedBy::OpenMpi => MpiLauncher::OpenMpi,
            LaunchedBy::Pmi => MpiLauncher::Pmi,
            LaunchedBy::Pmix => MpiLauncher::Pmix,
            LaunchedBy::SlurmStep | LaunchedBy::Kubernetes | LaunchedBy::Nothing => MpiLauncher::Unknown,
        }
    }

    /// A sentence that says how this process was started.
    pub(super) fn explanation(&self) -> String {
        let by = match self.by {
            LaunchedBy::OpenMpi => "mpirun of Open MPI (OMPI_COMM_WORLD_RANK)",
            LaunchedBy::Pmi => "a launcher with PMI (PMI_RANK)",
            LaunchedBy::Pmix => "a launcher with PMIx (PMIX_RANK)",
            LaunchedBy::SlurmStep => "srun without a process manager (SLURM_STEP_ID)",
            LaunchedBy::Kubernetes => "a Kubernetes Job with an index (JOB_COMPLETION_INDEX)",
            LaunchedBy::Nothing => return "No launcher of a cluster has started this process.".to_owned(),
        };
        let size = self.size.map_or_else(|| "an unknown number".to_owned(), |size| size.to_string());
        let local = self.local_size.map_or(String::new(), |local| format!(", {local} of them on this machine"));
        format!("This process was started by {by} as number {} of {size}{local}.", self.rank)
    }
}

/// A step of Slurm.
struct SlurmStep {
    rank: usize,
    size: usize,
    local_size: Option<usize>,
}

impl SlurmStep {
    fn read(variables: &EnvironmentSnapshot) -> Result<Option<Self>> {
        if !variables.has("SLURM_STEP_ID") {
            return Ok(None);
        }
        let (rank, size) = (count(variables, "SLURM_PROCID", 0)?, count(variables, "SLURM_STEP_NUM_TASKS", 1)?);
        let (Some(rank), Some(size)) = (rank, size) else { return Ok(None) };
        let node = count(variables, "SLURM_NODEID", 0)?;
        let tasks = variables.get("SLURM_STEP_TASKS_PER_NODE").and_then(|tasks| tasks.to_str());
        let local_size = node.zip(tasks).and_then(|(node, tasks)| tasks_on_node(tasks, node));
        Ok(Some(Self { rank, size, local_size }))
    }
}

/// The tasks on a node, of a list such as `2(x3),1`: two on each of three nodes, and one on the fourth.
fn tasks_on_node(tasks: &str, node: usize) -> Option<usize> {
    let mut before = 0usize;
    for part in tasks.split(',') {
        let (tasks, nodes) = match part.split_once("(x") {
            Some((tasks, nodes)) => (tasks, nodes.strip_suffix(')')?.parse().ok()?),
            None => (part, 1usize),
        };
        before = before.checked_add(nodes)?;
        if node < before {
            return tasks.trim().parse().ok();
        }
    }
    None
}

fn count(variables: &EnvironmentSnapshot, name: &str, least: usize) -> Result<Option<usize>> {
    value::number(variables, name, least..=RANKS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tasks_of_a_node_are_read_from_slurms_list() {
        let on = |node| tasks_on_node("2(x3),1,4(x2)", node);
        assert_eq!([on(0), on(2), on(3), on(4), on(5), on(6)], [Some(2), Some(2), Some(1), Some(4), Some(4), None]);
        for text in ["", "x", "2(x", "2(x3", "2(xa)", "(x3)", "2(x99999999999999999999)"] {
            assert_eq!(tasks_on_node(text, 0), None, "{text}");
        }
    }

    #[test]
    fn a_rank_that_cannot_be_is_an_error() {
        for (name, value) in [("PMI_RANK", "3"), ("PMI_RANK", "-1"), ("PMI_SIZE", "0"), ("PMI_RANK", "two")] {
            let mut variables = vec![("PMI_RANK", "0"), ("PMI_SIZE", "3")];
            variables.retain(|(other, _)| *other != name);
            variables.push((name, value));
            let said = Launch::read(&EnvironmentSnapshot::of(&variables)).unwrap_err().to_string();
            assert!(said.contains(name) && said.contains(value), "{said}");
        }
    }
}
