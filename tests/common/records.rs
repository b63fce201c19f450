//! The records of a journal, as its file has them.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::fs;
use std::path::Path;

pub(crate) const HEADER_BYTES: usize = 48;
pub(crate) const HEAD_BYTES: usize = 16;

/// Where the whole records of a journal begin, of those with outputs.
pub(crate) fn outputs(journal: &Path) -> Vec<usize> {
    let bytes = fs::read(journal).unwrap_or_default();
    let word = |at: usize| bytes.get(at..at + 4).map(|word| u32::from_le_bytes(word.try_into().unwrap()));
    let (mut at, mut outputs) = (HEADER_BYTES, Vec::new());
    while let Some(length) = word(at)
        && at + HEAD_BYTES + length as usize <= bytes.len()
    {
        if word(at + HEAD_BYTES) != Some(1) {
            outputs.push(at);
        }
        at += HEAD_BYTES + length as usize;
    }
    outputs
}
