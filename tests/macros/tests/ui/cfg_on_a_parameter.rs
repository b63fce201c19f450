//! A parameter is there in every build.

use poolmap::worker;

#[worker]
fn open(path: String, #[cfg(unix)] mode: u32) -> bool {
    let _ = (path, mode);
    true
}

fn main() {}
