//! A type that is no worker function.

use poolmap::pool_map;

struct Settings;

fn main() {
    let _ = pool_map!(Settings, 0..3);
}
