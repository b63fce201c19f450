//! Several machines: which of its processes this one is, how they reach each other, and whether they are the same program.
//!
//! *Driver*: the process of the program that goes on behind `init()`. *Agent*: a process of the same program on another machine, or
//! beside the driver, with a pool of its own for the driver's tasks. *Engine*: what carries messages between them. *Launcher*: the
//! program that started them (`mpirun`, `srun`). *Rank*: the number that it gave a process.
#![expect(dead_code, reason = "the dispatcher, which uses all of it, is not there yet")]

mod binding;
mod environment;
mod identity;
mod mpi;
