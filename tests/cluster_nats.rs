//! One program alone and as a driver and agents that a NATS server connects: it prints the same, whichever of them ends, and however, and
//! nothing is left. It needs `nats-server`, and says so loudly where that is missing.

mod common;
#[path = "common/records.rs"]
mod records;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{SOON, children, is_alive, kill, program, run, text, wait_until};
use records::outputs;

const CLUSTERED: &str = env!("CARGO_BIN_EXE_clustered");
const JOURNALED: &str = env!("CARGO_BIN_EXE_journaled");

/// A server of a test's own, which ends with it.
struct Server {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Server {
    fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let spawned = Command::new("nats-server")
            .args(["-js", "-a", "127.0.0.1", "-p", "-1", "-sd"])
            .arg(folder.path().join("store"))
            .arg("--ports_file_dir")
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = spawned else {
            let required = std::env::var("POOLMAP_TEST_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|name| name == "nats"), "nats-server is missing");
            eprintln!("SKIPPED for want of a server: nats-server is not installed");
            return None;
        };
        let ports = folder.path().join(format!("nats-server_{}.ports", child.id()));
        let port = || fs::read_to_string(&ports).ok()?.split("127.0.0.1:").nth(1)?.split('"').next()?.parse().ok();
        let until = Instant::now() + SOON;
        while port().is_none() {
            assert!(Instant::now() < until, "the server does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        let port = port().unwrap();
        Some(Self { child, folder, port })
    }

    fn command(&self) -> Command {
        self.command_of(CLUSTERED)
    }

    fn command_of(&self, path: &str) -> Command {
        let mut command = program(path);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("POOLMAP_")) {
            command.env_remove(name);
        }
        command.env("POOLMAP_ENGINE", format!("nats://127.0.0.1:{}", self.port));
        command
    }

    fn agent(&self) -> Agent {
        self.agent_with(|_| {})
    }

    fn agent_with(&self, adjust: impl FnOnce(&mut Command)) -> Agent {
        Self::agent_of(self.command(), adjust)
    }

    fn agent_of(mut command: Command, adjust: impl FnOnce(&mut Command)) -> Agent {
        command.env("POOLMAP_ROLE", "agent").env("POOLMAP_WORKERS", "2");
        adjust(&mut command);
        Agent(command.stderr(Stdio::null()).spawn().unwrap())
    }

    /// The streams that are left, but the bucket of sessions.
    fn streams(&self) -> Vec<PathBuf> {
        let folder = self.folder.path().join("store/jetstream/$G/streams");
        let streams = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
        streams.filter(|path| !path.ends_with("KV_pm-SESSIONS")).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An agent, which is killed at the latest when the test ends.
struct Agent(Child);

impl Agent {
    fn workers(&self) -> Vec<u32> {
        children(self.0.id())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn alone(what: &str) -> String {
    text(&run(program(CLUSTERED).arg(what).env("POOLMAP_ENGINE", "local")).stdout)
}

#[test]
fn a_program_prints_what_it_prints_alone_and_leaves_nothing() {
    let Some(server) = Server::start() else { return };
    let agents = [server.agent(), server.agent()];
    for (workers, what) in [("0", "all"), ("2", "all"), ("0", "captured")] {
        let output = run(server.command().args([what, "2"]).env("POOLMAP_DRIVER_WORKERS", workers));
        assert!(output.status.success(), "{output:?}");
        assert_eq!(text(&output.stdout), alone(what));
        assert!(server.streams().is_empty(), "streams are left: {:?}", server.streams());
    }
    // They stay for the next driver.
    for mut agent in agents {
        assert_eq!(agent.0.try_wait().unwrap(), None);
    }
}

#[test]
fn a_node_whose_pool_cannot_be_made_is_out_of_service() {
    let Some(server) = Server::start() else { return };
    let broken = || {
        server.agent_with(|command| {
            command.env("POOLMAP_TRANSPORT", "pigeons");
        })
    };
    let _broken = broken();
    let whole = server.agent();
    let slow = || {
        let output = run(server.command().args(["slow", "2"]).env("POOLMAP_DRIVER_WORKERS", "0"));
        let stderr = text(&output.stderr);
        assert_eq!(text(&output.stdout), alone("slow"), "{stderr}");
        let said: Vec<&str> = stderr.lines().filter(|line| line.contains("out of service")).collect();
        assert_eq!(said.len(), 1, "{stderr}");
        for part in ["poolmap: node ", "POOLMAP_TRANSPORT", "pigeons", "goes to others", "start its agent again"] {
            assert!(said[0].contains(part), "{stderr}");
        }
        stderr
    };
    slow();
    // For the next driver it is a node again, which fails again.
    slow();
    drop(whole);
    let _other = broken();
    let output = run(server.command().args(["slow", "3"]).env("POOLMAP_DRIVER_WORKERS", "2"));
    let stderr = text(&output.stderr);
    assert_eq!(text(&output.stdout), alone("slow"), "{stderr}");
    assert_eq!(stderr.matches("no node is left").count(), 1, "{stderr}");
}

#[test]
fn a_driver_that_no_agent_comes_to_says_so_after_its_time() {
    let Some(server) = Server::start() else { return };
    let mut command = server.command();
    command.arg("slow").env("POOLMAP_DRIVER_WORKERS", "0").env("POOLMAP_ENGINE_WAIT", "1500ms");
    let since = Instant::now();
    let output = run(&mut command);
    let stderr = text(&output.stderr);
    assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{output:?}");
    assert!(since.elapsed() >= Duration::from_millis(1500), "{stderr}");
    for part in ["POOLMAP_ENGINE_WAIT", "1.5s", "POOLMAP_DRIVER_WORKERS=0", "start an agent"] {
        assert!(stderr.contains(part), "{stderr}");
    }
    assert!(server.streams().is_empty(), "streams are left: {:?}", server.streams());
}

#[test]
fn a_driver_that_is_killed_goes_on_from_its_journal() {
    const TASKS: usize = 300;
    let Some(server) = Server::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let [journal, log] = ["journal", "log"].map(|name| folder.path().join(name));
    let of = |log: &Path, command: &mut Command| {
        command.env("JOURNALED_LOG", log).env("JOURNALED_SLEEP", "10000");
    };
    let agent = || Server::agent_of(server.command_of(JOURNALED), |command| of(&log, command));
    let _agents = [agent(), agent()];
    let driver = || {
        let mut command = server.command_of(JOURNALED);
        of(&log, &mut command);
        command.args(["map", &TASKS.to_string()]).env("POOLMAP_JOURNAL", &journal).env("POOLMAP_DRIVER_WORKERS", "0");
        command
    };
    let mut killed = Agent(driver().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    wait_until("the greater part of it is in the journal", || outputs(&journal).len() >= TASKS * 6 / 10);
    killed.0.kill().unwrap();
    killed.0.wait().unwrap();
    let kept = outputs(&journal).len();
    assert!(kept < TASKS, "it was killed too late");
    let again = run(&mut driver());
    let mut alone = program(JOURNALED);
    of(&folder.path().join("alone"), alone.args(["map", &TASKS.to_string()]).env("POOLMAP_ENGINE", "local"));
    assert_eq!(text(&again.stdout), text(&run(&mut alone).stdout), "{}", text(&again.stderr));
    // The agents may go on with what they had of the first driver, which has not come to the journal.
    let log = fs::read_to_string(&log).unwrap();
    let mut executions: BTreeMap<&str, usize> = BTreeMap::new();
    log.lines().for_each(|task| *executions.entry(task).or_default() += 1);
    let twice = executions.values().filter(|count| **count > 1).count();
    assert_eq!(executions.len(), TASKS);
    assert!(twice <= TASKS - kept, "{twice} tasks ran again, of {} that were not in the journal", TASKS - kept);
}

#[test]
fn what_an_agent_had_that_ends_runs_elsewhere() {
    let Some(server) = Server::start() else { return };
    for signal in ["KILL", "TERM"] {
        let mut agents = [server.agent(), server.agent()];
        let mut command = server.command();
        let driver = command.args(["slow", "2"]).env("POOLMAP_DRIVER_WORKERS", "0").env("POOLMAP_GRACE", "1s");
        let driver = driver.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until("the agent has workers", || !agents[0].workers().is_empty());
        let workers = agents[0].workers();
        kill(agents[0].0.id(), signal);
        agents[0].0.wait().unwrap();
        let output = driver.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(text(&output.stdout), alone("slow"), "{signal}");
        wait_until("its workers have ended", || !workers.iter().any(|pid| is_alive(*pid)));
    }
}
