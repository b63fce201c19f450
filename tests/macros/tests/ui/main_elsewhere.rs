//! `#[poolmap::main]` is for `main`.

#[poolmap::main]
fn start() {}

#[poolmap::main(threads = 4)]
fn run() {}

#[poolmap::main]
struct Program;

fn main() {
    start();
    run();
    let _ = Program;
}
