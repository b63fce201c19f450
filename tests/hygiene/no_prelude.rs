//! Every macro and every form of a parameter, in a module without a prelude: nothing is known by its short name alone.

#![no_implicit_prelude]

use ::std::{assert, assert_eq};

#[::poolmap::worker]
fn value(x: i64) -> i64 {
    x + 1
}

#[::poolmap::worker]
fn borrowed(
    text: &str,
    bytes: &[u8],
    path: &::std::path::Path,
    name: &::std::ffi::OsStr,
    c: &::std::ffi::CStr,
    list: &::std::vec::Vec<u8>,
) -> ::std::string::String {
    ::std::format!("{text}{bytes:?}{}{}{}{list:?}", path.display(), name.display(), c.count_bytes())
}

#[::poolmap::worker]
fn patterns(mut x: i64, _: i64, (a, b): (i64, i64), text: ::std::borrow::Cow<'_, str>) -> (i64, usize) {
    x += a + b;
    (x, text.len())
}

#[::poolmap::worker]
fn kept(#[state] sum: &mut i64, x: i64) -> i64 {
    *sum += x;
    *sum
}

fn begin() -> i64 {
    100
}

#[::poolmap::worker]
fn kept_from(#[state(init = begin)] sum: &mut i64, x: i64) -> i64 {
    *sum + x
}

#[::poolmap::worker]
fn fallible(x: i64) -> ::core::result::Result<i64, ::std::string::String> {
    if x < 2 { ::core::result::Result::Ok(x) } else { ::core::result::Result::Err(::std::format!("{x}")) }
}

#[::poolmap::worker(plain)]
fn plain(x: i64) -> ::core::result::Result<i64, ::std::string::String> {
    ::core::result::Result::Ok(x)
}

#[::poolmap::worker]
fn nothing(_x: i64) {}

#[::poolmap::worker]
fn without_parameters() -> i64 {
    7
}

#[::poolmap::worker]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[::poolmap::test]
fn every_form_of_a_parameter_is_passed() {
    let texts = ::poolmap::pool_map!(
        borrowed,
        ["a"],
        [[1]],
        [::std::path::Path::new("p")],
        [::std::ffi::OsStr::new("n")],
        [c"cc"],
        [[2]]
    );
    assert_eq!(texts.unwrap(), ["a[1]pn2[2]"]);
    assert_eq!(::poolmap::pool_map!(patterns, [1], [9], [(2, 3)], ["text"]).unwrap(), [(6, 4)]);
    assert_eq!(::poolmap::pool_map!(kept_from, [1]).unwrap(), [101]);
    let pool = ::poolmap::Pool::builder().workers(1).build().unwrap();
    assert_eq!(::poolmap::pool_map!(in &pool, kept, [1, 2]).unwrap(), [1, 3]);
    assert_eq!(pool.apply(without_parameters {}).unwrap(), 7);
}

#[::poolmap::test]
fn every_map_runs() {
    assert_eq!(::poolmap::pool_map!(value, [1], ; chunk_size = 1, shortest).unwrap(), [2]);
    assert_eq!(::poolmap::pool_map!(add, *[(1, 2)]).unwrap(), [3]);
    assert_eq!(::poolmap::pool_try_map!(fallible, [1, 2]).unwrap()[1].as_ref().unwrap_err().index(), 1);
    let plains =
        ::poolmap::pool_map!(plain, ::std::iter::repeat(1); shortest, deadline = ::std::time::Duration::from_secs(60));
    assert!(plains.unwrap_err().is_endless());
    assert_eq!(::poolmap::pool_reduce!(value, 0..4; with = add, identity = 0).unwrap(), 10);
    ::poolmap::pool_for_each!(nothing, [1, 2]; progress = false).unwrap();
    for output in ::poolmap::pool_iter!(value, [1]).unwrap() {
        assert_eq!(output.unwrap(), 2);
    }
    for output in ::poolmap::pool_iter_unordered!(value, [1]).unwrap() {
        assert_eq!(output.unwrap(), (0, 2));
    }
    let printed = ::poolmap::pool_map_captured!(value, [1]);
    assert!(printed.unwrap_err().is_invalid_option());
    assert!(::poolmap::pool_map!(plain, ::poolmap::shared(&1), ; shortest).unwrap_err().is_endless());
}

#[::poolmap::test]
fn a_test_can_return_a_result() -> ::poolmap::Result<()> {
    ::poolmap::pool_map!(value, [1])?;
    ::core::result::Result::Ok(())
}
