//! The table of worker functions, and the names of the tests that workers can enter by; the only owner of inventory. It knows
//! nothing of how a function is called.
//!
//! A worker function's index in the sorted table is what travels. Two processes of one binary make one table. Another program may be
//! the worker's, so the order depends on nothing that two builds of one library differ in (`fingerprint`).

use std::any::Any;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::task_run::TaskCall;
use crate::error::ShowArguments;

/// Distinguishes one worker function from all others of a program. The name alone would not: two functions may each hold a
/// nested one of the same name, in one module.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// `module_path!()`, which begins with the crate.
    pub module: &'static str,
    /// `module::name`, for people.
    pub path: &'static str,
    /// `file!()`.
    pub file: &'static str,
    /// `line!()`.
    pub line: u32,
    /// `column!()`.
    pub column: u32,
    /// The version of the package.
    pub version: &'static str,
}

/// A function that makes one output of two, `fn(T, T) -> T` of some `T`.
pub type Merge = &'static (dyn Any + Send + Sync);

/// The types of the parameters, as those of a function, and of the output.
type TypeNames = fn() -> [&'static str; 2];
type Run = fn(&mut TaskCall<'_>);
type Fold = fn(&mut TaskCall<'_>, Merge);

/// The entry of one worker function in the table.
pub struct Registration {
    identity: Identity,
    type_names: TypeNames,
    run: Run,
    fold: Fold,
    /// The function itself, where it makes one value of two of its type.
    merge: Option<Merge>,
    parameters: &'static [&'static str],
    show_arguments: ShowArguments,
    /// Some argument must be in no text and no file.
    is_redacted: bool,
    index: AtomicU32,
}

/// The index of a registration that the table has not met.
const UNKNOWN: u32 = u32::MAX;

impl Registration {
    /// The registration of a function whose tasks `run` runs, and `fold` where their outputs are folded.
    pub const fn new(
        identity: Identity,
        parameters: &'static [&'static str],
        type_names: TypeNames,
        run: Run,
        fold: Fold,
        show_arguments: ShowArguments,
    ) -> Self {
        let index = AtomicU32::new(UNKNOWN);
        Self { identity, type_names, run, fold, merge: None, parameters, show_arguments, is_redacted: false, index }
    }

    /// The registration of the same function, which outputs are folded by.
    pub const fn merging(self, merge: Merge) -> Self {
        Self { merge: Some(merge), ..self }
    }

    /// The registration of the same function, of which some argument must be in no text and no file.
    pub const fn redacted(self) -> Self {
        Self { is_redacted: true, ..self }
    }

    /// Whether some argument must be in no text and no file.
    pub(crate) fn is_redacted(&self) -> bool {
        self.is_redacted
    }

    /// Makes the text of a task's arguments.
    pub(crate) fn show_arguments(&self) -> ShowArguments {
        self.show_arguments
    }

    /// By what this process knows it.
    pub(crate) fn address(&'static self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// The function as `module::name`.
    pub(crate) fn path(&self) -> &'static str {
        self.identity.path
    }

    /// What it is by, also in another program: its name, its types, its place, and the version of its crate.
    ///
    /// Of the file the name alone counts: the folders are those of a build (a checkout, cargo's registry).
    pub(super) fn description(&self) -> Description {
        let Identity { module, path, file, line, column, version } = self.identity;
        let file = Path::new(file).file_name().and_then(|name| name.to_str()).unwrap_or(file);
        let [parameters, output] = (self.type_names)();
        Description { module, path, version, file, line, column, parameters, output }
    }

    /// The name of a parameter.
    pub(crate) fn parameter(&self, position: usize) -> &'static str {
        self.parameters.get(position).copied().unwrap_or("?")
    }

    /// Runs every task of the call that is left.
    pub(crate) fn run(&self, call: &mut TaskCall<'_>) {
        (self.run)(call);
    }

    /// Runs every task of the call that is left, and folds their outputs.
    pub(crate) fn fold(&self, call: &mut TaskCall<'_>, merge: Merge) {
        (self.fold)(call, merge);
    }

    /// The function itself, if outputs can be folded by it.
    pub(crate) fn merge(&self) -> Option<Merge> {
        self.merge
    }

    /// Its place in the table.
    pub(crate) fn index(&self) -> u32 {
        table();
        let index = self.index.load(Ordering::Relaxed);
        assert!(
            index != UNKNOWN,
            "`{}` is missing from the table of worker functions: its crate's start-up code did not run",
            self.path(),
        );
        index
    }
}

/// The description of a worker function that two builds of one library agree on. Functions are sorted by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Description {
    module: &'static str,
    pub(super) path: &'static str,
    pub(super) version: &'static str,
    pub(super) file: &'static str,
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) parameters: &'static str,
    pub(super) output: &'static str,
}

/// In the number that travels for a function: its outputs stay in the worker.
pub(crate) const DROPS_OUTPUT: u32 = 1 << 31;
/// And: its outputs are written as what they are, none by its memory.
pub(crate) const OUTPUT_BY_VALUE: u32 = 1 << 30;
/// And: what is measured of each task stands behind its result.
pub(crate) const MEASURED: u32 = 1 << 29;
/// All that the number says beside the function.
pub(crate) const FUNCTION_FLAGS: u32 = DROPS_OUTPUT | OUTPUT_BY_VALUE | MEASURED;

/// Whether the number that travels for a function asks to measure.
pub(crate) fn is_measured(function: u32) -> bool {
    function & MEASURED != 0
}

/// The type that inventory collects.
pub struct Entry(pub &'static Registration);

inventory::collect!(Entry);

/// All worker functions of this binary, in an order that is equal in every process that runs it.
pub(crate) fn table() -> &'static [&'static Registration] {
    static TABLE: OnceLock<Vec<&'static Registration>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table: Vec<_> = inventory::iter::<Entry>().map(|entry| entry.0).collect();
        // A macro can write two functions that even share line and column. The sort is stable, and inventory lists them
        // in the order of their constructors, which the linker fixed: they stay apart, in the same order everywhere.
        table.sort_by_cached_key(|registration| registration.description());
        for (index, registration) in table.iter().enumerate() {
            let index = u32::try_from(index).ok().filter(|index| index & FUNCTION_FLAGS == 0);
            let index = index.expect("a binary holds fewer than 2^30 functions");
            registration.index.store(index, Ordering::Relaxed);
        }
        table
    })
}

/// The path of a `#[poolmap::test]`, crate and modules included.
pub struct Test(pub &'static str);

inventory::collect!(Test);

/// The name that libtest gives a test: its path without the crate.
pub(crate) fn test_name(path: &'static str) -> &'static str {
    path.split_once("::").map_or(path, |(_crate, name)| name)
}

/// The first test of this binary, by its name, that workers can enter by.
pub(crate) fn first_test() -> Option<&'static str> {
    inventory::iter::<Test>().map(|test| test_name(test.0)).min()
}

/// The function at a place of the table.
pub(crate) fn function(index: u32) -> Option<&'static Registration> {
    table().get(usize::try_from(index).ok()?).copied()
}

/// The path of the function at a place of the table.
pub(crate) fn function_name(index: u32) -> Option<&'static str> {
    function(index).map(Registration::path)
}
