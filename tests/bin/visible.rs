//! What a program shows of its calls: progress on standard error, one scenario for each first argument.

use std::time::Duration;

use poolmap::{Pool, pool_iter, pool_iter_unordered, pool_map, pool_try_map, worker};

/// Sleeps, and dies, fails or panics where the task says so.
#[worker]
fn step(task: u64, millis: u64) -> Result<u64, String> {
    std::thread::sleep(Duration::from_millis(millis));
    match task % 10 {
        7 if poolmap::current_worker().is_some_and(|worker| worker.attempt() == 1) => std::process::abort(),
        8 => Err("an error of the task".to_owned()),
        9 => panic!("a panic of the task"),
        _ => Ok(task),
    }
}

#[worker]
fn square(x: u64) -> u64 {
    x * x
}

#[worker]
fn sleep(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

#[poolmap::main]
fn main() -> poolmap::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let pool = Pool::builder().workers(3).build()?;
    let number = |place: usize| arguments.get(place).and_then(|text| text.parse().ok()).unwrap_or(1u64);
    match arguments.get(1).map_or("", String::as_str) {
        "map" => drop(pool_map!(in &pool, square, 0..number(2); progress)?),
        "chunks" => drop(pool_map!(in &pool, square, 0..number(2); progress, chunk_size = 7)?),
        "off" => drop(pool_map!(in &pool, square, 0..number(2); progress = false)?),
        "try" => {
            let millis = std::iter::repeat(number(3));
            drop(pool_try_map!(in &pool, step, 0..number(2), millis; progress = true, attempts = 2, chunk_size = 3)?);
        }
        "again" => {
            let millis = std::iter::repeat(number(3));
            drop(pool_try_map!(in &pool, step, 0..number(2), millis; progress, attempts = 2, retry_errors = 2)?);
        }
        "unordered" => {
            assert_eq!(pool_iter_unordered!(in &pool, square, 0..number(2); progress)?.count() as u64, number(2));
        }
        "unknown" => {
            let odd = (0..number(2)).filter(|x| x % 2 == 1);
            assert_eq!(pool_iter!(in &pool, square, odd; progress)?.count() as u64, number(2) / 2);
        }
        "endless" => drop(pool_iter!(in &pool, square, 0..; progress, window = 10)?.nth(4)),
        "dropped" => {
            drop(pool_iter!(in &pool, sleep, std::iter::repeat_n(number(3), number(2) as usize); progress)?.nth(1));
        }
        "slow" => drop(pool_map!(in &pool, sleep, std::iter::repeat_n(number(3), number(2) as usize); progress)?),
        "fails" => {
            let error = pool_map!(in &pool, step, 0..number(2), std::iter::repeat(number(3)); progress).unwrap_err();
            eprintln!("{error}");
        }
        "panics" => {
            for (index, result) in
                pool_iter!(in &pool, sleep, std::iter::repeat_n(number(3), 100); progress)?.enumerate()
            {
                result?;
                eprintln!("printed by the program");
                assert!(index < 3, "a panic of the program");
            }
        }
        "two" => std::thread::scope(|scope| {
            for count in [10, 20] {
                let pool = &pool;
                scope.spawn(move || pool_map!(in pool, sleep, std::iter::repeat_n(100, count); progress).map(drop));
            }
        }),
        other => panic!("there is no scenario `{other}`"),
    }
    Ok(())
}
