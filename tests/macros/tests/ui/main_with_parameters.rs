//! `main` takes nothing.

#[poolmap::main]
fn main(arguments: Vec<String>) {
    let _ = arguments;
}
