//! Calls in workers as futures, under tokio: awaited together, raced against a timer, and raced against each other.
//! `cargo run --release --example futures`

use std::time::Duration;

use poolmap::{Pool, worker};

#[worker]
fn collatz(from: u64) -> u32 {
    let (mut at, mut steps) = (from, 0);
    while at != 1 {
        at = if at % 2 == 0 { at / 2 } else { 3 * at + 1 };
        steps += 1;
    }
    steps
}

#[worker]
fn hang() {
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[poolmap::main]
#[tokio::main(flavor = "current_thread")]
async fn main() -> poolmap::Result<()> {
    let pool = Pool::builder().workers(2).build()?;

    let (a, b) = tokio::try_join!(pool.submit(collatz { from: 27 })?, pool.submit(collatz { from: 97 })?)?;
    println!("27 takes {a} steps, 97 takes {b}");

    // Dropped, the handle would not end what runs: the pool does, at the end of `main`.
    match tokio::time::timeout(Duration::from_millis(100), pool.submit(hang {})?).await {
        Ok(_) => println!("it has ended"),
        Err(_) => println!("it hangs"),
    }

    let first = tokio::select! {
        steps = pool.submit(collatz { from: 871 })? => steps?,
        steps = pool.submit(collatz { from: 6171 })? => steps?,
    };
    println!("one of the two takes {first} steps");
    Ok(())
}
