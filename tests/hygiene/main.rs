//! Odd but legal forms of worker functions and of calls: each compiles without a warning and gives the right results.

#![forbid(unsafe_code)]
#![deny(warnings, missing_debug_implementations, unreachable_pub, unused, nonstandard_style)]
#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    clippy::many_single_char_names,
    reason = "odd forms are what is tested; the dependency crate holds the strictest lints"
)]

mod attributes;
mod entry;
mod forms;
mod items;
mod names;
mod nested;
mod no_prelude;
mod places;
mod shadowed;
