//! What the tasks of the tests do: they log, and some of them do harm.

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use poolmap::worker;
use tracing::{Level, Subscriber};

#[worker]
pub(crate) fn five(task: u64) -> u64 {
    for step in 0..5_u64 {
        tracing::info!(task, step, "a step");
    }
    task
}

#[worker]
pub(crate) fn add(left: u64, right: u64) -> u64 {
    left + right
}

#[worker]
pub(crate) fn many(count: u64) -> u64 {
    for step in 0..count {
        tracing::info!(step, "one of many");
    }
    count
}

#[derive(Debug)]
#[allow(dead_code, reason = "it is shown")]
struct Shown {
    width: u32,
}

#[worker]
pub(crate) fn spans(width: u64) -> u32 {
    let error = std::io::Error::other("a cause");
    let resize = tracing::info_span!("resize", width, height = tracing::field::Empty);
    let line = resize.in_scope(|| {
        resize.record("height", 7_i64);
        let inner = tracing::debug_span!("inner");
        let _inner = inner.enter();
        tracing::warn!(
            ratio = 0.5,
            count = -3_i64,
            large = u128::MAX,
            is_done = true,
            text = "a text",
            shown = ?Shown { width: 3 },
            error = &error as &(dyn std::error::Error + 'static),
            "resized {}", 1
        );
        line!() - 1
    });
    tracing::error!(target: "another", parent: None, "outside");
    line
}

#[worker]
pub(crate) fn die(way: &str) {
    for step in 0..20_u64 {
        tracing::info!(step, "still there");
    }
    let _span = tracing::info_span!("fatal").entered();
    tracing::error!("the last words");
    match way {
        "abort" => std::process::abort(),
        "fault" => {
            // SAFETY: it is to fault.
            unsafe { std::ptr::null_mut::<u32>().write_volatile(1) }
        }
        "kill" => nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).unwrap(),
        "exit" => std::process::exit(7),
        _ => std::thread::sleep(Duration::from_secs(600)),
    }
}

#[worker]
pub(crate) fn levels(_task: u64) -> [bool; 3] {
    tracing::info!("an info");
    tracing::debug!("a debug");
    tracing::trace!("a trace");
    log::debug!("a record of debug");
    [tracing::enabled!(Level::INFO), tracing::enabled!(Level::DEBUG), tracing::enabled!(Level::TRACE)]
}

#[worker]
pub(crate) fn targets(_task: u64) {
    tracing::info!(target: "jobs::quiet", "not wanted");
    tracing::info!(target: "jobs::loud", "wanted");
    tracing::info_span!(target: "jobs::quiet", "not wanted")
        .in_scope(|| tracing::info!(target: "jobs::loud", "inside"));
}

#[worker]
pub(crate) fn records(_task: u64) {
    log::warn!(target: "old", "a record of {}", 7);
    log::info!("another");
}

#[worker]
pub(crate) fn in_threads(threads: u64) {
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || tracing::info!(thread, "of a thread"));
        }
    });
}

#[worker]
pub(crate) fn begin() {
    tracing::info!("begins");
}

#[worker]
pub(crate) fn finish() {
    tracing::info!("finishes");
}

/// A subscriber of a worker's own.
struct Own;

static OWN_EVENTS: AtomicU64 = AtomicU64::new(0);

impl Subscriber for Own {
    fn enabled(&self, _metadata: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _span: &tracing::span::Id, _values: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _span: &tracing::span::Id, _follows: &tracing::span::Id) {}

    fn event(&self, _event: &tracing::Event<'_>) {
        OWN_EVENTS.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _span: &tracing::span::Id) {}

    fn exit(&self, _span: &tracing::span::Id) {}
}

#[worker]
pub(crate) fn set_own() {
    tracing::subscriber::set_global_default(Own).unwrap();
}

#[worker]
pub(crate) fn own_events() -> u64 {
    tracing::info!("for the worker's own subscriber");
    OWN_EVENTS.load(Ordering::Relaxed)
}

#[worker]
pub(crate) fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The descriptors of this process that are sockets of whole packets.
fn packet_sockets() -> Vec<i32> {
    use nix::sys::socket::{SockType, getsockopt, sockopt};

    let is_one = |number: &i32| {
        // SAFETY: it is looked at here only, and open for as long as the process is.
        let descriptor = unsafe { std::os::fd::BorrowedFd::borrow_raw(*number) };
        getsockopt(&descriptor, sockopt::SockType) == Ok(SockType::SeqPacket)
    };
    let names = std::fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().file_name());
    names.filter_map(|name| name.to_str().unwrap().parse().ok()).filter(is_one).collect()
}

#[worker]
pub(crate) fn write_rubbish(seed: u64) -> usize {
    use nix::sys::socket::{MsgFlags, send};

    tracing::info!("before");
    let sockets = packet_sockets();
    let mut state = seed;
    for _ in 0..2000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let length = (state >> 40) as usize % 300 + 1;
        let bytes: Vec<u8> = (0..length).map(|at| (state >> (at % 57)) as u8 % 12).collect();
        for &socket in &sockets {
            send(socket, &bytes, MsgFlags::empty()).unwrap();
        }
    }
    let large = vec![1; 100_000];
    for &socket in &sockets {
        let _ = send(socket, &large, MsgFlags::empty());
    }
    tracing::info!("behind");
    sockets.len()
}

#[worker]
pub(crate) fn close_all(_task: u64) -> u64 {
    tracing::info!("before");
    for socket in packet_sockets() {
        nix::unistd::close(socket).unwrap();
    }
    let other = std::fs::File::open("/dev/null").unwrap();
    tracing::info!("behind");
    other.as_raw_fd() as u64
}
