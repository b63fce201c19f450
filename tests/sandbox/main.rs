//! Workers that are not trusted: what a task in a sandbox can do, what it cannot, and what its parent sees of that.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod attacks;
mod attempts;
#[path = "../common/mod.rs"]
mod common;
mod containers;
mod honest;
mod learning;
mod namespaces;
mod openers;
mod outliving;
mod printing;
mod secrets;
mod surroundings;
mod works;
