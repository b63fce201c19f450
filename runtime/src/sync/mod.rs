//! Synchronization between processes: channels, mutexes, semaphores, events, barriers, counters. Each is made in one process, travels
//! as an argument of worker functions, and outlives whoever has it. How it travels is `shared`'s.

mod barrier;
mod channel;
mod counter;
mod endpoints;
mod event;
mod handle_serde;
#[cfg(test)]
mod hostile;
mod mutex;
mod packets;
mod robust_word;
mod segment;
mod semaphore;

pub use barrier::{Barrier, BarrierWait};
pub use channel::{Receiver, SendError, Sender, Values, channel};
pub use counter::Counter;
pub use event::Event;
pub use mutex::{Mutex, MutexGuard};
pub use semaphore::{Semaphore, SemaphorePermit};
