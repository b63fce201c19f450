//! A server of a test's own, on a port that the system chooses, with a folder of its own. It ends with the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A loaded machine is slow.
const START_TIME: Duration = Duration::from_secs(60);

pub(super) struct Server {
    child: Option<Child>,
    folder: PathBuf,
    extra: Vec<String>,
    pub(super) port: u16,
}

/// Whether there is a server to test with. Says so where there is none; an error where `POOLMAP_TEST_REQUIRE` asks for it.
pub(super) fn has_server() -> bool {
    let is_here = Command::new("nats-server").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !is_here {
        let required = std::env::var("POOLMAP_TEST_REQUIRE").unwrap_or_default();
        assert!(
            !required.split(',').any(|name| name == "nats"),
            "nats-server is missing, and POOLMAP_TEST_REQUIRE asks for it"
        );
        eprintln!("SKIPPED: nats-server is missing (apt-get install nats-server)");
    }
    is_here
}

/// A folder that no other test has.
pub(super) fn folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("poolmap-nats-{}-{number}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

impl Server {
    /// A server with JetStream.
    pub(super) fn start() -> Self {
        Self::with(&["-js"], folder())
    }

    pub(super) fn with(extra: &[&str], folder: PathBuf) -> Self {
        let extra = extra.iter().map(|arg| (*arg).to_owned()).collect();
        let mut server = Self { child: None, folder, extra, port: 0 };
        server.run();
        server
    }

    pub(super) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Kills it: it has no moment to write anything.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again, on the same port, with the same files.
    pub(super) fn run(&mut self) {
        let port = if self.port == 0 { "-1".to_owned() } else { self.port.to_string() };
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log")).unwrap();
        let child = Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-p", &port, "-sd"])
            .arg(self.folder.join("store"))
            .arg("--ports_file_dir")
            .arg(&self.folder)
            .args(&self.extra)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let ports = self.folder.join(format!("nats-server_{}.ports", child.id()));
        self.child = Some(child);
        let until = Instant::now() + START_TIME;
        loop {
            let text = fs::read_to_string(&ports).unwrap_or_default();
            let port = text.split("127.0.0.1:").nth(1).and_then(|rest| rest.split('"').next()?.parse().ok());
            if let Some(port) = port {
                self.port = port;
                return;
            }
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < until, "the server does not start: {}", log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}
