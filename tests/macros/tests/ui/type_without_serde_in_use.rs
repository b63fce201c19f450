//! A type that is not serde is one error, whatever is done with the function.

use poolmap::{Pool, Process, pool_iter, pool_map, pool_reduce, worker};

#[derive(Clone)]
struct Settings {
    threads: usize,
}

#[worker]
fn start(settings: Settings) -> usize {
    settings.threads
}

#[worker]
fn add(a: Settings, b: Settings) -> Settings {
    Settings { threads: a.threads + b.threads }
}

fn main() -> poolmap::Result<()> {
    let all = vec![Settings { threads: 1 }];
    let counts: Vec<usize> = pool_map!(start, &all)?;
    for count in pool_iter!(start, all.clone())? {
        let _: usize = count?;
    }
    let pool = Pool::new()?;
    let _: usize = pool.apply(start { settings: all[0].clone() })?;
    let _: usize = pool.submit(start { settings: all[0].clone() })?.join()?;
    let _: usize = Process::new(start { settings: all[0].clone() }).start()?.join()?;
    let sum: Settings = pool_map!(add, &all, &all)?.remove(0);
    let _: Settings = pool_reduce!(add, &all, &all; with = add, identity = sum)?;
    let _ = counts;
    Ok(())
}
