//! One program alone and as the processes of an MPI job: it prints the same, its options mean the same, and however it ends, nothing is
//! left. It needs the launchers of Open MPI and MPICH, and says so loudly where one is missing.

mod common;
#[path = "common/records.rs"]
mod records;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{SOON, is_alive, kill, program, run, text, wait_until};
use records::outputs;

const CLUSTERED: &str = env!("CARGO_BIN_EXE_clustered");
const JOURNALED: &str = env!("CARGO_BIN_EXE_journaled");

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mpi {
    Open,
    Mpich,
}

impl Mpi {
    fn launcher(self) -> &'static str {
        match self {
            Self::Open => "mpirun.openmpi",
            Self::Mpich => "mpiexec.hydra",
        }
    }

    /// The launcher, with nothing of the caller's environment that they could be told by.
    fn command(self) -> Command {
        let mut command = program(self.launcher());
        let own = |name: &str| name.starts_with("POOLMAP_") || name.starts_with("OMPI_") || name.starts_with("PMI");
        for (name, _) in std::env::vars().filter(|(name, _)| own(name)) {
            command.env_remove(name);
        }
        match self {
            Self::Open => {
                command.args(["--allow-run-as-root", "--oversubscribe"]);
                command.env("OMPI_MCA_rmaps_base_oversubscribe", "1");
            }
            Self::Mpich => {}
        }
        command
    }
}

/// The launchers that are there.
fn launchers() -> Vec<Mpi> {
    let is_there = |mpi: &Mpi| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_there = std::env::split_paths(&path).any(|folder| folder.join(mpi.launcher()).exists());
        if !is_there {
            let what = format!("{} is not installed (openmpi-bin, mpich)", mpi.launcher());
            let required = std::env::var("POOLMAP_TEST_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|name| name == "mpi"), "{what}");
            eprintln!("SKIPPED for want of a launcher: {what}");
        }
        is_there
    };
    [Mpi::Open, Mpi::Mpich].into_iter().filter(is_there).collect()
}

/// The processes of the program, by their command line.
fn left(mark: &str) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap();
    let pid = |entry: std::io::Result<std::fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    let has_mark = |pid: &u32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes()) && is_alive(*pid)
    };
    processes.filter_map(pid).filter(has_mark).collect()
}

/// Marks all processes of one job, so that those that are left are found.
struct Mark(String);

impl Mark {
    fn new(name: &str) -> Self {
        Self(format!("CLUSTER_TEST={name}-{}", std::process::id()))
    }

    fn on(&self, command: &mut Command) {
        let (name, value) = self.0.split_once('=').unwrap();
        command.env(name, value);
    }

    fn check_nothing_left(&self) {
        wait_until("every process of the job has ended", || left(&self.0).is_empty());
    }
}

/// The ranks of a job, by their numbers.
fn ranks(mark: &Mark) -> BTreeMap<usize, u32> {
    let rank_of = |pid: u32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
        // A worker has none.
        let rank = environment.split(|&byte| byte == 0).find_map(|variable| {
            let variable = std::str::from_utf8(variable).ok()?;
            variable.strip_prefix("OMPI_COMM_WORLD_RANK=").or_else(|| variable.strip_prefix("PMI_RANK="))
        })?;
        let command = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        ["clustered", "journaled"].contains(&command.trim()).then(|| rank.parse().ok().map(|rank| (rank, pid)))?
    };
    left(&mark.0).into_iter().filter_map(rank_of).collect()
}

/// How a job has ended, and what it has printed.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs a job of so many ranks to its end, of which nothing is left.
fn run_job(mpi: Mpi, ranks: usize, adjust: impl FnOnce(&mut Command)) -> Ended {
    run_job_of(mpi, |command| {
        command.args(["-n", &ranks.to_string()]);
        adjust(command);
    })
}

/// Runs a job whose arguments say how many ranks it has.
fn run_job_of(mpi: Mpi, adjust: impl FnOnce(&mut Command)) -> Ended {
    let mark = Mark::new("job");
    let mut command = mpi.command();
    mark.on(&mut command);
    adjust(&mut command);
    let output = run(&mut command);
    mark.check_nothing_left();
    Ended { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// What the program prints alone.
fn alone(what: &str) -> String {
    let output = run(program(CLUSTERED).arg(what));
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[poolmap::test]
fn a_program_prints_what_it_prints_alone() {
    let guard = common::guard();
    guard.allow(Duration::from_secs(300));
    for what in ["all", "captured"] {
        let expected = alone(what);
        for mpi in launchers() {
            // Where the driver does not compute, all of it is done by others.
            for (driver, nodes) in [(Some("0"), "2"), (None, "3")] {
                if (what == "captured") != driver.is_none() && mpi == Mpi::Mpich {
                    continue;
                }
                let Ended { code, stdout, stderr } = run_job(mpi, 3, |command| {
                    command.args([CLUSTERED, what, nodes]);
                    if let Some(workers) = driver {
                        command.env("POOLMAP_DRIVER_WORKERS", workers);
                    }
                });
                assert_eq!(code, Some(0), "{mpi:?} {what}: {stderr}");
                assert_eq!(stdout, expected, "{mpi:?} {what} {driver:?}: {stderr}");
                assert!(stderr.contains("poolmap: MPI (") && stderr.contains("3 processes"), "{stderr}");
            }
        }
    }
}

#[poolmap::test]
#[ignore = "it starts many jobs: .ci/run asks for it"]
fn tagged_output_names_the_machine() {
    let _guard = common::guard();
    for mpi in launchers() {
        let Ended { stdout, stderr, .. } = run_job(mpi, 3, |command| {
            command.args([CLUSTERED, "tagged", "2"]).env("POOLMAP_DRIVER_WORKERS", "0");
        });
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let mut lines: Vec<String> = stdout.lines().map(str::to_owned).collect();
        lines.sort();
        let expected: Vec<String> =
            (0..3).map(|x| format!("[{} chatty #{x}] task {x} was here", host.trim())).collect();
        assert_eq!(lines, expected, "{mpi:?}: {stderr}");
    }
}

#[poolmap::test]
#[ignore = "it starts many jobs: .ci/run asks for it"]
fn nodes_whose_initializer_fails_are_a_start_failure_of_the_call() {
    let _guard = common::guard();
    for mpi in launchers() {
        let Ended { stdout, stderr, .. } = run_job(mpi, 3, |command| {
            // With one of them, the driver's own workers fail as well.
            if mpi == Mpi::Open {
                command.env("POOLMAP_DRIVER_WORKERS", "0");
            }
            command.args([CLUSTERED, "no-initializer", "2"]);
        });
        assert_eq!(stdout, "start failure true\n", "{mpi:?}: {stderr}");
        assert!(stderr.contains("there is no model"), "{mpi:?}: {stderr}");
    }
}

#[poolmap::test]
fn a_node_whose_pool_cannot_be_made_is_out_of_service() {
    let _guard = common::guard();
    for mpi in launchers() {
        // With another node, and with none.
        for (whole, nodes, driver) in [("2", "2", "0"), ("1", "2", "2")] {
            let Ended { code, stdout, stderr } = run_job_of(mpi, |command| {
                command.env("POOLMAP_DRIVER_WORKERS", driver).args(["-n", whole, CLUSTERED, "slow", nodes]);
                command.args([":", "-n", "1", "env", "POOLMAP_TRANSPORT=pigeons", CLUSTERED]);
            });
            assert_eq!((code, &*stdout), (Some(0), SLEPT), "{mpi:?}: {stderr}");
            let said: Vec<&str> = stderr.lines().filter(|line| line.contains("out of service")).collect();
            assert_eq!(said.len(), 1, "{mpi:?}: {stderr}");
            for part in ["poolmap: node ", "POOLMAP_TRANSPORT", "pigeons", "goes to others", "the job"] {
                assert!(said[0].contains(part), "{mpi:?}: {stderr}");
            }
            assert_eq!(stderr.matches("no node is left").count(), usize::from(driver == "2"), "{mpi:?}: {stderr}");
        }
    }
}

#[poolmap::test]
fn a_node_has_work_for_the_workers_that_the_program_asks_for() {
    let _guard = common::guard();
    for mpi in launchers() {
        let Ended { stdout, stderr, .. } = run_job(mpi, 3, |command| {
            command.args([CLUSTERED, "four-workers", "2"]).env("POOLMAP_DRIVER_WORKERS", "0");
        });
        assert_eq!(stdout, "8 workers, all of them at work true\n", "{mpi:?}: {stderr}");
    }
}

#[poolmap::test]
#[ignore = "it starts many jobs: .ci/run asks for it"]
fn progress_says_how_many_nodes_serve() {
    let _guard = common::guard();
    for mpi in launchers() {
        for (driver, serving) in [("0", "2 nodes, 6 workers"), ("1", "3 nodes, 7 workers")] {
            let Ended { code, stderr, .. } = run_job(mpi, 3, |command| {
                let nodes = if driver == "0" { "2" } else { "3" };
                command.args([CLUSTERED, "progress", nodes]);
                command.env("POOLMAP_DRIVER_WORKERS", driver).env("POOLMAP_WORKERS", "3");
            });
            let said = stderr.lines().find(|line| line.starts_with("sleepy: 6/6 tasks in ")).unwrap_or_default();
            assert!(code == Some(0) && said.ends_with(&format!("/s, {serving}")), "{mpi:?}: {stderr}");
        }
    }
    // Where there is no cluster, there are no nodes.
    let alone = text(&run(program(CLUSTERED).arg("progress")).stderr);
    assert!(alone.starts_with("sleepy: 6/6 tasks in ") && alone.trim_end().ends_with("/s"), "{alone}");
}

#[poolmap::test]
fn the_exit_code_is_the_drivers_and_nothing_is_left() {
    let _guard = common::guard();
    for mpi in launchers() {
        for (what, expected) in [("panic", 101), ("exit", 3), ("nothing", 0)] {
            let Ended { code, stderr, .. } = run_job(mpi, 3, |command| {
                command.args([CLUSTERED, what]);
            });
            assert_eq!(code, Some(expected), "{mpi:?} {what}: {stderr}");
        }
    }
}

/// A job that is at work.
struct Job {
    mpi: Mpi,
    mark: Mark,
    child: Child,
    ranks: BTreeMap<usize, u32>,
}

impl Job {
    fn start(mpi: Mpi, name: &str, what: &str, adjust: impl FnOnce(&mut Command)) -> Self {
        Self::start_of(mpi, name, |command| {
            adjust(command);
            command.args(["-n", "3", CLUSTERED, what, "3"]).stderr(Stdio::piped());
        })
    }

    /// Starts three ranks of a program.
    fn start_of(mpi: Mpi, name: &str, adjust: impl FnOnce(&mut Command)) -> Self {
        let mark = Mark::new(name);
        let mut command = mpi.command();
        mark.on(&mut command);
        adjust(&mut command);
        command.stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut ranks_seen = BTreeMap::new();
        wait_until("the ranks are there", || {
            ranks_seen = ranks(&mark);
            ranks_seen.len() == 3 || child.try_wait().unwrap().is_some()
        });
        Self { mpi, mark, child, ranks: ranks_seen }
    }

    /// Waits until the program says that it has begun.
    fn wait_for_begin(&mut self) {
        let stderr = BufReader::new(self.child.stderr.as_mut().unwrap());
        let mut seen = String::new();
        for line in stderr.lines().map(Result::unwrap) {
            seen.push_str(&line);
            if line.contains("begins") {
                return;
            }
        }
        panic!("{:?} has not begun: {seen}", self.mpi);
    }

    /// Waits for its end; returns the exit code and what it has printed.
    fn end(mut self) -> (Option<i32>, String) {
        let since = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if since.elapsed() > 3 * SOON => {
                    left(&self.mark.0).into_iter().for_each(|pid| kill(pid, "KILL"));
                    panic!("{:?}: the job hangs", self.mpi);
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let mut stdout = String::new();
        std::io::Read::read_to_string(&mut self.child.stdout.take().unwrap(), &mut stdout).unwrap();
        self.mark.check_nothing_left();
        (status.code(), stdout)
    }
}

#[poolmap::test]
#[ignore = "it starts many jobs: .ci/run asks for it"]
fn a_driver_that_is_killed_leaves_nothing() {
    let _guard = common::guard();
    for mpi in launchers() {
        let job = Job::start(mpi, "driver", "hang", |_| {});
        kill(job.ranks[&0], "KILL");
        let (code, _) = job.end();
        assert_ne!(code, Some(0), "{mpi:?}");
    }
}

#[poolmap::test]
#[ignore = "it starts many jobs: .ci/run asks for it"]
fn a_driver_that_is_killed_goes_on_from_its_journal_in_the_next_job() {
    const TASKS: &str = "300";
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let executed = |log: &str| std::fs::read_to_string(path(log)).unwrap_or_default().lines().count();
    let alone = run(program(JOURNALED).args(["map", TASKS]).env("JOURNALED_LOG", path("alone")));
    for mpi in launchers() {
        let names = ["journal", "first", "second"].map(|name| format!("{mpi:?}-{name}"));
        let [journal, first, second] = &names;
        let arguments = |command: &mut Command, log: &str| {
            command.env("POOLMAP_JOURNAL", path(journal)).env("JOURNALED_LOG", path(log));
            command.env("JOURNALED_SLEEP", "10000").env("POOLMAP_DRIVER_WORKERS", "0");
            command.args(["-n", "3", JOURNALED, "map", TASKS]);
        };
        let job = Job::start_of(mpi, "journal", |command| arguments(command, first));
        wait_until("a part of it is in the journal", || outputs(&path(journal)).len() >= 60);
        kill(job.ranks[&0], "KILL");
        let since = Instant::now();
        let (code, _) = job.end();
        eprintln!("{mpi:?}: the job has ended {:?} after its driver, with {code:?}", since.elapsed());
        assert_ne!(code, Some(0), "{mpi:?}");
        let kept = outputs(&path(journal)).len();
        assert!(kept < 300, "{mpi:?}: it was killed too late");
        let again = run_job_of(mpi, |command| arguments(command, second));
        assert_eq!(again.stdout, text(&alone.stdout), "{mpi:?}: {}", again.stderr);
        assert_eq!(executed(second), 300 - kept, "{mpi:?}: no task that is in the journal runs again");
    }
}

#[poolmap::test]
#[ignore = "it starts many jobs: .ci/run asks for it"]
fn an_agent_that_is_killed_ends_a_job_whose_launcher_ends_it() {
    let _guard = common::guard();
    for mpi in launchers() {
        let mut job = Job::start(mpi, "killed", "slow", |_| {});
        job.wait_for_begin();
        kill(job.ranks[&1], "KILL");
        let (code, _) = job.end();
        assert_ne!(code, Some(0), "{mpi:?}");
    }
}

const SLEPT: &str = "slept 1770\n";

#[poolmap::test]
#[ignore = "it starts many jobs: .ci/run asks for it"]
fn what_an_agent_had_that_is_killed_or_stopped_runs_elsewhere_where_the_launcher_goes_on() {
    let _guard = common::guard();
    for mpi in launchers().into_iter().filter(|mpi| *mpi == Mpi::Open) {
        for signal in ["KILL", "STOP"] {
            let mut job = Job::start(mpi, "recovery", "slow", |command| {
                command.arg("--enable-recovery").env("POOLMAP_DEAD", "2s");
            });
            job.wait_for_begin();
            let agent = job.ranks[&1];
            kill(agent, signal);
            let since = Instant::now();
            // The launcher may wait for a stopped process at its end.
            while job.child.try_wait().unwrap().is_none() && since.elapsed() < SOON {
                std::thread::sleep(Duration::from_millis(50));
            }
            kill(agent, "KILL");
            let (_, stdout) = job.end();
            assert_eq!(stdout, SLEPT, "{signal}");
        }
    }
}

#[poolmap::test]
#[ignore = "it starts many jobs: .ci/run asks for it"]
fn an_agent_that_is_asked_to_end_gives_back_what_it_has() {
    let _guard = common::guard();
    for mpi in launchers() {
        let mut job = Job::start(mpi, "asked", "slow", |_| {});
        job.wait_for_begin();
        kill(job.ranks[&2], "TERM");
        let (code, stdout) = job.end();
        assert_eq!((code, stdout.as_str()), (Some(0), SLEPT), "{mpi:?}");
    }
}

/// A copy of the program that says that it is another build.
fn another_build() -> PathBuf {
    const NOTE: &[u8] = b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0";
    let mut bytes = std::fs::read(CLUSTERED).unwrap();
    let note = bytes.windows(NOTE.len()).position(|window| window == NOTE).expect("the linker gives builds a number");
    bytes[note + NOTE.len()] ^= 0xff;
    let path = std::env::temp_dir().join(format!("clustered-{}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[poolmap::test]
#[ignore = "it starts many jobs: .ci/run asks for it"]
fn another_program_on_a_rank_is_refused_and_the_job_goes_on() {
    let _guard = common::guard();
    let copy = another_build();
    let visible = PathBuf::from(env!("CARGO_BIN_EXE_visible"));
    for (other, remedy) in [(&visible, "build both from the same source"), (&copy, "copy the same file to every node")]
    {
        for mpi in launchers() {
            let Ended { code, stdout, stderr } = run_job(mpi, 2, |command| {
                command.args([CLUSTERED, "slow", "2", ":", "-n", "1"]).arg(other);
            });
            assert!(stderr.matches("refused").count() == 2 && stderr.contains(remedy), "{mpi:?}: {stderr}");
            assert_eq!((code, &*stdout), (Some(0), SLEPT), "{mpi:?}: {stderr}");
        }
    }
    std::fs::remove_file(copy).unwrap();
}

#[poolmap::test]
fn a_library_of_another_mpi_than_the_launchers_is_refused_at_once() {
    let _guard = common::guard();
    let both = launchers();
    if both.len() < 2 {
        return;
    }
    for (mpi, library) in [(Mpi::Open, "libmpich.so.12"), (Mpi::Mpich, "libmpi.so.40")] {
        let Ended { code, stdout, stderr } = run_job(mpi, 3, |command| {
            command.env("POOLMAP_MPI_LIB", library).args([CLUSTERED, "slow"]);
        });
        assert_ne!(code, Some(0), "{mpi:?}: {stderr}");
        assert!(stderr.contains("POOLMAP_MPI_LIB") && stdout.is_empty(), "{mpi:?}: {stderr}");
    }
}

#[poolmap::test]
#[ignore = "it starts many jobs: .ci/run asks for it"]
fn without_an_engine_each_rank_is_a_program_of_its_own() {
    let _guard = common::guard();
    for mpi in launchers() {
        let Ended { stdout, stderr, .. } = run_job(mpi, 2, |command| {
            command.env("POOLMAP_ENGINE", "local").args([CLUSTERED, "slow"]);
        });
        assert_eq!(stdout, SLEPT.repeat(2), "{mpi:?}: {stderr}");
    }
}

#[poolmap::test]
fn settings_that_make_no_sense_are_refused_by_name() {
    let _guard = common::guard();
    for (name, value) in [("POOLMAP_ENGINE", "nonsense"), ("POOLMAP_ROLE", "agent"), ("POOLMAP_DEAD", "soon")] {
        let output = run(program(CLUSTERED).arg("nothing").env(name, value));
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.starts_with("poolmap: ") && stderr.contains(name) && stderr.lines().count() == 1, "{stderr}");
    }
}
