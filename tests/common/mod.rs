//! What every test that starts processes has: a watchdog, and a look at what is left.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod numbers;
pub(crate) mod secrets;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use poolmap::Pool;

/// Longer than any test takes on a busy machine: what takes longer hangs.
const WATCHDOG: Duration = Duration::from_secs(120);
/// What must happen soon must happen within this, also on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Held by a test: while it is, no other test of the program runs, and after it, nothing of the test is left.
pub(crate) struct Guard {
    descriptors: BTreeSet<String>,
    shared_memory: BTreeSet<PathBuf>,
    watchdog: Option<(Sender<Duration>, JoinHandle<()>)>,
    _serial: MutexGuard<'static, ()>,
}

/// Begins a test.
pub(crate) fn guard() -> Guard {
    static SERIAL: Mutex<()> = Mutex::new(());
    let serial = SERIAL.lock().unwrap_or_else(PoisonError::into_inner);
    let (stop, stopped) = channel::<Duration>();
    let watchdog = std::thread::spawn(move || {
        let mut time = WATCHDOG;
        loop {
            match stopped.recv_timeout(time) {
                Ok(more) => time = WATCHDOG + more,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    eprintln!("the test hangs: it took more than {time:?}");
                    std::process::abort();
                }
            }
        }
    });
    Guard {
        descriptors: descriptors(),
        shared_memory: shared_memory(),
        watchdog: Some((stop, watchdog)),
        _serial: serial,
    }
}

impl Guard {
    /// The test is asked to go on for so long.
    pub(crate) fn allow(&self, time: Duration) {
        if let Some((watchdog, _)) = &self.watchdog {
            watchdog.send(time).unwrap();
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        poolmap::shutdown_global();
        if let Some((stop, watchdog)) = self.watchdog.take() {
            drop(stop);
            watchdog.join().unwrap();
        }
        if std::thread::panicking() {
            return;
        }
        // Those for processes end with the last process that was started, or listened to, whoever waits for that; and one that was
        // joined is listed for a moment longer: joining waits for its last memory access, and not for the kernel.
        wait_until("the library's threads have ended", || !threads().iter().any(|name| name.starts_with("poolmap-")));
        assert_eq!(children(std::process::id()), Vec::<u32>::new(), "child processes are left");
        assert_eq!(descriptors(), self.descriptors, "descriptors are left");
        assert_eq!(shared_memory(), self.shared_memory, "shared memory is left");
    }
}

/// The open descriptors of this process, but the one that reads them, the one that glibc opens for a moment where a thread gives memory
/// back, and those of an async runtime: another test may begin its runtime meanwhile. The library opens none of that kind.
pub(crate) fn descriptors() -> BTreeSet<String> {
    let folder = std::fs::read_dir("/proc/self/fd").unwrap();
    folder
        .filter_map(|entry| {
            let entry = entry.unwrap();
            let target = std::fs::read_link(entry.path()).ok()?;
            let target = target.display().to_string();
            let is_passing = target.ends_with("/fd") || target == "/proc/sys/vm/overcommit_memory";
            let is_of_runtime = target == "anon_inode:[eventpoll]" || target == "anon_inode:[eventfd]";
            (!is_passing && !is_of_runtime).then(|| format!("{} -> {target}", entry.file_name().display()))
        })
        .collect()
}

/// The names of the threads of this process.
pub(crate) fn threads() -> BTreeSet<String> {
    let folder = std::fs::read_dir("/proc/self/task").unwrap();
    folder
        .filter_map(|entry| std::fs::read_to_string(entry.unwrap().path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .collect()
}

/// The named shared memory that is this crate's. Other programs come and go with theirs.
fn shared_memory() -> BTreeSet<PathBuf> {
    files("/dev/shm").into_iter().filter(|path| path.to_string_lossy().contains("poolmap")).collect()
}

/// The files of a folder, if there is one.
pub(crate) fn files(folder: impl Into<PathBuf>) -> BTreeSet<PathBuf> {
    std::fs::read_dir(folder.into()).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

/// The child processes of a process, zombies included.
pub(crate) fn children(of: u32) -> Vec<u32> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let Some(pid) = entry.unwrap().file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if status(&process(pid)).is_some_and(|(_, parent)| parent == of) {
            children.push(pid);
        }
    }
    children
}

/// Whether a process runs: it exists, and is no zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    status(&process(pid)).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

/// Whether all threads of a process are stopped by a signal.
pub(crate) fn is_stopped(pid: u32) -> bool {
    let threads = files(format!("/proc/{pid}/task"));
    !threads.is_empty() && threads.iter().all(|thread| status(thread).is_some_and(|(state, _)| state == 'T'))
}

/// Stops a process. A signal that was sent stops nothing yet: until one of its threads runs and takes it, the others go on.
pub(crate) fn stop(pid: u32) {
    kill(pid, "STOP");
    wait_until("it is stopped", || is_stopped(pid));
}

fn process(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}

/// The state and the parent of a process or a thread, from the fields behind its name, which may hold anything.
fn status(folder: &Path) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Waits until something holds, and tells how long it took.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < SOON, "{what}: not within {SOON:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
    start.elapsed()
}

pub(crate) fn pool(workers: usize) -> Pool {
    Pool::builder().workers(workers).build().unwrap()
}

/// A pool whose workers have all said that they are there.
pub(crate) fn ready_pool(workers: usize) -> Pool {
    let pool = pool(workers);
    pool.ready().unwrap();
    pool
}

/// Whether there is memory that processes share, whatever chunks travel by.
pub(crate) fn has_shared_memory() -> bool {
    cfg!(target_os = "linux") && option_env!("POOLMAP_PORTABLE").is_none()
}

/// Whether chunks and results travel through shared memory here, and not over a socket.
pub(crate) fn shares_memory() -> bool {
    has_shared_memory() && std::env::var_os("POOLMAP_TRANSPORT").is_none_or(|transport| transport != "socket")
}

/// Whether the memory of a worker can be limited here.
pub(crate) fn limits_memory() -> bool {
    cfg!(target_os = "linux") && option_env!("POOLMAP_PORTABLE").is_none()
}

/// Whether workers can be copies of a fork server here.
pub(crate) fn has_fork_server() -> bool {
    let is_supported = cfg!(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"));
    is_supported && option_env!("POOLMAP_PORTABLE").is_none()
}

/// A program of tests/bin, with nothing of the caller's that it could be told by: not his terminal, nor what of his environment
/// changes what is printed or how many workers there are.
pub(crate) fn program(path: &str) -> Command {
    let mut command = Command::new(path);
    command.stdin(Stdio::null());
    for variable in ["POOLMAP_WORKERS", "RUST_BACKTRACE", "RUST_LIB_BACKTRACE"] {
        command.env_remove(variable);
    }
    command
}

/// Runs a program to its end, and kills it if it hangs.
pub(crate) fn run(command: &mut Command) -> Output {
    run_within(WATCHDOG / 2, command)
}

/// Runs a program to its end, and kills it if it takes longer than this.
pub(crate) fn run_within(limit: Duration, command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let (done, waiting) = channel::<()>();
    let watchdog = std::thread::spawn(move || {
        if waiting.recv_timeout(limit).is_err_and(|error| error == std::sync::mpsc::RecvTimeoutError::Timeout) {
            kill(pid, "KILL");
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(done);
    watchdog.join().unwrap();
    output
}

/// Does something for each of some jobs, four at a time: most wait for the most part.
pub(crate) fn for_each<T: Send>(jobs: Vec<T>, act: impl Fn(T) + Sync) {
    for_each_of(4, jobs, act);
}

/// Does something for each of some jobs, so many at a time.
pub(crate) fn for_each_of<T: Send>(at_once: usize, jobs: Vec<T>, act: impl Fn(T) + Sync) {
    let jobs = Mutex::new(jobs);
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let Some(job) = jobs.lock().unwrap().pop() else {
                        return;
                    };
                    act(job);
                }
            });
        }
    });
}

/// What a program wrote, as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Sends a signal, by name.
pub(crate) fn kill(pid: u32, signal: &str) {
    let status = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).stderr(Stdio::null()).status();
    status.unwrap();
}

/// A child that is killed and reaped when the test ends, however it ends.
pub(crate) struct Killed(pub(crate) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ends the worker that runs this by SIGSEGV.
#[allow(unsafe_code, reason = "the crash is what tests are about")]
pub(crate) fn segfault() {
    // SAFETY: there is none: the worker that runs this is to be ended by it.
    unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(1) };
}

/// How often, or for how many seconds, something is done: as an environment variable asks for, or so much.
pub(crate) fn asked(variable: &str, otherwise: u64) -> u64 {
    let value = std::env::var(variable).ok();
    value.map_or(otherwise, |value| value.parse().unwrap_or_else(|_| panic!("{variable}={value} is not a number")))
}
