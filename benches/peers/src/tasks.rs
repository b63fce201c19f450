//! What the tasks of the workloads do, whoever runs them.

use std::collections::HashMap;
use std::hint::black_box;

/// One task of no work.
pub fn add(x: i64, y: i64) -> i64 {
    x.wrapping_add(y)
}

/// CPU time: so many rounds of a generator.
pub fn spin(rounds: u64) -> u64 {
    (0..rounds).fold(rounds, |state, _| black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1)))
}

/// The bytes themselves.
pub fn echo(bytes: Vec<u8>) -> Vec<u8> {
    bytes
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

/// So many rounds of [`spin`] take a microsecond here.
pub fn rounds_per_microsecond() -> f64 {
    const ROUNDS: u64 = 20_000_000;
    let best = (0..3)
        .map(|_| {
            let start = std::time::Instant::now();
            black_box(spin(black_box(ROUNDS)));
            start.elapsed()
        })
        .min()
        .expect("there are three");
    ROUNDS as f64 / (best.as_secs_f64() * 1e6)
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
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                line.push_str(WORDS[(state >> 60) as usize]);
                line.push(' ');
            }
            line
        })
        .collect()
}

/// The durations of W5, in microseconds: one of a hundred is long, in random order.
pub fn uneven(tasks: usize) -> Vec<u64> {
    let mut micros: Vec<u64> = (0..tasks).map(|task| if task % 100 == 0 { 20_000 } else { 50 }).collect();
    let mut state = 3u64;
    for last in (1..tasks).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        micros.swap(last, (state >> 33) as usize % (last + 1));
    }
    micros
}
