//! The claims on the tasks of a worker's queue: one word that the parent and the worker change, each by one atomic step.
//!
//! The tasks of a worker are numbered from 0 on, and the numbers wrap around. The word holds two of them: tasks before
//! `claimed` belong to the worker, for good; those from there up to `limit` are the parent's to take back.
//!
//! 1. The parent writes a task's arguments, and the entry that describes them, before it raises `limit` over it. The worker reads
//!    neither before it has claimed the task.
//! 2. The worker claims by raising `claimed`, the parent takes back by lowering `limit`, both by compare-and-swap on the whole
//!    word: no task is ever both claimed and taken back.
//! 3. After it has taken back, the parent may write other entries for the same numbers: the worker has read nothing of them (1).
//! 4. The parent knows the `limit` that it has set. A word with another, or whose `claimed` is not between what it was and
//!    `limit`, is a worker's that breaks the protocol.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::wire::Violation;

/// The atomic word that the rules are about; a model of it in tests.
pub(super) trait ClaimsWord {
    fn load(&self) -> u64;
    fn fetch_add(&self, value: u64);
    fn compare_exchange(&self, current: u64, new: u64) -> Result<u64, u64>;
}

// Sequentially consistent, because who is parked is asked after the word was changed, and the word is looked at after one
// has said that it parks (see `parking`). On the machines at hand each is one locked instruction in any order.
impl ClaimsWord for AtomicU64 {
    #[inline]
    fn load(&self) -> u64 {
        self.load(Ordering::SeqCst)
    }

    #[inline]
    fn fetch_add(&self, value: u64) {
        self.fetch_add(value, Ordering::SeqCst);
    }

    #[inline]
    fn compare_exchange(&self, current: u64, new: u64) -> Result<u64, u64> {
        self.compare_exchange(current, new, Ordering::SeqCst, Ordering::SeqCst)
    }
}

/// The contents of the word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Claims {
    claimed: u32,
    limit: u32,
}

impl Claims {
    #[inline]
    fn unpack(word: u64) -> Self {
        Self { claimed: word as u32, limit: (word >> 32) as u32 }
    }

    #[inline]
    fn pack(self) -> u64 {
        u64::from(self.limit) << 32 | u64::from(self.claimed)
    }

    #[inline]
    fn open(self) -> u32 {
        self.limit.wrapping_sub(self.claimed)
    }
}

/// Whether there is a task to claim.
#[inline]
pub(super) fn has_open(word: &impl ClaimsWord) -> bool {
    Claims::unpack(word.load()).open() > 0
}

/// Claims the next tasks, `most` at most; returns the first one's number and how many.
#[inline]
pub(super) fn claim(word: &impl ClaimsWord, most: u32) -> Option<(u32, u32)> {
    let mut seen = word.load();
    loop {
        let claims = Claims::unpack(seen);
        let count = claims.open().min(most);
        if count == 0 {
            return None;
        }
        let new = Claims { claimed: claims.claimed.wrapping_add(count), ..claims };
        match word.compare_exchange(seen, new.pack()) {
            Ok(_) => return Some((claims.claimed, count)),
            Err(now) => seen = now,
        }
    }
}

/// The parent's side: what it has set, and seen.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    limit: u32,
    claimed: u32,
}

impl Ledger {
    /// The number of the task that is added next.
    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    /// Adds tasks.
    pub(super) fn add(&mut self, word: &impl ClaimsWord, count: u32) {
        self.limit = self.limit.wrapping_add(count);
        word.fetch_add(u64::from(count) << 32);
    }

    /// The number behind the last task that the worker has claimed.
    pub(super) fn claimed(&mut self, word: &impl ClaimsWord) -> Result<u32, Violation> {
        self.check(word.load()).map(|claims| claims.claimed)
    }

    /// Takes back the last tasks that are not claimed, `most` at most; returns how many.
    pub(super) fn take_back(&mut self, word: &impl ClaimsWord, most: u32) -> Result<u32, Violation> {
        let mut seen = word.load();
        loop {
            let claims = self.check(seen)?;
            let count = claims.open().min(most);
            if count == 0 {
                return Ok(0);
            }
            let new = Claims { limit: claims.limit.wrapping_sub(count), ..claims };
            match word.compare_exchange(seen, new.pack()) {
                Ok(_) => {
                    self.limit = new.limit;
                    return Ok(count);
                }
                Err(now) => seen = now,
            }
        }
    }

    /// Rule 4.
    fn check(&mut self, word: u64) -> Result<Claims, Violation> {
        let claims = Claims::unpack(word);
        let since = claims.claimed.wrapping_sub(self.claimed);
        if claims.limit != self.limit || since > self.limit.wrapping_sub(self.claimed) {
            return Err(Violation::new("the word of its claims holds what it must not"));
        }
        self.claimed = claims.claimed;
        Ok(claims)
    }
}

#[cfg(test)]
mod tests;
