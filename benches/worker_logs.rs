//! The cost of a subscriber that may listen to tasks, and of an event. The same map of tasks of 10 µs runs without a subscriber, and
//! with one that takes nothing of tasks; then tasks make events for a subscriber that counts them.
//! `cargo bench --bench worker_logs [-- TASKS [ROUNDS]]`, in half a minute. Compare two builds for what the feature itself costs.

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::{compute, median, number};
use poolmap::{Pool, pool_map, worker};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Metadata, Subscriber, span};

/// Takes 10 µs of the processor.
#[worker]
fn work(x: u64) -> u64 {
    compute(x, Duration::from_micros(10))
}

/// Makes so many events; returns the time that one took.
#[worker]
fn events(count: u32) -> Duration {
    let start = Instant::now();
    for step in 0..count {
        tracing::info!(step, "an event");
    }
    start.elapsed() / count
}

static EVENTS: AtomicU64 = AtomicU64::new(0);

/// Counts events of one level and above.
struct Count(LevelFilter);

impl Subscriber for Count {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.0
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0)
    }

    fn new_span(&self, _span: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}

    fn event(&self, _event: &Event<'_>) {
        EVENTS.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _span: &span::Id) {}

    fn exit(&self, _span: &span::Id) {}
}

fn timed(pool: &Pool, tasks: u64) -> f64 {
    let start = Instant::now();
    assert_eq!(pool_map!(in pool, work, 0..tasks).expect("no task fails").len() as u64, tasks);
    start.elapsed().as_secs_f64()
}

#[poolmap::main]
fn main() -> poolmap::Result<()> {
    let (tasks, rounds) = (number(0, 20_000), number(1, 9));
    let pool = Pool::builder().build()?;
    timed(&pool, tasks);
    let (mut unheard, mut heard) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        unheard.push(timed(&pool, tasks));
        let _default = tracing::subscriber::set_default(Count(LevelFilter::ERROR));
        heard.push(timed(&pool, tasks));
    }
    let per_task = |times: &Vec<f64>| 1e6 * median(times.clone()) / tasks as f64;
    println!("a task of 10 µs, nobody listens: {:.2} µs of the wall", per_task(&unheard));
    println!("the same, somebody listens and it logs nothing: {:.2} µs", per_task(&heard));
    let _default = tracing::subscriber::set_default(Count(LevelFilter::INFO));
    let one = Pool::builder().workers(1).build()?;
    let start = Instant::now();
    let of_task = pool_map!(in &one, events, [50_000; 4])?;
    let both = start.elapsed().as_secs_f64();
    let of_task = median(of_task.iter().map(|time| time.as_secs_f64()).collect());
    let seen = EVENTS.load(Ordering::Relaxed);
    println!("an event takes its task {:.2} µs, and {:.2} µs until it is counted", 1e6 * of_task, 1e6 * both / 2e5);
    assert!(seen >= 200_000, "{seen}");
    Ok(())
}
