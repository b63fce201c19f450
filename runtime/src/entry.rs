//! Where a process of the program turns out to be a worker, or goes on as itself.

use std::io::Write;

use crate::child::{self, EntryPoint, Marker};
use crate::{cluster, functions, pool, process, sys, worker};

/// Serves tasks and never returns in a worker; returns at once in any other process.
///
/// Make it the first statement of `main`, by hand or through [`#[poolmap::main]`](crate::main). Statements before it run in every
/// worker too. In tests, [`#[poolmap::test]`](crate::test) calls it.
///
/// A program that calls it by hand does not wait for a [`Process`](crate::Process) at the end of `main`: join the processes there.
/// Daemons and workers end with the program.
///
/// A worker starts with `/dev/null` as its standard input, with the standard output and error of its parent, with its channel as
/// descriptor 3, and with no other descriptor of its parent; `init` closes none. `init` removes an environment variable, so start
/// no thread before it that accesses the environment through C functions. A worker gives up the controlling terminal: a task that reads
/// the terminal gets an error. (A [`Process`](crate::Process) that is not a daemon keeps it.)
///
/// If that variable (`_POOLMAP_WORKER_OF`) names a process that did not start this one, this process prints the reason and exits with
/// code 70. A program with more rights than its user (set-user-ID, set-group-ID, file capabilities) reads nothing of this crate from
/// its environment, is never a worker, and cannot make pools.
///
/// # Examples
///
/// ```
/// use poolmap::{pool_map, worker};
///
/// #[worker]
/// fn square(x: u64) -> u64 {
///     x * x
/// }
///
/// fn main() -> poolmap::Result<()> {
///     poolmap::init();
///     assert_eq!(pool_map!(square, 1..4)?, [1, 4, 9]);
///     Ok(())
/// }
/// ```
pub fn init() {
    enter(EntryPoint::Main);
}

/// Serves tasks as a worker of the pool that started this process, and never returns: all of a worker program's `main`.
///
/// Use it where the program that owns the pool has a `main` that is not yours, and names this program by
/// [`Builder::program`](crate::Builder::program). The worker functions are in a library that both programs use; `use` it here, or the
/// linker leaves them out.
///
/// If no pool started this process, it prints the reason on its standard error and exits with code 64.
///
/// # Examples
///
/// ```no_run
/// # mod jobs {}
/// use jobs as _;
///
/// fn main() {
///     poolmap::run_worker()
/// }
/// ```
pub fn run_worker() -> ! {
    enter(EntryPoint::Main);
    let name = std::env::args().next().unwrap_or_default();
    // There may be no standard error, which is no reason to panic.
    let _ = writeln!(
        std::io::stderr(),
        "poolmap: {name} is the program of a pool's workers, and a pool starts it: Pool::builder().program(path). By hand it does \
         nothing."
    );
    std::process::exit(EXIT_NOT_A_WORKER)
}

/// The exit code of a wrong use in sysexits(3).
const EXIT_NOT_A_WORKER: i32 = 64;

/// The guard that `#[poolmap::main]` puts first, and holds until the end of `main`.
pub fn enter_main() -> Main {
    enter(EntryPoint::Main);
    Main(())
}

/// Held by `main`. At its end, also by a panic, the program waits for every [`Process`](crate::Process) that is no daemon.
#[must_use = "it is held until the end of `main`"]
pub struct Main(());

impl Drop for Main {
    fn drop(&mut self) {
        // First, so that no idle worker waits with the program.
        pool::shutdown_global();
        process::wait_for_children();
    }
}

/// The call that `#[poolmap::test]` puts first; `path` is `module_path!()` and the function's name.
pub fn enter_test(path: &'static str) {
    enter(EntryPoint::Test(functions::test_name(path)));
}

fn enter(entry: EntryPoint) {
    // The first thread of a test program waits for that of its test.
    let waiting_threads = usize::from(matches!(entry, EntryPoint::Test(_)));
    child::set_entry(entry.clone(), init as fn() as usize);
    // A test always has several.
    #[cfg(feature = "sandbox")]
    if entry == EntryPoint::Main {
        sys::note_threads();
    }
    let Some(marker) = sys::take_variable(child::MARKER) else {
        worker::replay_if_asked();
        if entry == EntryPoint::Main {
            cluster::begin();
        }
        return;
    };
    if let Some(Marker { parent, depth, role, folder, umask }) = marker.to_str().and_then(Marker::parse) {
        child::set_depth(depth);
        if let Some(umask) = umask {
            sys::set_umask(umask);
        }
        worker::run(parent, role, folder, waiting_threads, process::wait_for_children);
    }
}
