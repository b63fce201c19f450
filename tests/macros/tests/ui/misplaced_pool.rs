//! The pool stands first, after `in`.

use poolmap::{Pool, pool_map, worker};

#[worker]
fn add(x: i64, y: i64) -> i64 {
    x + y
}

fn main() {
    let pool = Pool::new().unwrap();
    let _ = pool_map!(in &pool);
    let _ = pool_map!(in, add, 0..3, 0..3);
    let _ = pool_map!(in &pool add, 0..3, 0..3);
    let _ = pool_map!(add, in &pool, 0..3, 0..3);
    let _ = pool_map!(in &pool, 0..3, 0..3);
    let _ = pool_map!(&pool, add, 0..3, 0..3);
    let _ = pool_map!(in 4, add, 0..3, 0..3);
}
