//! A program that tells what its workers found when they entered: descriptors, environment, folder, terminal.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use nix::libc;
use poolmap::{Pool, Process, pool_map, worker};

/// What descriptor 0 is before `main`.
static FIRST: OnceLock<String> = OnceLock::new();
/// Files that are opened before `init()`.
static LOGS: OnceLock<Vec<File>> = OnceLock::new();

#[used]
#[allow(unsafe_code, reason = "what runs before `main` is what the program is about")]
// SAFETY: the loader calls each function in this section once, before `main`.
#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
static BEFORE_MAIN: extern "C" fn() = {
    extern "C" fn before_main() {
        let _ = FIRST.set(target(0));
    }
    before_main
};

/// What a descriptor of this process is.
fn target(descriptor: RawFd) -> String {
    let path = std::fs::read_link(format!("/proc/self/fd/{descriptor}"));
    path.map_or_else(|error| error.to_string(), |path| path.display().to_string())
}

fn numbers() -> BTreeSet<RawFd> {
    let folder = std::fs::read_dir("/proc/self/fd").expect("it is mounted");
    let all = folder.map(|entry| entry.expect("it can be read").file_name().to_str()?.parse().ok());
    // The one that reads the folder is closed by now.
    all.flatten().filter(|&number| target(number).starts_with('/') || !target(number).contains("No such")).collect()
}

#[worker]
fn look(_task: u32) -> (String, String) {
    std::thread::sleep(Duration::from_millis(1));
    let folder = std::env::current_dir().map_or_else(|error| error.to_string(), |folder| folder.display().to_string());
    (folder, ["ENTERED", "ENTERED_REMOVED"].map(|name| std::env::var(name).unwrap_or_default()).join("+"))
}

#[worker]
fn descriptors(inherited: RawFd) -> Vec<String> {
    let mut said = vec![FIRST.get().cloned().unwrap_or_default(), target(inherited)];
    for log in LOGS.get().into_iter().flatten() {
        let mut log = log;
        let wrote = log.write_all(b"a task\n").is_ok();
        said.push(format!("{wrote} {}", target(log.as_raw_fd())));
    }
    let mut open = numbers();
    for log in LOGS.get().into_iter().flatten() {
        open.remove(&log.as_raw_fd());
    }
    said.push(open.into_iter().map(target).filter(|target| target.contains(".inherited")).collect());
    said
}

#[worker]
fn double(x: u64) -> u64 {
    2 * x
}

/// What becomes of a task that wants something of the terminal.
#[worker]
#[allow(unsafe_code, reason = "the terminal is reached by system calls")]
fn at_terminal(what: &str) -> String {
    let open = || File::options().read(true).write(true).open("/dev/tty").map_err(|error| format!("open: {error}"));
    let done = match what {
        "read" => open().and_then(|mut terminal| {
            let read = terminal.read(&mut [0]);
            read.map(|count| format!("{count} bytes")).map_err(|error| format!("read: {error}"))
        }),
        "read standard error" => {
            let mut byte = 0u8;
            // SAFETY: the pointer is to a byte of ours.
            let read = unsafe { libc::read(libc::STDERR_FILENO, (&raw mut byte).cast(), 1) };
            Ok(format!("{read}"))
        }
        "mode" => {
            let stderr = std::io::stderr();
            let mode = nix::sys::termios::tcgetattr(&stderr);
            let set =
                mode.and_then(|mode| nix::sys::termios::tcsetattr(&stderr, nix::sys::termios::SetArg::TCSANOW, &mode));
            Ok(format!("{set:?}"))
        }
        "write" => {
            let wrote = writeln!(std::io::stderr(), "the task writes");
            Ok(format!("{wrote:?}"))
        }
        "shell" => Command::new("bash")
            .args(["-ic", "echo hello"])
            .output()
            .map_err(|error| error.to_string())
            .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        _ => open().map(|_| "a terminal".to_owned()),
    };
    done.unwrap_or_else(|error| error)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "descriptors") {
        let folder = PathBuf::from(&arguments[1]);
        let logs = (0..3).map(|log| File::create(folder.join(format!("log{log}"))).expect("the folder is there"));
        LOGS.set(logs.collect()).expect("it is set once");
    }
    poolmap::init();
    println!("main runs");
    if let Err(error) = run(&arguments) {
        println!("error {} {error}", error.is_start_failure());
    }
}

fn run(arguments: &[String]) -> poolmap::Result<()> {
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["double"] => println!("{:?}", pool_map!(double, 1..4)?),
        ["process"] => println!("{}", Process::new(double { x: 4 }).start()?.join()?),
        ["descriptors", _] => {
            let inherited = leave_open();
            let pool = Pool::builder().workers(1).build()?;
            println!("{:?}", pool_map!(in &pool, descriptors, [inherited])?[0]);
            println!("{:?}", Process::new(descriptors { inherited }).start()?.join()?);
        }
        ["alike", folder] => alike(folder)?,
        ["umask"] => {
            umask(0o027);
            let pool = Pool::builder().workers(2).max_tasks_per_worker(20).build()?;
            umask(0o077);
            let seen: BTreeSet<String> = pool_map!(in &pool, own_umask, 0..200; chunk_size = 1)?.into_iter().collect();
            println!("{seen:?} {}", Process::new(own_umask { _task: 0 }).start()?.join()?);
        }
        ["large environment"] => {
            set("ENTERED", &"x".repeat(1 << 20));
            Pool::builder().workers(1).build()?;
        }
        ["terminal", what] => {
            let pool = Pool::builder().workers(1).build()?;
            println!("task {}", pool.apply(at_terminal { what: what.to_owned() })?);
        }
        ["terminal", what, daemon] => {
            let process = Process::new(at_terminal { what: what.to_owned() }).daemon(daemon == "daemon");
            println!("task {}", process.start()?.join()?);
        }
        ref other => println!("no such mode: {other:?}"),
    }
    Ok(())
}

/// Sets the umask, and gives the one before.
fn umask(bits: libc::mode_t) -> libc::mode_t {
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(bits)).bits()
}

#[worker]
fn own_umask(_task: u32) -> String {
    let bits = umask(0);
    umask(bits);
    format!("{bits:03o}")
}

/// A descriptor that a careless program lets its children have.
#[allow(unsafe_code, reason = "std makes every descriptor close-on-exec")]
fn leave_open() -> RawFd {
    let path = std::env::temp_dir().join(format!("entered-{}.inherited", std::process::id()));
    let file = File::create(&path).expect("the folder is there");
    std::fs::remove_file(path).expect("it was made just now");
    // SAFETY: the call takes two numbers, and makes a new descriptor, which stays open.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD, 50) }
}

#[allow(unsafe_code, reason = "what a change of the environment does is what the program is about")]
fn set(name: &str, value: &str) {
    // SAFETY: no other thread of this program reads the environment by C functions.
    unsafe { std::env::set_var(name, value) };
}

/// Changes folder and environment after a pool is made, whose workers are replaced; and removes the folder.
fn alike(folder: &str) -> poolmap::Result<()> {
    let change = |to: &str, value: &str| {
        set("ENTERED", value);
        std::env::set_current_dir(to).expect("it is there");
    };
    change(folder, "before");
    set("ENTERED_REMOVED", "kept");
    let pool = Pool::builder().workers(2).max_tasks_per_worker(20).build()?;
    pool.ready()?;
    change("/", "after");
    #[allow(unsafe_code, reason = "as above")]
    // SAFETY: as above.
    unsafe {
        std::env::remove_var("ENTERED_REMOVED");
    }
    let seen: BTreeSet<_> = pool_map!(in &pool, look, 0..200; chunk_size = 1)?.into_iter().collect();
    println!("pool {seen:?}");
    println!("global {:?}", pool_map!(look, [0])?);
    std::fs::remove_dir(folder).expect("it is empty");
    set("ENTERED", "at last");
    let seen: BTreeSet<_> =
        pool_map!(in &pool, look, 0..100; chunk_size = 1)?.into_iter().map(|(_, value)| value).collect();
    println!("removed {seen:?}");
    println!("global {:?}", pool_map!(look, [0])?);
    println!("process {:?}", Process::new(look { _task: 0 }).start()?.join()?);
    Ok(())
}
