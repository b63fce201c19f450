//! The returned type is serde.

use poolmap::worker;

struct Settings {
    threads: usize,
}

#[worker]
fn load(threads: usize) -> Settings {
    Settings { threads }
}

#[worker]
fn try_load(threads: usize) -> Result<Settings, String> {
    Ok(Settings { threads })
}

#[worker(plain)]
fn load_plain(threads: usize) -> Result<usize, std::io::Error> {
    Ok(threads)
}

fn main() {}
