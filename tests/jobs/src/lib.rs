//! Worker functions of a library that two programs use: a test, and the program of its workers.

use poolmap::{SharedSlice, pool_map, worker};

/// Doubles a number.
#[worker]
pub fn double(x: u64) -> u64 {
    2 * x
}

/// Adds two numbers: outputs can be folded by it.
#[worker]
pub fn add(x: u64, y: u64) -> u64 {
    x + y
}

/// Parses a number.
///
/// # Errors
///
/// Where the text is no number.
#[worker]
pub fn parse(text: &str) -> Result<u64, std::num::ParseIntError> {
    text.parse()
}

/// Ends its process.
#[worker]
pub fn abort(_x: u64) {
    std::process::abort()
}

/// Sums a part of numbers that all workers read.
#[worker]
pub fn sum(numbers: SharedSlice<u64>) -> u64 {
    numbers.iter().sum()
}

/// Returns the arguments of its process, and the file that it runs.
#[worker]
pub fn program() -> (Vec<String>, String) {
    (std::env::args().collect(), std::env::current_exe().unwrap_or_default().display().to_string())
}

/// Returns the same of a worker of a pool inside the task.
///
/// # Errors
///
/// Those of the map.
#[worker]
pub fn inner_program() -> poolmap::Result<(Vec<String>, String)> {
    Ok(pool_map!(program_of, [0])?.remove(0))
}

/// Does what `program` does.
#[worker]
pub fn program_of(_task: u32) -> (Vec<String>, String) {
    program()
}

/// Writes to an address of the first page, where nothing is mapped: the kernel ends the process. The tests themselves are built without
/// the lines of their code, and this is built with them.
///
/// # Panics
///
/// Where the address is behind that page.
#[allow(unsafe_code, reason = "the death is what the tests are about")]
#[inline(never)]
pub fn write_through_null(address: usize) -> i32 {
    assert!(address < 4096, "something may be mapped there");
    // SAFETY: the kernel maps nothing there, so nothing is written: it ends the process.
    unsafe { std::ptr::without_provenance_mut::<i32>(address).write_volatile(1) };
    1
}
