//! MPI, found at run time: this crate needs no MPI where it is built, and one program runs under each of them.
//!
//! *Library*: an MPI library that was loaded (`library`). *ABI*: how one takes its handles and constants, of which there are three
//! (`abi`). *Calls*: its functions, with the types of its ABI (`calls`). *Session*: MPI between its start and its end, on one thread
//! (`session`).
//!
//! 1. A library is loaded once and never unloaded, so its functions may be called as long as the process lives.
//! 2. MPI starts once in a process, on the thread that calls [`MpiSession::begin`]. A session can neither be sent to another thread
//!    nor be used from one, so every call comes from the thread that started MPI, as `MPI_THREAD_FUNNELED` asks.
//! 3. Before a session is handed out it sends a message to itself. A table of constants that does not fit the library is an error
//!    there, and not a wrong number later.
//! 4. Memory that MPI may read or write is owned here until MPI reports that it has finished with it.
//! 5. Nothing here blocks: a message is sent by `MPI_Isend`, and received by `MPI_Irecv` when `MPI_Iprobe` has found it. Two processes that send
//!    each other large messages by `MPI_Send` wait for each other for ever.

mod abi;
mod calls;
mod library;
mod names;
mod self_test;
mod session;

pub(crate) use library::MpiLibrary;
pub(crate) use names::{MpiCandidates, MpiLauncher};
pub(crate) use session::{MpiArrival, MpiError, MpiReceiving, MpiSending, MpiSession, exit_now};
