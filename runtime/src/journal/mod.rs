//! The journal: a file with the outputs of tasks, by what the tasks are, so that a program that begins anew need not compute them
//! again. It knows nothing of how tasks run, and of their outputs nothing but the bytes.
//!
//! | word | meaning |
//! |---|---|
//! | digest | 128 bits under the file's key, of all that a task's output depends on beside the program: function, arguments, seed |
//! | occurrence | how many tasks with this digest the program has begun before this one, since it began itself |
//! | record | an output in the file, with its digest and its occurrence |
//! | build | the program that wrote the records behind it, by the number that its linker gave it |
//!
//! 1. A task takes the record of its digest and its occurrence, if the file had it when it was opened. So two equal calls in one run of
//!    the program are both computed at first, and each finds its own output later, in whatever order they had finished.
//! 2. A file is open once in a process, for all maps that use it, and locked against other processes while it is open. It is closed
//!    with the last map. What this process has read and counted stays (`memory`), and holds for the next map.
//! 3. A record is written behind the others, by a thread (`writer`), a moment after the output came, and at the latest when its map
//!    ends. It is whole or is dropped when the file is opened next: see `format`.
//! 4. Records are never changed. What is not needed any more stays in the file.

mod file;
mod format;
mod memory;
mod registry;
mod report;
mod writer;

pub(crate) use file::open_anew;
pub(crate) use format::OutputForm;
pub(crate) use memory::{OutputPlace, TaskKey};
pub(crate) use registry::{Journal, NewRecords, VARIABLE};
pub(crate) use writer::Writer;
