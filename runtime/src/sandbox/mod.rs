//! The sandbox of workers that are not trusted: the policy that a program writes, the walls that hold it, and how a worker goes behind them.
//! The only owner of landlock and seccompiler.
//!
//! - *policy*: what a program opens (`policy`); checked, compiled and made bytes in the parent, once for a pool (`settled`).
//! - *wall*: a means of the kernel that holds it. System calls are filtered by seccomp(2) (`filter`, `front`, `calls`); files, ports,
//!   signals and sockets by landlock(7) (`ruleset`). Behind both stand namespaces(7), which the system may refuse (`second_wall`).
//! - *status*: which walls hold (`status`).
//!
//! 1. The parent asks the kernel for its walls, and compiles for them. The worker raises what it was sent, or ends.
//! 2. A worker enters the sandbox behind its initializer, or behind its hello where there is none, and before its first task (`enter`). It
//!    does not come out: each wall stays until the process ends.
//! 3. The walls hold for each thread of the process. What the filter does not know by name it denies.

#[cfg(poolmap_sandbox)]
mod calls;
#[cfg(poolmap_sandbox)]
mod enter;
#[cfg(poolmap_sandbox)]
mod filter;
#[cfg(poolmap_sandbox)]
mod front;
#[cfg(poolmap_sandbox)]
mod learn;
mod policy;
mod policy_form;
#[cfg(poolmap_sandbox)]
mod ruleset;
mod second_wall;
mod settled;
mod status;
mod suggestion;

#[cfg(poolmap_sandbox)]
pub(crate) use enter::enter;
pub use policy::Sandbox;
pub(crate) use settled::{Settled, settle};
pub use status::SandboxStatus;
