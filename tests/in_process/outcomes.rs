//! The same maps on both kinds of pool, whose outcomes are compared as texts.

use std::collections::BTreeMap;
use std::time::Duration;

use poolmap::{
    Pool, as_completed, current_worker, pool_for_each, pool_iter, pool_iter_unordered, pool_map, pool_reduce,
    pool_try_map, shared, task_seed, worker,
};

use crate::{common, fail_before, in_process, panic_at, square};

/// Everything that a map may end with, as text without what no two runs have in common.
fn outcomes(pool: &Pool) -> Vec<(&'static str, String)> {
    let text = |what: &dyn std::fmt::Debug| without_pids(&format!("{what:#?}"));
    let retried = || pool_try_map!(in pool, fail_before, [1, 2, 5]; retry_errors = 2, retry_backoff = Duration::ZERO);
    let tree = BTreeMap::from([("a".to_owned(), vec![1, 2]), ("b".to_owned(), Vec::new())]);
    let handles: Vec<_> = (0..3).map(|task| pool.submit(panic_at { task, at: 1 }).unwrap()).collect();
    let mut unordered: Vec<_> =
        pool_iter_unordered!(in pool, panic_at, 0..9, std::iter::repeat(4)).unwrap().map(|next| text(&next)).collect();
    unordered.sort();
    let mut completed: Vec<_> = as_completed(handles).map(|(place, output)| (place, text(&output))).collect();
    completed.sort();
    let bytes = vec![7; 3 << 20];
    let large = pool_map!(in pool, length, [&bytes]).map(|outputs| outputs[0].0 == 3 << 20 && outputs[0].1 == bytes);
    vec![
        ("numbers", text(&pool_map!(in pool, square, 0..100))),
        ("panics", text(&pool_try_map!(in pool, panic_at, 0..5, std::iter::repeat(2)))),
        ("the first failure", text(&pool_map!(in pool, chain, [1, 0]; chunk_size = 1))),
        ("failures", text(&pool_try_map!(in pool, chain, 0..2))),
        ("retries", text(&retried())),
        ("lengths", text(&pool_map!(in pool, panic_at, 0..2, 0..3))),
        ("a zero", text(&pool_map!(in pool, square, 0..2; window = 0))),
        ("an endless one", text(&pool_map!(in pool, square, 0..))),
        ("no tasks", text(&pool_map!(in pool, square, 0..0))),
        ("arguments that do not encode", text(&pool_try_map!(in pool, inner, [Odd(1), Odd(2)]))),
        ("arguments that panic", text(&pool_try_map!(in pool, inner, [Odd(3), Odd(4), Odd(5)]))),
        ("outputs that do not encode", text(&pool_try_map!(in pool, outer, 0..4))),
        ("a window", text(&pool_iter!(in pool, square, 0..; window = 2).unwrap().take(5).collect::<Vec<_>>())),
        ("unordered", text(&unordered)),
        ("submitted", text(&completed)),
        ("a tree", text(&pool_map!(in pool, keys, shared(&tree), ["a", "b", "c"]))),
        ("seeds", text(&pool_map!(in pool, seed, 0..20; seed = 7))),
        ("a fold", text(&pool_reduce!(in pool, digits, 0..100; with = join, identity = String::new()))),
        (
            "a fold that fails",
            text(&pool_reduce!(in pool, digits, 900..2000; with = join, identity = String::new(), chunk_size = 7)),
        ),
        ("nothing", text(&pool_for_each!(in pool, panic_at, 0..4, 4..8))),
        ("nothing that fails", text(&pool_for_each!(in pool, panic_at, 0..4, std::iter::repeat(0)))),
        ("nested", text(&pool_map!(in pool, nested, 0..4))),
        ("too deep", text(&pool_map!(in pool, nest, [1]))),
        ("a large value", text(&large)),
    ]
}

/// A text without the numbers behind "pid".
fn without_pids(text: &str) -> String {
    let mut parts = text.split("pid");
    let mut without = parts.next().unwrap().to_owned();
    for part in parts {
        let start = part.find(|c: char| c.is_ascii_digit()).filter(|&start| start < 40).unwrap_or(part.len());
        let rest = part[start..].trim_start_matches(|c: char| c.is_ascii_digit());
        without += &format!("pid{}{rest}", &part[..start]);
    }
    // Where `RUST_BACKTRACE` asks for backtraces.
    let is_backtrace = |line: &&str| line.trim_start().starts_with("\"   0: ");
    without.lines().filter(|line| !is_backtrace(line)).collect::<Vec<_>>().join("\n")
}

#[derive(Debug)]
struct Cause(Option<Box<Cause>>);

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "outer" } else { "inner" })
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.as_deref().map(|cause| cause as _)
    }
}

#[worker]
fn chain(fails: u32) -> Result<u32, Cause> {
    if fails == 1 { Err(Cause(Some(Box::new(Cause(None))))) } else { Ok(fails) }
}

/// A value whose way to and from a worker fails by its number.
struct Odd(u8);

impl serde::Serialize for Odd {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            1 => Err(serde::ser::Error::custom("one does not encode")),
            3 => panic!("three panics"),
            number => serializer.serialize_u8(number),
        }
    }
}

impl<'de> serde::Deserialize<'de> for Odd {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u8::deserialize(deserializer)? {
            4 => Err(serde::de::Error::custom("four does not decode")),
            5 => panic!("five panics"),
            number => Ok(Self(number)),
        }
    }
}

#[worker]
fn inner(odd: Odd) -> u8 {
    odd.0
}

#[worker]
fn outer(task: u8) -> Odd {
    Odd(task + 1)
}

impl std::fmt::Debug for Odd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Odd({})", self.0)
    }
}

#[worker]
fn keys(tree: &BTreeMap<String, Vec<i32>>, key: &str) -> Option<Vec<i32>> {
    tree.get(key).cloned()
}

#[worker]
fn seed(_task: usize) -> Option<u64> {
    task_seed()
}

#[worker]
fn digits(x: u64) -> Result<String, String> {
    if x == 1000 { Err("a thousand".to_owned()) } else { Ok(format!("{x} ")) }
}

#[worker]
fn join(a: String, b: String) -> String {
    a + &b
}

#[worker]
fn nested(count: u64) -> poolmap::Result<(u64, u32)> {
    let attempt = current_worker().unwrap().attempt();
    let squares = pool_map!(square, 0..count)?;
    assert_eq!(current_worker().unwrap().attempt(), attempt);
    Ok((squares.iter().sum(), attempt))
}

#[worker]
fn nest(depth: u32) -> poolmap::Result<u32> {
    match pool_map!(nest, [depth + 1]) {
        Ok(depths) => Ok(depths[0]),
        Err(error) if error.is_nested_too_deep() => Ok(depth),
        Err(error) => Err(error),
    }
}

#[worker]
fn length(bytes: Vec<u8>) -> (usize, Vec<u8>) {
    (bytes.len(), bytes)
}

#[poolmap::test]
fn outcomes_are_those_of_a_pool_of_processes() {
    let _guard = common::guard();
    let processes = outcomes(&Pool::builder().workers(1).build().unwrap());
    for ((case, in_processes), (_, in_process)) in processes.into_iter().zip(outcomes(&in_process())) {
        assert_eq!(in_process, in_processes, "{case}");
    }
}
