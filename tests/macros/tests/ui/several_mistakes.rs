//! Every mistake of a function is reported at once.

use poolmap::worker;

#[worker(fast)]
async unsafe fn search<T>(text: &'static str, found: &mut Vec<T>, all: Option<&str>) -> &'static str {
    let _ = (found, all);
    text
}

fn main() {}
