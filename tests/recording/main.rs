//! What is recorded of the tasks of a call: the options `job_log` and `timeline`.

#[path = "../common/mod.rs"]
mod common;
mod files;
mod job_log;
mod log;
mod timeline;
