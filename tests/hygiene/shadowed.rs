//! A module in which the names of the prelude, of the primitive types and of the standard crates mean something else.

#![expect(dead_code, non_camel_case_types, reason = "these stand in the way")]

use poolmap::{pool_map, worker};

struct Result;
struct Option;
struct String;
struct Vec;
struct Ok;
struct Err;
struct Some;
struct Default;
struct usize;
struct bool;
struct u32;
trait Into {}
trait Iterator {}
trait Clone {}
trait ToOwned {}
mod std {}
mod core {}
mod poolmap_macros {}
mod inventory {}
mod __private {}

macro_rules! concat {
    () => {};
}
macro_rules! module_path {
    () => {};
}
macro_rules! line {
    () => {};
}

#[worker]
fn shift(x: i64, text: &str, bytes: &[u8]) -> (i64, char) {
    let _ = bytes;
    (x + 1, text.chars().next().unwrap_or(' '))
}

#[worker]
fn fail(x: i64) -> ::core::result::Result<i64, ::std::string::String> {
    ::core::result::Result::Ok(x)
}

#[poolmap::test]
fn expansions_mean_what_they_name() {
    concat!();
    module_path!();
    line!();
    assert_eq!(pool_map!(shift, [1], ["a"], [[1]]).unwrap(), [(2, 'a')]);
    assert_eq!(pool_map!(fail, [1]; chunk_size = 2).unwrap(), [1]);
}
