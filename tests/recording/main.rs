//! What is recorded of the tasks of a call: the options `job_log` and `timeline`.

#[cfg(target_os = "linux")]
mod cluster;
#[path = "../common/mod.rs"]
mod common;
mod files;
mod job_log;
mod log;
mod timeline;
