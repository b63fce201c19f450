//! Starts this test program as the ranks of an MPI job, waits for its end, and checks that nothing of it is left.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::sys::{MpiCandidates, MpiLauncher, MpiLibrary};

/// The variable that makes a test program a rank, and names its scenario.
pub(super) const SCENARIO: &str = "POOLMAP_TEST_MPI_SCENARIO";
/// The variable that all processes of a job have, with a value of its own.
const JOB: &str = "POOLMAP_TEST_MPI_JOB";
const RANKS: usize = 3;
/// Longer than any job takes on a busy machine.
const WATCHDOG: Duration = Duration::from_secs(240);
/// The launcher's own helpers may end a little after it.
const LEFT_TIME_MAX: Duration = Duration::from_secs(20);

/// A program that starts jobs.
pub(super) enum JobLauncher {
    OpenMpi(PathBuf),
    Hydra(PathBuf),
}

/// A job that has ended.
pub(super) struct Launched {
    pub(super) code: Option<i32>,
    pub(super) said: String,
    pub(super) ranks: usize,
}

/// The launchers of this machine.
pub(super) fn launchers() -> Vec<JobLauncher> {
    let open_mpi = named("POOLMAP_TEST_OPENMPI", &["mpirun.openmpi"]).map(JobLauncher::OpenMpi);
    let hydra = named("POOLMAP_TEST_HYDRA", &["mpiexec.hydra"]).map(JobLauncher::Hydra);
    if open_mpi.is_none() {
        skip("there is no mpirun.openmpi (apt-get install openmpi-bin)");
    }
    if hydra.is_none() {
        skip("there is no mpiexec.hydra (apt-get install mpich)");
    }
    open_mpi.into_iter().chain(hydra).collect()
}

/// Says loudly that something is not tested, or fails where it must be.
pub(super) fn skip(why: &str) {
    let required = std::env::var("POOLMAP_TEST_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|word| word == "mpi"), "POOLMAP_TEST_REQUIRE=mpi, and {why}");
    eprintln!("\n*** SKIPPED: {why} ***\n");
}

/// Whether there is a library of this name.
pub(super) fn can_load(name: &str) -> bool {
    // It is loaded in another process: two libraries of MPI in one would mix up their symbols.
    let test = "cluster::mpi::tests::job::as_a_loader";
    let mut command = this_program(test);
    command.env("POOLMAP_TEST_MPI_LOAD", name).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().unwrap().success()
}

#[test]
fn as_a_loader() {
    if let Some(name) = std::env::var_os("POOLMAP_TEST_MPI_LOAD") {
        MpiLibrary::load(&MpiCandidates::new(Some(name), MpiLauncher::Unknown)).map(drop).unwrap();
    }
}

impl JobLauncher {
    /// Runs a scenario in three ranks, with these variables in all of them.
    pub(super) fn run(&self, scenario: &str, variables: &[(&str, &str)]) -> Launched {
        self.run_ranks(RANKS, scenario, variables)
    }

    /// Runs a scenario in so many ranks.
    pub(super) fn run_ranks(&self, ranks: usize, scenario: &str, variables: &[(&str, &str)]) -> Launched {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let rank = this_program("cluster::mpi::tests::scenarios::as_a_rank");
        let mut command = self.command(ranks);
        command.arg(rank.get_program()).args(rank.get_args());
        command.env(SCENARIO, scenario).env(JOB, &id).env("RUST_BACKTRACE", "0").envs(variables.iter().copied());
        // A file, and no pipe: nobody has to read while it runs, and no process that is left keeps the test waiting.
        let mut output = unnamed_file();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output.try_clone().unwrap());
        let mut child = command.process_group(0).spawn().unwrap();
        let status = wait_for_launcher(&mut child, &id);
        let mut said = Vec::new();
        output.rewind().unwrap();
        output.read_to_end(&mut said).unwrap();
        let said = format!("{scenario} under {:?}:\n{}", command.get_program(), String::from_utf8_lossy(&said));
        let status = status.unwrap_or_else(|| panic!("the job hangs: {said}"));
        let ended = Instant::now();
        while let left @ [_, ..] = &processes_of(&id)[..] {
            if ended.elapsed() > LEFT_TIME_MAX {
                kill(left);
                panic!("processes are left: {left:?}: {said}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Launched { code: status.code(), said, ranks }
    }

    fn command(&self, ranks: usize) -> Command {
        let ranks = ranks.to_string();
        match self {
            Self::OpenMpi(path) => {
                let mut command = Command::new(path);
                command.args(["-n", &ranks, "--oversubscribe", "--allow-run-as-root"]);
                command
            }
            Self::Hydra(path) => {
                let mut command = Command::new(path);
                command.args(["-n", &ranks]);
                command
            }
        }
    }
}

/// Waits for the end of the launcher; kills the whole job if that does not come.
fn wait_for_launcher(child: &mut Child, id: &str) -> Option<ExitStatus> {
    let start = Instant::now();
    loop {
        let status = child.try_wait().unwrap();
        if status.is_some() {
            return status;
        }
        if start.elapsed() > WATCHDOG {
            kill(&processes_of(id));
            child.wait().unwrap();
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// This program, to run one test alone.
fn this_program(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command
}

/// The launcher that a variable names, or one of the search path.
fn named(variable: &str, names: &[&str]) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Some(path.into());
    }
    let path: OsString = std::env::var_os("PATH")?;
    let places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    names.iter().flat_map(|name| places.iter().map(move |place| place.join(name))).find(|file| file.is_file())
}

fn unnamed_file() -> File {
    let path =
        std::env::temp_dir().join(format!("poolmap-mpi-{}-{:?}", std::process::id(), std::thread::current().id()));
    let file = File::options().read(true).append(true).create(true).truncate(false).open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    file
}

/// The processes that have the job's variable, which all of them inherit.
fn processes_of(id: &str) -> Vec<u32> {
    let entry = format!("{JOB}={id}");
    let entries = std::fs::read_dir("/proc").into_iter().flatten();
    let processes = entries.filter_map(|process| process.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let is_of_job = |process: &u32| {
        let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|variable| variable == entry.as_bytes())
    };
    processes.filter(is_of_job).collect()
}

fn kill(processes: &[u32]) {
    for process in processes {
        let _ = Command::new("kill").args(["-KILL", &process.to_string()]).status();
    }
}
