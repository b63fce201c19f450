//! A crawler: the outputs of calls lead to further calls, until nothing is left to be looked at.

use std::collections::BTreeSet;

use poolmap::{Pool, wait_any, worker};

/// The pages that a page links to. (These pages are made up; a crawler would fetch one.)
#[worker]
fn links(page: u32) -> Vec<u32> {
    [page * 2, page * 2 + 1, page / 2].into_iter().filter(|next| (1..100).contains(next)).collect()
}

#[poolmap::main]
fn main() -> poolmap::Result<()> {
    let pool = Pool::new()?;
    let mut seen = BTreeSet::from([1]);
    let mut open = vec![pool.submit(links { page: 1 })?];
    // The set of calls grows while it is waited for. The input of `pool_iter_unordered!` could not be fed by its results: it is read
    // on this thread, which would wait for an item that only a result can bring.
    while let Some(first) = wait_any(&open) {
        for page in open.swap_remove(first).join()? {
            if seen.insert(page) {
                open.push(pool.submit(links { page })?);
            }
        }
    }
    println!("{} pages", seen.len());
    assert_eq!(seen.len(), 99);
    Ok(())
}
