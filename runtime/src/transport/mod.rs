//! One worker's channel: a socket, and memory that both sides share where the system has it. Each side has one face (`Link`;
//! `WorkerEnd` and `RingEnd`). `wire` defines the messages; this module does not know what they mean.

mod arena;
mod chunk;
mod claims;
mod entry;
mod event;
mod fault;
mod handshake;
mod layout;
mod link;
mod parking;
mod ring;
mod ring_end;
mod sent;
mod socket;
mod worker_end;

pub(crate) use arena::{Arena, Block};
pub(crate) use chunk::{Chunk, ChunkHead, Sharing};
#[cfg(test)]
pub(crate) use chunk::{SOLITARY_DEATHS_MAX, SOLITARY_KILLS_MAX};
pub(crate) use event::{ChannelEvent, Note};
pub(crate) use fault::Fault;
pub(crate) use handshake::any_said_hello;
pub(crate) use link::{Link, Load};
pub(crate) use parking::LOOK_AFTER;
pub(crate) use ring::Taken;
#[cfg(fuzzing)]
pub(crate) use ring::fuzz;
pub(crate) use ring_end::{Claimed, ClaimedTasks, NotePad, RingEnd, TaskCounter};
pub(crate) use worker_end::{FrameSender, WorkerEnd};
