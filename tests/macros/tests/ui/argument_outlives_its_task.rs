//! What a function borrows ends with its task, and cannot be kept.

use std::borrow::Cow;
use std::sync::Mutex;

use poolmap::worker;

static TEXTS: Mutex<Vec<&str>> = Mutex::new(Vec::new());
static NUMBERS: Mutex<Vec<Cow<'_, [f64]>>> = Mutex::new(Vec::new());

#[worker]
fn keep_text(text: &str) {
    TEXTS.lock().unwrap().push(text);
}

#[worker]
fn keep_numbers(numbers: Cow<'_, [f64]>) {
    NUMBERS.lock().unwrap().push(numbers);
}

#[worker]
fn keep_in_a_thread(bytes: &[u8]) -> usize {
    std::thread::spawn(move || bytes.len()).join().unwrap()
}

fn main() {}
