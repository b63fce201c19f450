//! Where things are in the memory that a parent shares with its workers. Offsets in bytes; what two sides write at once stands
//! in different cache lines.

use crate::sys::{DENIED_PATH_WORDS, STACK_WORDS};
use crate::wire::TIMES_BYTES;

/// In the arena's first page, which the parent writes and all workers read: the word of `parking` for the parent.
pub(super) const PARENT_PARKED: usize = 0;

/// The rest is in a worker's own memory. The word of `claims`.
pub(super) const CLAIMS: usize = 0;
/// Written by the worker: what is finished (`wire::Finished`).
pub(super) const FINISHED: usize = 128;
/// Written by the worker: the number behind that of the task begun last.
pub(super) const BEGUN: usize = 136;
/// Written by the worker: the nanoseconds that it has run tasks for, in all.
pub(super) const BUSY_NANOS: usize = 144;
/// Written by the worker: 1 once it heeds the parent's fences (see `ring::recall`).
pub(super) const HEEDS_FENCES: usize = 152;
/// Written by the worker: how many descriptors of outputs it has sent.
pub(super) const OUTPUTS_SENT: usize = 160;
/// Written by the worker: when the task begun last began, in nanoseconds of the clock that processes share; of tasks of a few
/// microseconds that are not measured, up to 50 µs before it began.
pub(super) const BEGUN_NANOS: usize = 168;
/// The word of `parking` for the worker, which both write.
pub(super) const WORKER_PARKED: usize = 256;
/// Written by the parent: up to where in the ring the results were taken.
pub(super) const RELEASED: usize = 384;
/// Written by the parent: the worker tells when it has claimed the task with this number.
pub(super) const TELL_AT: usize = 392;

/// Written by the parent: 1 while tasks are not to be begun, 0 otherwise.
pub(super) const REVOKED: usize = 400;

/// Written by the parent: how many descriptors of outputs it has of the worker (`shared::HeldOutputs`).
pub(super) const OUTPUTS_HELD: usize = 408;

/// Written by the parent: up to which message what was lent is of entries that are done, should the worker have no task.
pub(super) const LEASES_ENDED: usize = 416;

/// Written by the worker when a task panics: the number behind the task's, how many bytes the note has, and the note.
pub(super) const NOTE_TASK: usize = 512;
pub(super) const NOTE_LENGTH: usize = 520;
pub(super) const NOTE: usize = 528;
pub(super) const NOTE_BYTES_MAX: usize = 16 * 1024;

/// Written by the worker: how long tasks have waited and have taken (`wire::TimesWords`).
pub(super) const TIMES: usize = 18 * 1024;
const _: () = assert!(NOTE + NOTE_BYTES_MAX <= TIMES && TIMES + TIMES_BYTES <= DENIED_PATH);
/// Written by the worker when a system call is denied: the number behind that of the task begun last, and the call's path.
pub(super) const DENIED_PATH: usize = 20 * 1024;

/// Written by the worker when a signal is about to end it: the number behind that of the task begun last, and `sys::Crash`.
pub(super) const CRASH: usize = 24 * 1024;
/// Written by the worker behind that: the same number, and `sys::NativeStack`.
pub(super) const STACK: usize = CRASH + 128;

/// The entries: what the parent tells of chunks, one behind the other, round and round.
pub(super) const ENTRIES: usize = 32 * 1024;
const _: () = assert!(DENIED_PATH + 8 * (1 + DENIED_PATH_WORDS) <= CRASH);
const _: () = assert!(STACK + 8 * (1 + STACK_WORDS) <= ENTRIES);
/// Two cache lines: fifteen words do not fit into one.
pub(super) const ENTRY_BYTES: usize = 128;
/// A worker is given far fewer chunks at once.
pub(super) const ENTRIES_MAX: u64 = 512;

/// The words, up to the ring.
pub(super) const WORDS_BYTES: usize = ENTRIES + ENTRY_BYTES * ENTRIES_MAX as usize;
/// The ring of results. A result that is larger than a part of it goes through in parts. It is mapped by itself, so it begins a page,
/// of the largest size that a system has.
pub(super) const RESULTS: usize = WORDS_BYTES.next_multiple_of(64 * 1024);
pub(super) const RESULTS_BYTES: usize = 4 << 20;
/// Where there is less memory the ring is smaller, by halves and halves again, down to this: so a place in it is still a position
/// without its upper bits.
pub(super) const RESULTS_BYTES_MIN: usize = 256 << 10;

/// A result that does not fit is brought over in parts of so many bytes, and a record with the rest.
pub(super) const fn part_bytes_max(results: usize) -> usize {
    results / 4
}

/// All of it, with a ring of so many bytes.
pub(super) const fn bytes(results: usize) -> usize {
    RESULTS + results
}
