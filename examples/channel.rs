//! A pipeline: one stage finds numbers, the next tests them in two processes, and the last one, the parent, takes what comes.
//! The stages run at once, and a channel between two of them lets the faster one wait.

use std::thread::scope;

use poolmap::{Counter, Pool, Receiver, Sender, channel, pool_map, worker};

#[worker]
fn candidates(to: Sender<u64>, below: u64) -> poolmap::Result<()> {
    for number in 2..below {
        to.send(number)?;
    }
    Ok(())
}

/// Ends when the channel does: when nobody can send any more.
#[worker]
fn primes(from: Receiver<u64>, to: Sender<u64>, tested: &Counter) -> poolmap::Result<()> {
    for number in from.iter() {
        let number = number?;
        if (2..number).take_while(|d| d * d <= number).all(|d| number % d != 0) {
            to.send(number)?;
        }
        tested.add(1);
    }
    Ok(())
}

#[poolmap::main]
fn main() -> poolmap::Result<()> {
    let (to_test, numbers) = channel()?;
    let (found, from_found) = channel()?;
    let tested = Counter::new(0)?;
    let (first, second) = (Pool::builder().workers(1).build()?, Pool::builder().workers(2).build()?);

    scope(|scope| {
        // Each stage is a call on a thread of its own, which takes the ends that it passes on: when it is over, they are closed.
        let producer = scope.spawn(|| first.apply(candidates { to: to_test, below: 20_000 }));
        let (from, to) = (vec![numbers; 2], vec![found; 2]);
        let testers = scope.spawn(|| pool_map!(in &second, primes, from, to, [&tested; 2]; chunk_size = 1));

        let primes = from_found.iter().collect::<poolmap::Result<Vec<u64>>>()?;
        let sum: u64 = primes.iter().sum();
        println!("{} primes add up to {sum}; {} numbers were tested", primes.len(), tested.get());
        producer.join().expect("the thread does not panic")?;
        testers.join().expect("the thread does not panic")?;
        Ok(())
    })
}
