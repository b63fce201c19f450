//! Requests that come one by one, answered by workers as they come, beside a timer on the same thread: a map as a stream.
//! `cargo run --release --example stream`

use std::time::Duration;

use futures_lite::StreamExt;
use poolmap::{pool_stream, worker};
use tokio::sync::mpsc;

#[worker]
fn digits(number: u64) -> Result<u32, String> {
    if number == 13 {
        // As a broken C library might.
        std::process::abort();
    }
    number.checked_mul(number).map(|square| square.ilog10() + 1).ok_or_else(|| format!("{number} is too large"))
}

#[poolmap::main]
#[tokio::main(flavor = "current_thread")]
async fn main() -> poolmap::Result<()> {
    let (sender, mut receiver) = mpsc::channel(16);
    let requests = async move {
        for number in [7, 13, 1_000_000, u64::MAX, 99] {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let _ = sender.send(number).await;
        }
    };
    // As tokio_stream::wrappers::ReceiverStream does it.
    let numbers = futures_lite::stream::poll_fn(move |context| receiver.poll_recv(context));
    let answers = async {
        let mut answers = pool_stream!(digits, poolmap::stream(numbers); timeout = Duration::from_secs(1))?;
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(digits) => println!("the square has {digits} digits"),
                Err(error) => println!("{error:#}"),
            }
        }
        poolmap::Result::Ok(())
    };
    let ((), answered) = tokio::join!(requests, answers);
    answered
}
