//! What the tasks of the workloads do, whoever runs them, and what they are given.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// One task of no work.
pub fn add(x: i64, y: i64) -> i64 {
    x.wrapping_add(y)
}

/// CPU time: so many rounds of a generator. Inlined, or through
/// memory, it would run at another speed for each library.
#[inline(never)]
pub fn spin(rounds: u64) -> u64 {
    (0..rounds).fold(black_box(rounds), |state, _| next(state))
}

/// The bytes themselves. The optimiser must not see that: it would leave out the block altogether.
pub fn echo(bytes: Vec<u8>) -> Vec<u8> {
    black_box(bytes)
}

/// The sum of some numbers.
pub fn sum(numbers: &[f64]) -> f64 {
    numbers.iter().sum()
}

/// The number of words.
pub fn count(line: &str) -> usize {
    line.split_whitespace().count()
}

/// How often each word stands in a text.
pub fn words(paragraph: &str) -> HashMap<String, u32> {
    let mut words = HashMap::new();
    for word in paragraph.split_whitespace() {
        *words.entry(word.to_owned()).or_default() += 1;
    }
    words
}

/// The sum of some bytes.
pub fn weigh(bytes: &[u8]) -> u64 {
    bytes.iter().map(|&byte| u64::from(byte)).sum()
}

/// CPU time, with an argument that is not looked at.
pub fn work(rounds: u64, bytes: &[u8]) -> u64 {
    black_box(bytes);
    spin(rounds)
}

/// The number of some bytes.
pub fn length(bytes: &[u8]) -> usize {
    bytes.len()
}

/// Time without work.
pub fn nap(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

/// How long something takes.
pub fn timed<T>(run: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(run());
    start.elapsed()
}

/// The rounds of [`spin`] for so many microseconds, from the environment: one calibration for all libraries of a run.
pub fn rounds(micros: f64) -> u64 {
    let each: f64 = std::env::var("PEERS_ROUNDS").ok().and_then(|each| each.parse().ok()).expect("the runner sets it");
    (micros * each) as u64
}

/// So many rounds of [`spin`] take a microsecond here.
pub fn rounds_per_microsecond() -> f64 {
    const ROUNDS: u64 = 20_000_000;
    let best = (0..3).map(|_| timed(|| spin(black_box(ROUNDS)))).min().expect("there are three");
    ROUNDS as f64 / (best.as_secs_f64() * 1e6)
}

/// The numbers in one slice of W7: 4 MiB.
pub const SLICE: usize = (4 << 20) / 8;

/// The array of W7: 256 MiB for 64 slices.
pub fn array(slices: usize) -> Vec<f64> {
    array_in(slices)
}

/// The same, born in memory of another kind.
pub fn array_in<A: FromIterator<f64>>(slices: usize) -> A {
    (0..slices * SLICE).map(|index| index as f64).collect()
}

/// One block of W6.
pub fn block() -> Vec<u8> {
    vec![7; 1 << 20]
}

/// The items of W10, made as they are asked for.
pub fn items(n: usize) -> impl Iterator<Item = Vec<u8>> + Send {
    (0..n).map(|item| vec![item as u8; 256])
}

/// A text of so many lines: words of a generator, as many as fill `bytes` for each line.
pub fn text(lines: usize, bytes: usize) -> Vec<String> {
    const WORDS: [&str; 16] = [
        "process", "pool", "worker", "task", "the", "a", "of", "and", "frame", "chunk", "result", "error", "in",
        "time", "memory", "signal",
    ];
    let mut state = 7u64;
    (0..lines)
        .map(|_| {
            let mut line = String::with_capacity(bytes + 16);
            while line.len() < bytes {
                state = next(state);
                line.push_str(WORDS[(state >> 60) as usize]);
                line.push(' ');
            }
            line
        })
        .collect()
}

/// The durations of W5, in microseconds: one of a hundred is long, in random order.
pub fn uneven(tasks: usize) -> Vec<f64> {
    let mut micros: Vec<f64> = (0..tasks).map(|task| if task % 100 == 0 { 20_000.0 } else { 50.0 }).collect();
    let mut state = 3u64;
    for last in (1..tasks).rev() {
        state = next(state);
        micros.swap(last, (state >> 33) as usize % (last + 1));
    }
    micros
}

/// The next number of a linear congruential generator.
fn next(state: u64) -> u64 {
    state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
}
