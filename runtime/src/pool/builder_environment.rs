//! The options of a pool that the environment sets.

use super::rules::{StartMethod, Transport};
use crate::error::{Error, Result};
use crate::sys;

/// Says how chunks and results travel.
const TRANSPORT_VARIABLE: &str = "POOLMAP_TRANSPORT";

pub(super) fn transport_from_environment() -> Result<Transport> {
    match sys::variable(TRANSPORT_VARIABLE) {
        None => Ok(Transport::SharedMemory),
        Some(value) if value == "socket" => Ok(Transport::Socket),
        Some(value) if value == "memory" => Ok(Transport::SharedMemory),
        Some(value) => Err(Error::invalid_option(format!(
            "the environment variable {TRANSPORT_VARIABLE} must be \"memory\" (the default) or \"socket\", got {value:?}",
        ))),
    }
}

/// Says how the processes of workers are made where the program does not.
const START_METHOD_VARIABLE: &str = "POOLMAP_START_METHOD";

pub(super) fn start_method_from_environment() -> Result<Option<StartMethod>> {
    match sys::variable(START_METHOD_VARIABLE) {
        None => Ok(None),
        Some(value) if value == "spawn" => Ok(Some(StartMethod::Spawn)),
        Some(value) if value == "fork_server" => Ok(Some(StartMethod::ForkServer)),
        Some(value) => Err(Error::invalid_option(format!(
            "the environment variable {START_METHOD_VARIABLE} must be \"spawn\" (the default) or \"fork_server\", got {value:?}",
        ))),
    }
}
