//! Synchronization between processes: channels, mutexes, semaphores, events, barriers, counters. Each is made in one process, travels
//! as an argument of worker functions, and outlives whoever has it. How it travels is `shared`'s.

mod barrier;
mod channel;
mod counter;
mod ends;
mod event;
#[cfg(test)]
mod hostile;
mod mutex;
mod object;
mod owners;
mod packets;
mod semaphore;
mod travel;

pub use barrier::{Barrier, BarrierWait};
pub use channel::{Receiver, SendError, Sender, Values, channel};
pub use counter::Counter;
pub use event::Event;
pub use mutex::{Mutex, MutexGuard};
pub use semaphore::{Semaphore, SemaphorePermit};
