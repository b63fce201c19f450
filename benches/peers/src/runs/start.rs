//! W8: a pool of two, two tasks, and the end. The runner times the whole process.

use poolmap::pool_map;

use super::{WORKERS, poolmap::add};
use crate::tasks;

/// What a process of this library does between its start and its exit.
pub fn run(library: &str) {
    match library {
        "poolmap" => {
            let pool = poolmap::Pool::builder().workers(WORKERS).build().expect("processes start");
            pool_map!(in &pool, add, [1, 2], [3, 4]; chunk_size = 1).expect("no task fails");
        }
        "procspawn" => {
            let pool = procspawn::Pool::new(WORKERS).expect("processes start");
            let handles =
                [pool.spawn((1, 3), |(x, y)| tasks::add(x, y)), pool.spawn((2, 4), |(x, y)| tasks::add(x, y))];
            handles.into_iter().for_each(|handle| assert!(handle.join().is_ok()));
        }
        "crossmist" => {
            let children = [(1, 3), (2, 4)].map(|(x, y)| cross_add.spawn(x, y).expect("a process starts"));
            children.into_iter().for_each(|child| assert!(child.join().is_ok()));
        }
        other => panic!("no library {other}"),
    }
}

#[crossmist::func]
fn cross_add(x: i64, y: i64) -> i64 {
    tasks::add(x, y)
}
