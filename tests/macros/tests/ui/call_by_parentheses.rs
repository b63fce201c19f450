//! A call is written with braces.

use poolmap::{Pool, Process, worker};

#[worker]
fn add(x: i64, y: i64) -> i64 {
    x + y
}

#[worker]
fn load(path: &str) {
    let _ = path;
}

fn main() -> poolmap::Result<()> {
    let pool = Pool::builder().initializer(load).finalizer(load("a")).build()?;
    let _: i64 = pool.submit(add(1, 2))?.join()?;
    let _ = pool.submit(add)?.is_finished();
    let _ = pool.apply(add(1, 2))? + 1;
    let _ = pool.apply(add);
    let _ = pool.run_on_all(load("a"))?.len();
    let mut process = Process::new(add(1, 2)).name("adds").start()?;
    let _ = process.join()? + 1;
    let _ = Process::new(add).start();
    let _ = pool.apply(|| 1 + 2)?;
    Ok(())
}
