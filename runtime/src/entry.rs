//! Where a process of the program turns out to be a worker, or goes on as itself.

use crate::launch::{self, Entry, Marker};
use crate::{pool, process, registry, sys, worker};

/// Lets this program's workers in: in a worker it serves tasks and never returns; otherwise it returns at once.
///
/// It is the first statement of `main`, by hand or through [`#[poolmap::main]`](crate::main). What stands before it runs in
/// every worker too. In tests, [`#[poolmap::test]`](crate::test) calls it.
///
/// What is called so by hand ends as any program does: at the end of `main` nobody waits for a [`Process`](crate::Process), so
/// what is to be waited for is joined; its daemons and workers end with it.
///
/// A worker is started with `/dev/null` as its standard input, with the standard output and error of its parent, with its
/// channel as descriptor 3, and with no other descriptor of its parent's; `init` closes none. It takes a variable out of the
/// environment, so threads that use the environment by C functions must not be started before. It gives up the controlling
/// terminal: a task that reads the terminal gets an error. (A [`Process`](crate::Process) that is no daemon keeps it.)
///
/// A process in which the variable of a worker is set, and which the process named there did not start, prints why it is no
/// worker and exits with code 70. A program that runs with more rights than its user has (set-user-ID, set-group-ID, file
/// capabilities) takes nothing of this crate's from its environment, is never a worker, and can make no pools.
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
    enter(Entry::Main);
}

/// What `#[poolmap::main]` puts first, and holds until the end of `main`.
pub fn enter_main() -> Main {
    enter(Entry::Main);
    Main(())
}

/// Held by `main`. At its end, also by a panic, the program waits for every [`Process`](crate::Process) that is no daemon.
#[must_use = "it is held until the end of `main`"]
pub struct Main(());

impl Drop for Main {
    fn drop(&mut self) {
        // First, so that no idle worker waits with the program.
        pool::shutdown_global();
        process::leave();
    }
}

/// What `#[poolmap::test]` puts first; `path` is `module_path!()` and the function's name.
pub fn enter_test(path: &'static str) {
    enter(Entry::Test(registry::test_name(path)));
}

fn enter(entry: Entry) {
    launch::set_entry(entry, init as fn() as usize);
    let Some(marker) = sys::take_variable(launch::MARKER) else {
        return;
    };
    if let Some(Marker { parent, depth, role, folder, umask }) = marker.to_str().and_then(Marker::parse) {
        launch::set_depth(depth);
        if let Some(umask) = umask {
            sys::set_umask(umask);
        }
        worker::run(parent, role, folder, process::leave);
    }
}
