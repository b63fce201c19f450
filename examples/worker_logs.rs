//! Logs of tasks arrive at the program's subscriber, in the span of its task and of the caller, up to the last line before a crash.
//! poolmap has its feature `tracing` here; the rest is a subscriber that `main` sets, as in any program.

use std::io;
use std::sync::{Arc, Mutex};

use poolmap::{Pool, pool_try_map, worker};
use tracing::info_span;

#[worker]
fn resize(path: &str, width: u32) -> u32 {
    let _span = info_span!("decode", format = "jpeg").entered();
    tracing::info!(width, "reads {path}");
    log::warn!("{path} has no profile");
    if path.ends_with('2') {
        tracing::error!("a bad header");
        std::process::abort(); // as a broken C library might
    }
    width / 2
}

/// The lines of the log, for the check at the end.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<String>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
        io::stdout().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[poolmap::main]
fn main() -> poolmap::Result<()> {
    let lines = Lines::default();
    let writer = lines.clone();
    tracing_subscriber::fmt().without_time().with_ansi(false).with_writer(move || writer.clone()).init();
    let pool = Pool::builder().workers(1).build()?;
    let outcomes =
        info_span!("album", id = 7).in_scope(|| pool_try_map!(in &pool, resize, ["in/1", "in/2"], [640, 800]))?;
    assert!(outcomes[0].is_ok() && outcomes[1].is_err());
    let text = lines.0.lock().unwrap();
    let last = text.lines().find(|line| line.ends_with("a bad header")).expect("it was written before the crash");
    assert!(last.contains("album{id=7}:task{") && last.contains("}:decode{format=\"jpeg\"}: "), "{last}");
    Ok(())
}
