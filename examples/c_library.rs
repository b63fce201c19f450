//! A C function that is not thread-safe, in four workers at once: `strtok` keeps its place in the text in one variable of the
//! process. Threads that share it get each other's words, or crash; each worker has a process, and so a variable, of its own.

use std::ffi::{CStr, CString, c_char};

use poolmap::{Pool, pool_map, worker};

// SAFETY: this is its declaration in C's <string.h>.
unsafe extern "C" {
    fn strtok(text: *mut c_char, separators: *const c_char) -> *mut c_char;
}

/// How many words a text has, and the longest.
#[worker]
fn words(text: CString) -> (usize, CString) {
    let mut text = text.into_bytes_with_nul();
    let (mut count, mut longest) = (0, CString::default());
    // SAFETY: the text ends with a 0, and lives until the last word was asked for; and a worker runs one task at a time, so
    // nobody else calls strtok meanwhile.
    let mut word = unsafe { strtok(text.as_mut_ptr().cast(), c" ,.".as_ptr()) };
    while !word.is_null() {
        // SAFETY: strtok gave a place in the text, where it put a 0 behind the word.
        let found = unsafe { CStr::from_ptr(word) };
        count += 1;
        if found.count_bytes() > longest.count_bytes() {
            longest = found.to_owned();
        }
        // SAFETY: as for the first word; a null pointer asks for the next.
        word = unsafe { strtok(std::ptr::null_mut(), c" ,.".as_ptr()) };
    }
    (count, longest)
}

#[poolmap::main]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = Pool::builder().workers(4).build()?;
    let texts = (1..=10_000).map(|number| format!("{} last.", format!("word{number}, ").repeat(number % 40)));
    let texts: Vec<CString> = texts.map(CString::new).collect::<Result<_, _>>()?;
    let found = pool_map!(in &pool, words, &texts)?;
    for (number, (count, longest)) in (1..).zip(&found) {
        assert_eq!(*count, number % 40 + 1);
        assert!(number % 40 == 0 || longest.to_str()? == format!("word{number}"));
    }
    println!("{} words, none of them another text's", found.iter().map(|(count, _)| count).sum::<usize>());
    Ok(())
}
