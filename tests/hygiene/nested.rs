//! Functions of one name: nested in two functions, and written by a macro.

use poolmap::{pool_map, worker};

fn first() -> Vec<String> {
    #[worker]
    fn name(x: u64) -> String {
        format!("first {x}")
    }
    pool_map!(name, [1]).unwrap()
}

fn second() -> Vec<String> {
    #[worker]
    fn name(x: u64) -> String {
        format!("second {x}")
    }
    pool_map!(name, [1]).unwrap()
}

mod same_name {
    use poolmap::worker;

    #[worker]
    pub(super) fn name(x: u64) -> String {
        format!("module {x}")
    }
}

macro_rules! make {
    ($name:ident($argument:ident: $ty:ty) -> $output:ty $body:block) => {
        #[worker]
        fn $name($argument: $ty) -> $output $body
    };
}

make!(made(x: u64) -> u64 { x + 1 });
make!(made_of_a_reference(text: &str) -> usize { text.len() });

macro_rules! make_two {
    () => {
        fn one() -> Vec<String> {
            #[worker]
            fn twin(x: u64) -> String {
                format!("one {x}")
            }
            pool_map!(twin, [1]).unwrap()
        }

        fn two() -> Vec<String> {
            #[worker]
            fn twin(x: u64) -> String {
                format!("two {x}")
            }
            pool_map!(twin, [1]).unwrap()
        }
    };
}

make_two!();

macro_rules! make_by_repetition {
    ($($outer:ident $text:literal),*) => {
        $(fn $outer() -> Vec<String> {
            #[worker]
            fn triplet(x: u64) -> String {
                format!("{} {x}", $text)
            }
            pool_map!(triplet, [1]).unwrap()
        })*
    };
}

make_by_repetition!(three "three", four "four", five "five");

#[poolmap::test]
fn functions_of_one_name_are_never_confused() {
    assert_eq!(first(), ["first 1"]);
    assert_eq!(second(), ["second 1"]);
    assert_eq!(pool_map!(same_name::name, [1]).unwrap(), ["module 1"]);
}

#[poolmap::test]
fn a_macro_can_write_worker_functions() {
    assert_eq!(pool_map!(made, [1]).unwrap(), [2]);
    assert_eq!(pool_map!(made_of_a_reference, ["abc"]).unwrap(), [3]);
}

#[poolmap::test]
fn functions_of_one_name_from_one_macro_call_are_never_confused() {
    assert_eq!(one(), ["one 1"]);
    assert_eq!(two(), ["two 1"]);
    assert_eq!([three(), four(), five()].concat(), ["three 1", "four 1", "five 1"]);
}
