//! One worker's channel, behind one face for each side. What is said over it is `wire`'s; what it means is not known here.

mod fault;
mod socket;

pub(crate) use fault::Fault;
pub(crate) use socket::{Link, WorkerEnd};
