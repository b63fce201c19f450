//! What is recorded of the tasks of one call, and the files that tell of it. It knows nothing of how a task runs.
//!
//! | word | meaning |
//! |---|---|
//! | measures | what a worker has measured of a task, behind the task's result |
//! | facts | what is known of one execution of a task, by whomever |
//! | job log | the file that has a line of facts for each execution |
//! | timeline | the file that shows them over time, with the workers and the caller: a page, or a trace |
//! | recorder | what a call holds to record its tasks |
//!
//! 1. Measures are taken from behind the results when they arrive in the call, before anything else is done with the results.
//! 2. An execution is recorded once. One that its task survives, as it is executed again, is recorded too: as it arrives where it has a
//!    result, and else as the pool notes that it is lost (`events`), or at the latest with the last one of the task.
//! 3. What a worker wrote is believed as far as it goes: a number that cannot be is as good as none.

mod clocks;
mod csv;
mod events;
mod facts;
mod job_log;
mod json;
mod of_call;
mod recorder;
mod timeline;

pub(crate) use events::{CallEvents, WorkerEvent};
pub(crate) use of_call::CallRecorder;
pub(crate) use recorder::{Paths, Recorder};
