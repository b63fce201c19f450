//! A worker function returns.

use poolmap::worker;

#[worker]
fn serve(port: u16) -> ! {
    loop {
        let _ = port;
    }
}

fn main() {}
