//! Names that could be taken for another: raw identifiers, and parameters named like the function or like names of ours.

use poolmap::{pool_map, worker};

#[worker]
fn r#match(r#type: u64, r#fn: &str) -> String {
    format!("{type}{fn}")
}

#[worker]
fn count(count: u64) -> u64 {
    count + 1
}

#[worker]
fn ours(call: u64, encoder: u64, arguments: u64, output: u64, error: u64, decoder: u64, krate: u64) -> u64 {
    call + encoder + arguments + output + error + decoder + krate
}

#[worker]
fn double_underscored(__poolmap_call: u64, __poolmap_arguments: u64, __poolmap_function: u64) -> u64 {
    __poolmap_call * 100 + __poolmap_arguments * 10 + __poolmap_function
}

#[worker]
fn arg1(_: u64, arg0: u64, (a, b): (u64, u64), all @ [c, d]: [u64; 2]) -> u64 {
    assert_eq!(all, [c, d]);
    arg0 * 10_000 + a * 1_000 + b * 100 + c * 10 + d
}

/// A `let` of a macro would be a pattern that compares with these.
#[expect(non_upper_case_globals, dead_code, reason = "names that a macro might give to its variables")]
mod constants {
    use poolmap::{pool_map, worker};

    const call: u8 = 1;
    const arguments: u8 = 2;
    const output: u8 = 3;
    const error: u8 = 4;
    static typed: u8 = 5;

    #[worker]
    fn half(x: u64) -> Result<u64, String> {
        x.checked_div(2).ok_or_else(|| "never".to_owned())
    }

    #[poolmap::test]
    fn constants_in_scope_are_no_patterns() {
        assert_eq!(pool_map!(half, [2, 4]).unwrap(), [1, 2]);
    }
}

#[poolmap::test]
fn raw_identifiers_are_names_like_others() {
    assert_eq!(pool_map!(r#match, [1], ["a"]).unwrap(), ["1a"]);
    let call = r#match { r#type: 2, r#fn: "b".to_owned() };
    assert_eq!(r#match(call.r#type, &call.r#fn), "2b");
}

#[poolmap::test]
fn a_parameter_can_have_the_name_of_its_function() {
    assert_eq!(pool_map!(count, 0..3).unwrap(), [1, 2, 3]);
}

#[poolmap::test]
fn parameters_can_have_our_names() {
    assert_eq!(pool_map!(ours, [1], [2], [3], [4], [5], [6], [7]).unwrap(), [28]);
    assert_eq!(pool_map!(double_underscored, [1], [2], [3]).unwrap(), [123]);
}

#[poolmap::test]
fn patterns_get_fields_of_their_own() {
    assert_eq!(pool_map!(arg1, [9], [1], [(2, 3)], [[4, 5]]).unwrap(), [12_345]);
    let call = arg1 { arg0_: 9, arg0: 1, arg2: (2, 3), all: [4, 5] };
    assert_eq!(arg1(call.arg0_, call.arg0, call.arg2, call.all), 12_345);
}
