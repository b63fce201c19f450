//! An option of another macro.

use poolmap::{pool_iter, worker};

#[worker]
fn double(x: i64) -> Result<i64, String> {
    Ok(2 * x)
}

fn main() {
    let _ = pool_iter!(double, 0..3; on_error = poolmap::Replace(0));
}
