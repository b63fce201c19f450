//! Frames to bytes and back, for both directions. No I/O, and nothing of what a frame leads to.
//!
//! A frame is the length of its payload (`u32`, little-endian), that length again as a check, its kind (one byte), its
//! payload, and the check once more. So what something else writes to the descriptor (a task that writes to every one, a
//! logger whose file was closed under it, a forked process) is distinguished from a frame at once, be it before or inside of one.
//!
//! 1. The parent speaks first: `Welcome`. The worker answers `Hello`, or nothing. Each carries the protocol's version and
//!    the fingerprint of the sender's table of worker functions. If the fingerprints differ, the worker sends the text of its table
//!    before its `Hello`, as `Table`s, waits for the end of the stream and exits; the parent kills it.
//! 2. Over the socket alone: the parent sends `Chunk`s. The worker runs the tasks of each in order. It tells that it has `Begun` the
//!    next one right before it runs it, and sends its `Reply` before it tells of another: what is finished is never lost, and the
//!    first task without a reply was running if it was begun, and otherwise none was.
//! 3. A task's panic is a `Note` at the moment of the panic. It says nothing of the task's outcome: the process may
//!    survive it, and then a `Reply` follows. A signal that is about to end the worker in a task is a `Crash`, sent from the
//!    signal's handler, in one piece or not at all, and never inside of another frame. The `Stack` that the signal has met with
//!    follows it, or stands for itself.
//! 4. `Revoke` asks the worker to begin no more tasks of the chunks sent so far. It answers with one `Returned` once the
//!    task that it was running has its `Reply`; everything without a reply has not begun, and never will there.
//! 5. Memory that tasks name, or are in, goes to the worker as a `Segment` before the first chunk that needs it, and stays
//!    until the parent lets the worker `Forget` it. So does a descriptor that is kept open. Memory that is lent in parts goes
//!    there before each chunk that has some, with the ranges of its parts, and stays until that chunk is done. Over the socket
//!    alone, what a chunk's tasks are granted comes as `Grants` right before it.
//! 6. With shared memory, chunks, results and notes stand there (see `transport`), and the parent sends `Bell`s. Of what the
//!    worker sends after its `Hello` the parent takes nothing but that it came, and the descriptors of outputs
//!    (`shared::output_memory`): whatever a task writes into the socket is one bell more.
//! 7. The end of the stream is the end of the pool: the worker exits when it has nothing to run.
//! 8. A process of one call sends `Decoded` between its `Begun` and its `Reply`, once it holds its arguments itself: up to then the
//!    parent holds for it whatever lives by its holders.
//! 9. A fork server sends `Preloaded` behind the `Reply` of the one call that it was sent, if it was sent one. Then the parent sends
//!    `Copy`, with the worker's end of a new channel, and the server answers `Copied`. What has been copied is greeted on that channel.
//! 10. A frame that breaks these rules is a [`Violation`]; whoever receives one kills or leaves the sender.

mod buffer;
mod chunk;
mod crash;
mod fields;
#[cfg(any(fuzzing, test))]
mod fuzzing;
mod measures;
mod message;
mod progress;
mod record;
mod task_times;

pub(crate) use buffer::FrameBuffer;
pub(crate) use chunk::{ChunkHeader, LENGTH_BYTES, TaskFrames, are_tasks, around_chunk, bytes_of, chunk};
pub(crate) use crash::{around_crash, around_denied_path, around_stack};
pub(crate) use fields::Violation;
#[cfg(fuzzing)]
pub(crate) use fuzzing::fuzz;
pub(crate) use measures::Measures;
pub(crate) use message::{
    CopyRequest, Greeting, PanicNote, ToParent, ToWorker, Welcome, begun, bell, copied, copy, decoded, forget, grants,
    hello, note, preloaded, reply, returned, revoke, segment, table, welcome,
};
pub(crate) use progress::{Finished, OversizedResult, TaskProgress, TasksRun};
pub(crate) use record::{
    HEAD_BYTES, RECORD_BYTES_MAX, Records, Status, front, head, part_head, push_parts, record, skip_head, skipped,
};

pub(crate) use task_times::{
    BUCKETS, TIMES_BYTES, TaskTimes, TimesWords, WorkerTimes, bucket_of, longest_of, shortest_of,
};

/// Changes with every change of the frames.
pub(crate) const PROTOCOL_VERSION: u32 = 14;

/// The length, the check and the kind.
pub(crate) const HEADER_BYTES: usize = 9;

/// The check again, behind the payload.
pub(crate) const TRAILER_BYTES: usize = 4;

/// The bytes that a chunk's payload needs beside the arguments of its tasks, when it has one; also what a reply's needs, with what was measured of its task.
pub(crate) const OVERHEAD_BYTES: usize = 64;

/// The least limit for a frame: what an error with its texts takes.
pub(crate) const FRAME_BYTES_MIN: usize = 4 * 1024;
/// The first frame to a worker has the sandbox that it enters, and is no larger than this. So it fits into any socket.
pub(crate) const WELCOME_BYTES_MAX: usize = 64 * 1024;

/// The limit for a frame where nothing else is said: 2 GiB.
pub(crate) const FRAME_BYTES_MAX: usize = 1 << 31;
