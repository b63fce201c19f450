//! A process for each task: a library that keeps state in globals, and that strangers' input may break, begins each task anew.
//!
//! `cargo run --release --example fresh_process`

use std::sync::Mutex;

use poolmap::{Pool, TaskErrorKind, pool_try_map, worker};

/// The state that a careless library keeps between its calls.
static BUFFER: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// The text of a message that claims its own length: too large a one reads what the message before has left.
#[worker]
fn parse(message: Vec<u8>) -> Vec<u8> {
    let mut buffer = BUFFER.lock().expect("no call has panicked in this process");
    let length = usize::from(message[0]);
    let text = &message[1..];
    if buffer.len() < text.len() {
        buffer.resize(text.len(), 0);
    }
    buffer[..text.len()].copy_from_slice(text);
    if length > buffer.len() {
        std::process::abort();
    }
    buffer[..length].to_vec()
}

#[poolmap::main]
fn main() -> poolmap::Result<()> {
    let messages = [&b"\x0fsecret of Giao."[..], b"\x02Hi", b"\x0fHi"].map(<[u8]>::to_vec);

    let pool = Pool::builder().workers(1).build()?;
    let outcomes = pool_try_map!(in &pool, parse, messages.clone())?;
    println!("one process for all: {:?}", String::from_utf8_lossy(outcomes[2].as_ref().unwrap()));
    assert_eq!(outcomes[2].as_ref().unwrap(), b"Hicret of Giao.");

    let pool = Pool::builder().workers(1).fresh_process().build()?;
    let outcomes = pool_try_map!(in &pool, parse, messages)?;
    println!("a process for each: {:#}", outcomes[2].as_ref().unwrap_err());
    assert_eq!(outcomes[1].as_ref().unwrap(), b"Hi");
    assert!(matches!(outcomes[2].as_ref().unwrap_err().kind(), TaskErrorKind::Crashed { .. }));
    Ok(())
}
