//! Where a process of the program turns out to be a worker, or goes on as itself.

use crate::launch::{self, Entry};
use crate::{pool, sys, worker};

/// Lets this program's workers in: in a worker it serves tasks and never returns; otherwise it returns at once.
///
/// It is the first statement of `main`, by hand or through [`#[poolmap::main]`](crate::main). What stands before it runs in
/// every worker too. In tests, [`#[poolmap::test]`](crate::test) calls it.
///
/// A worker closes every descriptor but 0, 1, 2 and its channel, takes a variable out of its environment, and has `/dev/null` as
/// its standard input. So threads that use descriptors or the environment by C functions must not be started before.
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

/// What `#[poolmap::main]` puts first.
pub fn enter_main() {
    enter(Entry::Main);
}

/// What `#[poolmap::main]` puts last: ends the global pool, so that its workers end in order.
pub fn leave_main() {
    pool::shutdown_global();
}

/// What `#[poolmap::test]` puts first; `path` is `module_path!()` and the function's name.
pub fn enter_test(path: &'static str) {
    // libtest names a test by its path without the crate.
    let name = path.split_once("::").map_or(path, |(_crate, name)| name);
    enter(Entry::Test(name));
}

fn enter(entry: Entry) {
    launch::set_entry(entry);
    let Some(marker) = sys::take_variable(launch::MARKER) else {
        return;
    };
    let numbers = marker
        .to_str()
        .and_then(|marker| marker.split_once(' '))
        .and_then(|(parent, depth)| Some((parent.parse().ok()?, depth.parse().ok()?)));
    // A marker that is not ours is someone else's variable.
    if let Some((parent, depth)) = numbers {
        launch::set_depth(depth);
        worker::run(parent);
    }
}
