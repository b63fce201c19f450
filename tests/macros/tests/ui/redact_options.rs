//! Where `redact` cannot be.

use poolmap::worker;

#[worker(redact = true)]
fn valued(token: &str) -> usize {
    token.len()
}

#[worker(redact, redact)]
fn twice(token: &str) -> usize {
    token.len()
}

#[worker]
fn with_a_value(#[redact(all)] token: &str) -> usize {
    token.len()
}

#[worker]
fn marked_twice(#[redact] #[redact] token: &str) -> usize {
    token.len()
}

#[worker(redact)]
fn as_a_whole_and_once_more(#[redact] token: &str) -> usize {
    token.len()
}

#[worker]
fn of_the_state(#[redact] #[state] model: &mut Vec<u8>, token: &str) -> usize {
    model.len() + token.len()
}

#[poolmap::test(redact)]
fn of_a_test() {}

fn main() {}
