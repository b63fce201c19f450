//! The events of the feature `tracing`, as a subscriber of the program's sees them.

mod common;

use std::fmt::{Debug, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use poolmap::{Pool, TaskErrorKind, pool_map, pool_try_map, worker};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps each event as a line: its level, its message and its fields.
struct Keeper;

struct Line(String, String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let Self(message, fields) = self;
        match field.name() {
            "message" => write!(message, "{value:?}").unwrap(),
            name => write!(fields, " {name}={value:?}").unwrap(),
        }
    }
}

impl Subscriber for Keeper {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "poolmap"
    }

    fn new_span(&self, _span: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new(), String::new());
        event.record(&mut line);
        let level = event.metadata().level();
        seen().push(format!("{level} {}{}", line.0, line.1));
    }

    fn enter(&self, _span: &span::Id) {}

    fn exit(&self, _span: &span::Id) {}
}

fn seen() -> std::sync::MutexGuard<'static, Vec<String>> {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for an event.
fn wait_for(begins: &str) -> String {
    let find = || seen().iter().find(|line| line.starts_with(begins)).cloned();
    common::wait_until(begins, || find().is_some());
    find().unwrap()
}

#[worker]
fn step(way: &str) -> Result<usize, String> {
    match way {
        "abort" => std::process::abort(),
        "panic" => panic!("a panic"),
        "sleep" => std::thread::sleep(Duration::from_secs(600)),
        "fail" => return Err("an error".to_owned()),
        _ => {}
    }
    Ok(way.len())
}

/// A subscriber may use the pool's own thread, and the pool.
#[poolmap::test]
fn what_happens_is_told() {
    let _guard = common::guard();
    tracing::subscriber::set_global_default(Keeper).unwrap();
    let pool = Pool::builder().workers(1).build().unwrap();
    pool.ready().unwrap();
    assert_eq!(wait_for("INFO pool started"), "INFO pool started workers=1");
    let pid = wait_for("DEBUG worker started worker=0 pid=").rsplit_once('=').unwrap().1.to_owned();
    assert_eq!(wait_for("DEBUG worker ready"), format!("DEBUG worker ready worker=0 pid={pid}"));

    assert_eq!(pool_map!(in &pool, step, ["one", "two"]).unwrap(), [3, 3]);
    wait_for("DEBUG call opened function=\"tracing::step\" tasks=2");
    wait_for("DEBUG call closed function=\"tracing::step\" outcomes=2");
    seen().clear();

    let ways = ["fail", "panic", "abort", "sleep"];
    let outcomes = pool_try_map!(in &pool, step, ways; timeout = Duration::from_secs(3)).unwrap();
    assert!(matches!(outcomes[3].as_ref().unwrap_err().kind(), TaskErrorKind::TimedOut { .. }));
    let failed = wait_for("DEBUG task failed function=\"tracing::step\" index=0 attempts=1");
    assert!(failed.contains(&format!(" pid={pid} error=")) && failed.contains("an error"), "{failed}");
    wait_for("WARN task failed function=\"tracing::step\" index=1");
    wait_for("WARN task failed function=\"tracing::step\" index=2");
    wait_for("WARN task timed out function=\"tracing::step\" index=3");
    let died = wait_for("WARN worker died worker=0");
    assert!(died.contains(&format!("pid={pid}")) && died.contains("Signaled(6)"), "{died}");
    assert!(wait_for("DEBUG worker replaced worker=0").ends_with(&format!("replaces={pid}")));
    seen().clear();

    pool.ready().unwrap();
    drop(pool);
    wait_for("DEBUG worker ended worker=0");
    wait_for("INFO pool ended");
}
