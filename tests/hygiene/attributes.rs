//! Attributes of worker functions: conditions, lints, and what else may stand above a function.

use poolmap::{pool_map, worker};

#[worker]
#[cfg(unix)]
fn by_condition(x: u64) -> u64 {
    x + 1
}

#[worker]
#[cfg(not(unix))]
fn by_condition(x: u64, never: NoSuchType) -> u64 {
    x + 2
}

#[cfg(not(unix))]
#[worker]
fn by_condition_above(x: u64) -> NoSuchType {
    x
}

#[cfg(unix)]
#[worker]
fn by_condition_above(x: u64) -> u64 {
    x + 3
}

#[worker]
#[cfg_attr(unix, cfg(unix), allow(non_snake_case))]
#[cfg_attr(not(unix), cfg(unix), inline)]
fn NotSnakeCase(FirstWord: u64) -> u64 {
    FirstWord + 4
}

#[deprecated = "for the test"]
struct Old;

#[worker]
#[expect(deprecated, unused_variables, clippy::needless_pass_by_value)]
fn expects(text: String, unused: u8) -> usize {
    let _ = Old;
    text.len()
}

#[worker]
#[deprecated(note = "for the test")]
fn outdated(x: u64) -> u64 {
    x + 5
}

/// A function with documentation.
#[worker]
#[inline(never)]
#[must_use]
#[doc(hidden)]
#[track_caller]
#[cold]
fn decorated(
    #[allow(unused_variables)] x: u64,
    #[expect(unused_mut)] mut y: u64,
    #[cfg_attr(unix, allow(clippy::ptr_arg))] z: &Vec<u8>,
) -> u64 {
    y + u64::try_from(z.len()).unwrap()
}

/// Never called: it is in the table all the same.
#[worker]
fn unused(x: u64) -> u64 {
    x
}

#[poolmap::test]
fn conditions_hold_for_all_that_is_written() {
    assert_eq!(pool_map!(by_condition, [1]).unwrap(), [2]);
    assert_eq!(pool_map!(by_condition_above, [1]).unwrap(), [4]);
    assert_eq!(pool_map!(NotSnakeCase, [1]).unwrap(), [5]);
}

#[poolmap::test]
fn lint_attributes_hold_for_all_that_is_written() {
    assert_eq!(pool_map!(expects, ["abc"], [1]).unwrap(), [3]);
    #[expect(deprecated)]
    let outputs = pool_map!(outdated, [1]).unwrap();
    assert_eq!(outputs, [6]);
    assert_eq!(pool_map!(decorated, [1], [2], [[1]]).unwrap(), [3]);
}
