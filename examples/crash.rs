//! A segfault in a task costs one result: the others keep theirs, and the pool goes on.

use poolmap::{pool_try_map, worker};

/// What a broken C library does, once.
#[worker]
fn divide(x: u32, by: u32) -> u32 {
    if by == 13 {
        segfault();
    }
    x / by
}

/// Writes to an address that is not mapped.
#[allow(unsafe_code, reason = "it is the crash that this example is about")]
fn segfault() {
    // SAFETY: there is none: the write is what a crash looks like, and it is the worker that it ends.
    unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(1) };
}

#[poolmap::main]
fn main() -> poolmap::Result<()> {
    for outcome in pool_try_map!(divide, std::iter::repeat(100), 10..=15)? {
        match outcome {
            Ok(quotient) => println!("{quotient}"),
            Err(error) => println!("{error:#}"),
        }
    }
    println!("still here: {:?}", poolmap::pool_map!(divide, [100], [25])?);
    Ok(())
}
