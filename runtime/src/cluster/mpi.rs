//! Messages between the ranks of an MPI job. It knows no protocol: bodies are bytes.
//!
//! *Rank*: a process of the job, by its number; rank 0 is the driver's. *Body*: what is sent at once, of any length. *Segment*: a
//! part of a body that is one message of MPI. *Fabric*: the connection of this process to the others.
//!
//! 1. Messages go between rank 0 and the others alone. An agent probes rank 0 only: where the library detects a death, a probe for any
//!    rank fails in every process until the death is acknowledged, and agents need not care.
//! 2. A body is a sequence of segments with the tag `MORE`, and one with the tag `LAST`. MPI keeps the order between two ranks.
//! 3. No call waits. `send` begins to send; `receive` moves everything on that is under way, and returns what has come.
//! 4. One message is received at a time, and no other is probed for meanwhile, so the order is kept. If its sender stalls, then the
//!    others wait, but this process does not: the dispatcher declares the sender lost, and the fabric goes on without it.
//! 5. What a peer sends is bounded: a segment by its size, a body by what has arrived of it. A peer that exceeds them, or sends an
//!    unknown tag, is lost. What a lost rank sends is never received.
//! 6. An agent that has ended says so by an empty message with the tag `END`, behind all others. The driver answers with the same when all
//!    agents have ended; then every process ends MPI, with no message on its way. Where a rank was lost, or does not answer, the driver
//!    aborts the job instead. It must not do so while an agent is already in `MPI_Finalize`: `mpirun` of Open MPI 4.1.4 then crashed or
//!    hung in 10 of 12 runs (in `PMIx_server_finalize`), and in none of 12 where no agent was.

mod backoff;
mod ending;
mod engine;
pub(super) mod fabric;
mod intake;
mod link;
mod outgoing;
pub(super) mod start;
mod waiting;

pub(super) use engine::MpiEngine;
pub(super) use fabric::Fabric;
pub(super) use link::MpiLink;
pub(super) use start::EXIT_REFUSED;

#[cfg(test)]
mod tests;
