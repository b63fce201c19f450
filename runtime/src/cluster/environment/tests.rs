//! The environments that launchers set, as they were captured (Open MPI 4.1.4 and 5.0.11, MPICH 4.0.2, Slurm 22.05), and what is
//! decided by each. Variables that nothing reads are left out, but for a few.

use super::*;
use crate::sys::MpiLauncher;

const SHELL: &str = "HOME=/home/me\nPATH=/usr/bin";
const OPEN_MPI_4: &str = "
    OMPI_APP_CTX_NUM_PROCS=3\nOMPI_COMM_WORLD_LOCAL_RANK=1\nOMPI_COMM_WORLD_LOCAL_SIZE=2\nOMPI_COMM_WORLD_NODE_RANK=1
    OMPI_COMM_WORLD_RANK=1\nOMPI_COMM_WORLD_SIZE=3\nOMPI_MCA_ess_base_vpid=1\nOMPI_UNIVERSE_SIZE=3
    PMIX_NAMESPACE=1985478657\nPMIX_RANK=1\nPMIX_VERSION=4.2.2rc2";
const OPEN_MPI_4_ALONE: &str = "
    OMPI_COMM_WORLD_LOCAL_RANK=0\nOMPI_COMM_WORLD_LOCAL_SIZE=1\nOMPI_COMM_WORLD_RANK=0\nOMPI_COMM_WORLD_SIZE=1
    OMPI_UNIVERSE_SIZE=2\nPMIX_RANK=0";
const OPEN_MPI_5: &str = "
    OMPI_COMM_WORLD_LOCAL_RANK=0\nOMPI_COMM_WORLD_LOCAL_SIZE=2\nOMPI_COMM_WORLD_RANK=0\nOMPI_COMM_WORLD_SIZE=2
    OMPI_VERSION=5.0.11\nOMPI_WORLD_LOCAL_SIZE=2\nOMPI_WORLD_SIZE=2\nPMIX_NAMESPACE=prterun-vm-17101@1\nPMIX_RANK=0
    PRTE_LAUNCHED=1";
const HYDRA: &str = "
    MPI_LOCALNRANKS=2\nMPI_LOCALRANKID=1\nMPIR_CVAR_CH3_INTERFACE_HOSTNAME=vm\nPMI_FD=8\nPMI_RANK=1\nPMI_SIZE=2";
const BATCH: &str = "
    SLURM_JOB_ID=3\nSLURM_LOCALID=0\nSLURM_NODEID=0\nSLURM_NPROCS=3\nSLURM_NTASKS=3\nSLURM_PROCID=0
    SLURM_TASKS_PER_NODE=2,1";
const STEP: &str = "
    SLURM_JOB_ID=1\nSLURM_LOCALID=0\nSLURM_NODEID=1\nSLURM_NPROCS=3\nSLURM_NTASKS=3\nSLURM_PROCID=2\nSLURM_STEPID=0
    SLURM_STEP_ID=0\nSLURM_STEP_NUM_NODES=2\nSLURM_STEP_NUM_TASKS=3\nSLURM_STEP_TASKS_PER_NODE=2,1";
const PMI_2: &str = "PMI_FD=11\nPMI_JOBID=2.0\nPMI_RANK=2\nPMI_SIZE=3\nSLURM_MPI_TYPE=pmi2";
const PMIX: &str = "
    PMIX_NAMESPACE=slurm.pmix.4.0\nPMIX_RANK=2\nPMIX_VERSION=4.2.2rc2\nSLURM_MPI_TYPE=pmix
    SLURM_PMIX_MAPPING_SERV=(vector,(0,1,2),(1,1,1))";
const KUBERNETES: &str = "JOB_COMPLETION_INDEX=4\nKUBERNETES_SERVICE_HOST=10.0.0.1\nHOSTNAME=job-4-x";

fn plan(parts: &[&str]) -> Result<ClusterPlan> {
    ClusterPlan::new(&EnvironmentSnapshot::parse(&parts.join("\n")))
}

fn decided(parts: &[&str]) -> (EngineChoice, ClusterRole, Launch) {
    let plan = plan(parts).unwrap();
    (plan.engine, plan.role, plan.launch)
}

fn launch(by: LaunchedBy, rank: usize, size: Option<usize>, local_size: Option<usize>) -> Launch {
    Launch { by, rank, size, local_size }
}

#[test]
fn each_launcher_decides_engine_role_and_counts() {
    use EngineChoice::{Local, Mpi};
    let nothing = launch(LaunchedBy::Nothing, 0, Some(1), Some(1));
    let table = [
        (vec![SHELL], Local, Driver, nothing),
        (vec![OPEN_MPI_4], Mpi, Agent, launch(LaunchedBy::OpenMpi, 1, Some(3), Some(2))),
        (vec![OPEN_MPI_4_ALONE], Local, Driver, launch(LaunchedBy::OpenMpi, 0, Some(1), Some(1))),
        (vec![OPEN_MPI_5], Mpi, Driver, launch(LaunchedBy::OpenMpi, 0, Some(2), Some(2))),
        (vec![HYDRA], Mpi, Agent, launch(LaunchedBy::Pmi, 1, Some(2), Some(2))),
        // A batch script is no step (the number of its tasks is set there too), and mpirun in it is what counts.
        (vec![BATCH], Local, Driver, nothing),
        (vec![BATCH, OPEN_MPI_4], Mpi, Agent, launch(LaunchedBy::OpenMpi, 1, Some(3), Some(2))),
        (vec![BATCH, HYDRA], Mpi, Agent, launch(LaunchedBy::Pmi, 1, Some(2), Some(2))),
        (vec![STEP, PMI_2], Mpi, Agent, launch(LaunchedBy::Pmi, 2, Some(3), Some(1))),
        (vec![STEP, PMIX], Mpi, Agent, launch(LaunchedBy::Pmix, 2, Some(3), Some(1))),
        (vec![STEP, PMIX, HYDRA], Mpi, Agent, launch(LaunchedBy::Pmi, 1, Some(2), Some(2))),
        // A server of PMIx alone does not say how many there are.
        (vec!["PMIX_RANK=0"], Mpi, Driver, launch(LaunchedBy::Pmix, 0, None, None)),
        (vec![STEP, "PMI_CONTROL_PORT=20"], Mpi, Agent, launch(LaunchedBy::Pmi, 2, Some(3), Some(1))),
        (vec![KUBERNETES], Local, Driver, launch(LaunchedBy::Kubernetes, 4, None, Some(1))),
    ];
    for (parts, engine, role, launch) in table {
        assert_eq!(decided(&parts), (engine, role, launch), "{parts:?}");
    }
}

#[test]
fn a_step_without_a_process_manager_is_refused_in_one_line() {
    for asked in ["", "POOLMAP_ENGINE=auto", "POOLMAP_ENGINE=mpi"] {
        let said = plan(&[STEP, asked]).unwrap_err().to_string();
        assert!(said.contains("`srun --mpi=pmix`") && said.contains("`srun --mpi=pmi2`"), "{said}");
        assert!(!said.contains('\n') && said.contains("3 tasks"), "{said}");
    }
    // A step of one task, an interactive shell in one, a step with another engine, and tasks that are programs of their own.
    let one = STEP.replace("SLURM_STEP_NUM_TASKS=3", "SLURM_STEP_NUM_TASKS=1").replace("PROCID=2", "PROCID=0");
    assert_eq!(decided(&[&one]).0, EngineChoice::Local);
    assert_eq!(decided(&[STEP, "POOLMAP_ENGINE=nats://h:4222"]).1, Agent);
    let (engine, role, _) = decided(&[STEP, "POOLMAP_ENGINE=local"]);
    assert_eq!((engine, role), (EngineChoice::Local, Driver));
}

#[test]
fn local_makes_each_rank_a_program_of_its_own() {
    for launcher in [OPEN_MPI_4, HYDRA, PMIX, "PMI_RANK=nonsense\nPMI_SIZE=3"] {
        let (engine, role, launch) = decided(&[launcher, "POOLMAP_ENGINE=local"]);
        assert_eq!((engine, role, launch.rank), (EngineChoice::Local, Driver, 0));
    }
    let said = plan(&["PMI_RANK=nonsense\nPMI_SIZE=3"]).unwrap_err().to_string();
    assert!(said.contains("PMI_RANK") && said.contains("POOLMAP_ENGINE=local"), "{said}");
}

#[test]
fn nats_takes_its_roles_from_ranks_or_from_the_variable() {
    let nats = "POOLMAP_ENGINE=tls://me:secret@host:4222";
    assert_eq!(decided(&[nats]).1, Driver);
    assert_eq!(decided(&[nats, KUBERNETES]).1, Agent);
    assert_eq!(decided(&[nats, STEP]).1, Agent);
    assert_eq!(decided(&[nats, "POOLMAP_ROLE=agent"]).1, Agent);
    assert_eq!(decided(&[nats, KUBERNETES, "POOLMAP_ROLE=driver"]).1, Driver);
    let plan = plan(&[nats]).unwrap();
    let EngineChoice::Nats(address) = &plan.engine else { panic!("{:?}", plan.engine) };
    assert_eq!(address.secret(), "tls://me:secret@host:4222");
    assert!(!format!("{plan:?}{}", plan.engine).contains("secret"), "a password is shown");
}

#[test]
fn roles_that_cannot_be_are_refused() {
    let cases = [
        (vec!["POOLMAP_ROLE=agent"], "no driver"),
        (vec!["POOLMAP_ROLE=agent", OPEN_MPI_5], "rank 0 is the driver"),
        (vec!["POOLMAP_ROLE=driver", OPEN_MPI_4], "rank 0 is the driver"),
        (vec!["POOLMAP_ROLE=worker"], "auto or driver or agent"),
        (vec!["POOLMAP_ENGINE=redis://h"], "nats://HOST:PORT"),
        (vec!["POOLMAP_ENGINE=nats://"], "nats://HOST:PORT"),
        (vec!["POOLMAP_ENGINE=nats://me:secret@"], "nats://HOST:PORT"),
        (vec!["POOLMAP_ENGINE=MPI"], "mpi"),
        (vec!["POOLMAP_LEASE=soon"], "POOLMAP_LEASE"),
    ];
    for (parts, expected) in cases {
        let said = plan(&parts).unwrap_err().to_string();
        assert!(said.contains(expected) && !said.contains("secret"), "{said}");
    }
    assert_eq!(decided(&["POOLMAP_ROLE=driver"]).1, Driver);
    assert_eq!(decided(&["POOLMAP_ROLE=agent", OPEN_MPI_4]).1, Agent);
    assert_eq!(decided(&["POOLMAP_ROLE=\nPOOLMAP_ENGINE="]).1, Driver);
}

#[test]
fn the_reasons_are_whole_sentences() {
    for parts in [vec![SHELL], vec![OPEN_MPI_4], vec![STEP, PMIX], vec!["POOLMAP_ENGINE=local"], vec![KUBERNETES]] {
        let plan = plan(&parts).unwrap();
        assert!(plan.explanations.len() >= 2, "{:?}", plan.explanations);
        let is_sentence = |text: &String| text.ends_with('.') && text.starts_with(char::is_uppercase);
        assert!(plan.explanations.iter().all(is_sentence), "{:?}", plan.explanations);
    }
}

#[test]
fn the_library_follows_the_launcher() {
    let fits = |parts: &[&str]| plan(parts).unwrap().launch.mpi_launcher();
    assert_eq!(fits(&[OPEN_MPI_4]), MpiLauncher::OpenMpi);
    assert_eq!(fits(&[HYDRA]), MpiLauncher::Pmi);
    assert_eq!(fits(&[STEP, PMI_2]), MpiLauncher::Pmi);
    assert_eq!(fits(&[STEP, PMIX]), MpiLauncher::Pmix);
    assert_eq!(fits(&["POOLMAP_ENGINE=mpi"]), MpiLauncher::Unknown);
}
