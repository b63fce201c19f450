//! Beyond one machine: a driver gives tasks to nodes, each of which runs them in a pool of its own. An engine carries them.
//!
//! *Driver*: the process of the program that goes on behind `init()`. *Agent*: a process of the same program on another machine, or
//! beside the driver, with a pool of its own for the driver's tasks. *Node*: a machine with an agent, as the driver sees it. *Engine*: what
//! carries messages between them. *Launcher*: the program that started them (`mpirun`, `srun`). *Rank*: the number that it gave a process.

mod agent;
mod binding;
mod dispatcher;
mod driver;
mod engine;
mod environment;
mod forms;
#[cfg(any(fuzzing, test))]
mod fuzzing;
mod identity;
mod messages;
mod mpi;
#[cfg(feature = "nats")]
pub mod nats;
mod node;
mod session;

#[cfg(fuzzing)]
pub(crate) use fuzzing::fuzz;
pub use session::{ClusterInfo, cluster, wait_for_nodes};
pub(crate) use session::{begin, serving_nodes};
