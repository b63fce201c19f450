//! One worker's channel: a socket, and memory that both sides share where the system has it. Each side has one face (`ParentChannel`;
//! `WorkerSocket` and `WorkerRing`). `wire` defines the messages; this module does not know what they mean.

mod arena;
mod arguments;
mod channel_error;
mod chunk;
mod claims;
mod completed;
mod entry;
mod event;
mod handshake;
mod layout;
mod output_intake;
mod output_sender;
mod parent_channel;
mod parent_ring;
mod parent_socket;
mod parking;
mod private_arguments;
mod sent_segments;
mod worker_ring;
mod worker_socket;

pub(crate) use arena::{Arena, Block};
pub(crate) use arguments::TaskArguments;
pub(crate) use channel_error::ChannelError;
pub(crate) use chunk::{Chunk, ChunkHead, Sharing, take_tasks};
#[cfg(test)]
pub(crate) use chunk::{SOLITARY_DEATHS_MAX, SOLITARY_KILLS_MAX};
pub(crate) use completed::{CompletedTasks, Outcomes, Ran, Span};
pub(crate) use event::{ChannelEvent, Note};
pub(crate) use handshake::any_said_hello;
pub(crate) use output_sender::OutputSender;
pub(crate) use parent_channel::{Load, ParentChannel, WorkerMemory};
pub(crate) use parent_ring::ResultBatch;
#[cfg(fuzzing)]
pub(crate) use parent_ring::fuzz;
pub(crate) use parking::LOOK_AFTER;
pub(crate) use worker_ring::{Claimed, ClaimedTasks, PanicSlot, TaskCounter, WorkerRing};
pub(crate) use worker_socket::{FrameSender, WorkerSocket};
