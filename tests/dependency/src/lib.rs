//! Worker functions of a dependency crate, which knows poolmap under another name, and whose lints are as strict as they
//! can be: an `allow` in an expansion would be an error here.

#![forbid(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    missing_copy_implementations,
    non_camel_case_types,
    non_snake_case,
    dead_code,
    deprecated,
    unused_imports,
    unused_variables,
    unused_parens,
    unused_qualifications,
    unused_lifetimes,
    single_use_lifetimes,
    elided_lifetimes_in_paths,
    trivial_casts,
    let_underscore_drop,
    clippy::all,
    clippy::pedantic,
    clippy::nursery
)]
// inventory allows this one, as serde's derives do, so no crate that uses them can forbid it.
#![deny(non_upper_case_globals)]

use renamed::worker;

/// Doubles a number.
#[worker(crate = renamed)]
#[must_use]
pub const fn double(x: i64) -> i64 {
    x * 2
}

/// Adds two numbers: outputs can be folded by it.
#[worker(crate = renamed)]
#[must_use]
pub const fn add(x: i64, y: i64) -> i64 {
    x + y
}

/// Takes every form of parameter.
///
/// # Errors
///
/// Where the text is no number.
#[worker(crate = renamed)]
pub fn parse(text: &str, named: &(String, i64), (a, b): (i64, i64), _: u8) -> Result<i64, std::num::ParseIntError> {
    let length = i64::try_from(named.0.len()).unwrap_or(i64::MAX);
    Ok(text.parse::<i64>()? + length + named.1 + a + b)
}

/// Returns nothing.
#[worker(crate = renamed)]
pub fn nothing(text: String) {
    drop(text);
}

/// A module that holds a worker function of the same name.
pub mod inner {
    use renamed::worker;

    /// Doubles a text.
    #[worker(crate = ::renamed)]
    #[must_use]
    pub fn double(text: &str) -> String {
        text.repeat(2)
    }
}

/// Maps over functions of this crate, from within it.
///
/// # Errors
///
/// Those of the map.
pub fn doubles(numbers: &[i64]) -> renamed::Result<Vec<i64>> {
    renamed::pool_map!(double, numbers; chunk_size = 1)
}

/// The sum of lazy doubles.
///
/// # Errors
///
/// Those of the map.
pub fn sum_of_doubles(numbers: &[i64]) -> renamed::Result<i64> {
    let mut sum = 0;
    for output in renamed::pool_iter!(double, numbers)? {
        sum += output?;
    }
    Ok(sum)
}
