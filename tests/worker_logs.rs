//! What tasks log with the crates tracing and log, as the program's subscriber sees it.

mod common;
#[path = "logs/jobs.rs"]
mod jobs;
#[path = "logs/recorder.rs"]
mod recorder;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jobs::*;
use poolmap::{Pool, Process, StartMethod, TaskErrorKind, pool_map, pool_reduce, pool_stream, pool_try_map};
use recorder::{Recorder, Seen};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;

const JOBS: &str = "worker_logs::jobs";

/// The index of a task, as its span says.
fn task_of(recorder: &Recorder, event: &Seen) -> Option<u64> {
    let spans = recorder.book().around(event.parent);
    let task = spans.iter().find(|span| span.name == "task" && span.target == "poolmap")?;
    let fields = &task.fields;
    fields.split(" task:u64=").nth(1)?.split(' ').next()?.parse().ok()
}

fn pool(workers: usize) -> Pool {
    Pool::builder().workers(workers).build().unwrap()
}

#[poolmap::test]
fn events_of_a_task_are_in_order_and_there_when_the_map_returns() {
    let _guard = common::guard();
    let (recorder, _default) = Recorder::all(LevelFilter::INFO);
    let pool = pool(2);
    assert_eq!(pool_map!(in &pool, five, 0..1000).unwrap().len(), 1000);
    let events = recorder.book().of_target(JOBS);
    assert_eq!(events.len(), 5000);
    let mut next = vec![0; 1000];
    for event in &events {
        let task = task_of(&recorder, event).unwrap();
        assert_eq!(event.fields, format!(" task:u64={task} step:u64={}", next[task as usize]));
        next[task as usize] += 1;
    }
    let book = recorder.book();
    let tasks: Vec<_> = book.spans.values().filter(|span| span.name == "task").collect();
    assert_eq!(tasks.len(), 1000);
    assert!(tasks.iter().all(|span| span.entered == 1 && span.exited == 1 && span.is_closed), "{:?}", tasks[0]);
    assert!(tasks[0].fields.contains(" function:str=\"worker_logs::jobs::five\""), "{}", tasks[0].fields);
}

#[poolmap::test]
fn spans_and_events_keep_all_that_they_have() {
    let _guard = common::guard();
    let (recorder, _default) = Recorder::all(LevelFilter::TRACE);
    let pool = pool(1);
    let outer = tracing::info_span!("outer");
    let caller = outer.in_scope(|| tracing::info_span!("caller"));
    let lines = caller.in_scope(|| pool_map!(in &pool, spans, [640]).unwrap());
    let book = recorder.book();
    let events = book.of_target(JOBS);
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&*event.level, &*event.message), ("WARN", "resized 1"));
    let expected = " ratio:f64=0.5 count:i64=-3 large:u128=340282366920938463463374607431768211455 is_done:bool=true \
                    text:str=\"a text\" shown:debug=Shown { width: 3 } error:error=(\"a cause\", None)";
    assert_eq!(event.fields, expected);
    let (file, line) = &event.place;
    assert_eq!(file.as_deref(), Some("tests/logs/jobs.rs"));
    assert!(line.is_some_and(|line| line < lines[0] && line > lines[0] - 12), "{line:?} {lines:?}");
    assert!(event.name.starts_with("event tests/logs/jobs.rs:"), "{}", event.name);
    let around = book.around(event.parent);
    let names: Vec<&str> = around.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["inner", "resize", "task", "caller", "outer"]);
    assert_eq!(around[1].fields, " width:u64=640 height:i64=7");
    for span in &around[..3] {
        assert!(span.entered == 1 && span.exited == 1 && span.is_closed, "{span:?}");
    }
    let outside = &book.of_target("another")[0];
    assert_eq!((&*outside.message, book.around(outside.parent)[0].name.as_str()), ("outside", "task"));
    drop(book);
    // The call holds the caller's span no longer than it is open.
    drop((caller, outer));
    assert!(recorder.book().spans.values().filter(|span| span.target == JOBS).all(|span| span.is_closed));
}

#[poolmap::test]
fn the_last_words_before_a_death_arrive() {
    let _guard = common::guard();
    let (recorder, _default) = Recorder::all(LevelFilter::INFO);
    let pool = pool(2);
    let ways = ["abort", "fault", "kill", "exit", "time"];
    let outcomes = pool_try_map!(in &pool, die, ways; timeout = Duration::from_secs(2)).unwrap();
    assert!(outcomes.iter().all(Result::is_err));
    let events = recorder.book().of_target(JOBS);
    assert_eq!(events.len(), 5 * 21);
    for task in 0..5 {
        let of_task: Vec<&Seen> = events.iter().filter(|event| task_of(&recorder, event) == Some(task)).collect();
        assert_eq!(of_task.len(), 21, "{task}");
        assert_eq!(of_task.last().unwrap().message, "the last words");
    }
    let book = recorder.book();
    for span in book.spans.values().filter(|span| span.name == "fatal" || span.name == "task") {
        assert!(span.entered == 1 && span.exited == 1 && span.is_closed, "{span:?}");
    }
}

#[poolmap::test]
fn levels_are_those_of_the_program_also_when_they_change() {
    let _guard = common::guard();
    tracing::callsite::rebuild_interest_cache();
    let pool = pool(1);
    assert_eq!(pool_map!(in &pool, levels, 0..2).unwrap(), [[false; 3]; 2]);
    let (recorder, _default) = Recorder::all(LevelFilter::INFO);
    assert_eq!(pool_map!(in &pool, levels, 0..2).unwrap(), [[true, false, false]; 2]);
    assert_eq!(recorder.book().of_target(JOBS).len(), 2);
    recorder.set_level(LevelFilter::DEBUG);
    assert_eq!(pool_map!(in &pool, levels, 0..2).unwrap(), [[true, true, false]; 2]);
    assert_eq!(recorder.book().of_target(JOBS).len(), 2 + 2 * 3);
    recorder.set_level(LevelFilter::OFF);
    assert_eq!(pool_map!(in &pool, levels, 0..2).unwrap(), [[false; 3]; 2]);
    assert_eq!(recorder.book().of_target(JOBS).len(), 2 + 2 * 3);
}

#[poolmap::test]
fn the_subscriber_decides_by_its_own_filter() {
    let _guard = common::guard();
    let (recorder, _default) = Recorder::start(LevelFilter::TRACE, |metadata| metadata.target() != "jobs::quiet");
    let pool = pool(1);
    pool_map!(in &pool, targets, [1]).unwrap();
    let book = recorder.book();
    assert!(book.of_target("jobs::quiet").is_empty());
    let loud = book.of_target("jobs::loud");
    let messages: Vec<&str> = loud.iter().map(|event| &*event.message).collect();
    assert_eq!(messages, ["wanted", "inside"]);
    // A span that is not taken is left out of the way up.
    assert_eq!(book.around(loud[1].parent)[0].name, "task");
}

/// What is written by the formatter of tracing-subscriber.
#[derive(Clone, Default)]
struct Written(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[poolmap::test]
fn the_formatter_and_the_filter_of_tracing_subscriber_work() {
    let _guard = common::guard();
    let written = Written::default();
    let to = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("warn,jobs::loud=info")
        .with_ansi(false)
        .without_time()
        .with_writer(move || to.clone())
        .finish();
    let default = tracing::subscriber::set_default(subscriber);
    let pool = pool(1);
    tracing::error_span!("request", id = 7).in_scope(|| pool_map!(in &pool, targets, [1]).unwrap());
    drop(pool);
    drop(default);
    let pid = |text: &str| text.split("pid=").nth(1).and_then(|rest| rest.split(' ').next()).map(str::to_owned);
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    let pid = pid(&text).unwrap_or_else(|| panic!("{text}"));
    let spans = format!("request{{id=7}}:task{{worker=0 pid={pid} task=0 function=\"worker_logs::jobs::targets\"}}");
    assert_eq!(text, format!(" INFO {spans}: jobs::loud: wanted\n INFO {spans}: jobs::loud: inside\n"));
}

#[poolmap::test]
fn records_of_the_crate_log_arrive_as_events() {
    let _guard = common::guard();
    let (recorder, _default) = Recorder::all(LevelFilter::TRACE);
    let pool = pool(1);
    pool_map!(in &pool, records, [1]).unwrap();
    let book = recorder.book();
    let old = &book.of_target("old")[0];
    assert_eq!((&*old.level, &*old.message), ("WARN", "a record of 7"));
    assert!(old.place.1.is_some() && book.around(old.parent)[0].name == "task");
    assert_eq!(book.of_target(JOBS)[0].message, "another");
}

#[poolmap::test]
fn initializers_finalizers_and_threads_are_heard() {
    let _guard = common::guard();
    let (recorder, _default) = Recorder::all(LevelFilter::INFO);
    let pool = Pool::builder().workers(2).initializer(begin {}).finalizer(finish {}).build().unwrap();
    pool.ready().unwrap();
    pool_map!(in &pool, in_threads, [4]).unwrap();
    pool.join().unwrap();
    let book = recorder.book();
    let events = book.of_target(JOBS);
    let of = |message: &str| events.iter().filter(|event| event.message == message).collect::<Vec<_>>();
    for message in ["begins", "finishes"] {
        let of = of(message);
        assert_eq!(of.len(), 2, "{message}");
        for event in of {
            let around = book.around(event.parent);
            assert!(around.len() == 1 && around[0].name == "worker" && around[0].is_closed, "{around:?}");
        }
    }
    let of_threads = of("of a thread");
    assert_eq!(of_threads.len(), 4);
    assert!(of_threads.iter().all(|event| book.around(event.parent)[0].name == "task"));
}

#[poolmap::test]
fn a_subscriber_that_an_initializer_sets_is_kept() {
    let _guard = common::guard();
    let (recorder, _default) = Recorder::all(LevelFilter::TRACE);
    let pool = Pool::builder().workers(1).initializer(set_own {}).build().unwrap();
    assert_eq!(pool.apply(own_events {}).unwrap(), 1);
    assert_eq!(pool.apply(own_events {}).unwrap(), 2);
    assert!(recorder.book().of_target(JOBS).is_empty());
}

#[poolmap::test]
fn rubbish_is_dropped_with_one_warning() {
    let _guard = common::guard();
    let (recorder, _default) = Recorder::all(LevelFilter::INFO);
    let pool = pool(1);
    for seed in 1..20 {
        assert_eq!(pool.apply(write_rubbish { seed }).unwrap(), 1);
    }
    assert_eq!(pool_map!(in &pool, five, 0..3).unwrap(), [0, 1, 2]);
    drop(pool);
    let book = recorder.book();
    let warnings: Vec<Seen> =
        book.of_target("poolmap").into_iter().filter(|event| event.message.contains("is dropped")).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].fields.contains(" worker:u64=0 pid:u64="), "{}", warnings[0].fields);
    assert!(book.of_target(JOBS).iter().any(|event| event.message == "before"));
}

#[poolmap::test]
fn a_task_that_closes_every_descriptor_ends_what_is_heard_of_it_and_no_more() {
    let _guard = common::guard();
    let (recorder, _default) = Recorder::all(LevelFilter::INFO);
    let pool = pool(1);
    pool_map!(in &pool, close_all, [1]).unwrap();
    assert_eq!(pool_map!(in &pool, five, 0..3).unwrap(), [0, 1, 2]);
    let messages: Vec<String> = recorder.book().of_target(JOBS).into_iter().map(|event| event.message).collect();
    assert_eq!(messages, ["before"]);
}

#[poolmap::test]
fn nothing_is_there_where_nobody_listens() {
    let _guard = common::guard();
    tracing::callsite::rebuild_interest_cache();
    let unheard = pool(1);
    let before = unheard.apply(descriptors {}).unwrap();
    assert_eq!(pool_map!(in &unheard, five, 0..10).unwrap().len(), 10);
    assert_eq!(unheard.apply(descriptors {}).unwrap(), before);
    assert!(!common::threads().contains("poolmap-logs"));
    let (_recorder, _default) = Recorder::all(LevelFilter::ERROR);
    assert_eq!(unheard.apply(descriptors {}).unwrap(), before + 1);
    // A thread names itself once it runs.
    common::wait_until("the thread that reads", || common::threads().contains("poolmap-logs"));
}

#[poolmap::test]
fn no_event_of_a_hundred_thousand_is_lost() {
    let _guard = common::guard();
    let (recorder, _default) = Recorder::all(LevelFilter::INFO);
    let pool = pool(2);
    assert_eq!(pool_map!(in &pool, many, [50_000; 2]).unwrap(), [50_000; 2]);
    assert_eq!(recorder.book().of_target(JOBS).len(), 100_000);
}

#[poolmap::test]
fn single_calls_streams_and_folds_are_heard() {
    let _guard = common::guard();
    let (recorder, _default) = Recorder::all(LevelFilter::INFO);
    let pool = pool(2);
    let heard = || {
        std::mem::take(&mut recorder.book().events).into_iter().filter(|event| event.target == JOBS).collect::<Vec<_>>()
    };
    let caller = tracing::info_span!("caller");
    let handle = caller.in_scope(|| pool.submit(five { task: 3 }).unwrap());
    assert_eq!(handle.join().unwrap(), 3);
    let events = heard();
    assert_eq!(events.len(), 5);
    assert_eq!(task_of(&recorder, &events[0]), Some(0));
    assert_eq!(recorder.book().around(events[0].parent)[1].name, "caller");
    drop(caller);
    assert!(recorder.book().spans.values().all(|span| span.is_closed), "{:?}", recorder.book().spans);

    assert_eq!(pool.call(five { task: 3 }).timeout(Duration::from_secs(60)).apply().unwrap(), 3);
    assert_eq!(heard().len(), 5);
    assert_eq!(pool_reduce!(in &pool, five, 0..10; with = add, identity = 0).unwrap(), 45);
    let tasks: std::collections::BTreeSet<_> = heard().iter().map(|event| task_of(&recorder, event)).collect();
    assert_eq!(tasks.len(), 10);
    assert!(recorder.book().spans.values().all(|span| span.is_closed));

    let stream = pool_stream!(in &pool, five, 0..10).unwrap();
    let outputs: Vec<u64> = futures_lite::future::block_on(async {
        use futures_lite::StreamExt;
        stream.try_collect().await.unwrap()
    });
    assert_eq!((outputs.len(), heard().len()), (10, 50));
}

#[poolmap::test]
fn a_process_is_heard_to_its_last_word() {
    let _guard = common::guard();
    if std::env::var_os("POOLMAP_IN_PROCESS").is_some() {
        return;
    }
    let (recorder, _default) = Recorder::all(LevelFilter::INFO);
    let caller = tracing::info_span!("caller");
    let mut process = caller.in_scope(|| Process::new(die { way: "abort".to_owned() }).start().unwrap());
    let error = process.join().unwrap_err();
    assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::Crashed { .. }));
    let events = recorder.book().of_target(JOBS);
    assert_eq!((events.len(), &*events[20].message), (21, "the last words"));
    let names: Vec<String> = recorder.book().around(events[20].parent).into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["fatal", "task", "caller"]);
    drop(process);
    drop(caller);
    assert!(recorder.book().spans.values().all(|span| span.is_closed));
}

#[poolmap::test]
fn copies_of_a_fork_server_are_heard() {
    let _guard = common::guard();
    let (recorder, _default) = Recorder::all(LevelFilter::INFO);
    let pool = Pool::builder().workers(2).start_method(StartMethod::ForkServer).build().unwrap();
    assert_eq!(pool_map!(in &pool, five, 0..100).unwrap().len(), 100);
    assert_eq!(recorder.book().of_target(JOBS).len(), 500);
}

#[poolmap::test]
fn in_process_tasks_have_their_span() {
    let _guard = common::guard();
    let (recorder, _default) = Recorder::all(LevelFilter::INFO);
    let pool = Pool::builder().in_process().build().unwrap();
    let caller = tracing::info_span!("caller");
    assert_eq!(caller.in_scope(|| pool_map!(in &pool, five, 0..10)).unwrap().len(), 10);
    let events = recorder.book().of_target(JOBS);
    assert_eq!(events.len(), 50);
    for (at, event) in events.iter().enumerate() {
        assert_eq!(task_of(&recorder, event), Some(at as u64 / 5));
        let around = recorder.book().around(event.parent);
        assert!(around.len() == 2 && around[0].entered == 1 && around[0].is_closed && around[1].name == "caller");
    }
}

/// A subscriber that runs a task for each event that is told of one.
struct RunsTasks(Pool, AtomicBool);

impl Subscriber for RunsTasks {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == JOBS
    }

    fn new_span(&self, _span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _span: &tracing::span::Id, _values: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _span: &tracing::span::Id, _follows: &tracing::span::Id) {}

    fn event(&self, _event: &tracing::Event<'_>) {
        assert_eq!(pool_map!(in &self.0, many, [3, 4]).unwrap(), [3, 4]);
        self.1.store(true, Ordering::Relaxed);
        panic!("a subscriber that panics");
    }

    fn enter(&self, _span: &tracing::span::Id) {}

    fn exit(&self, _span: &tracing::span::Id) {}
}

#[poolmap::test]
fn a_subscriber_may_use_a_pool_and_panic() {
    let _guard = common::guard();
    let dispatch = tracing::Dispatch::new(RunsTasks(pool(1), AtomicBool::new(false)));
    let pool = pool(1);
    let outputs = tracing::dispatcher::with_default(&dispatch, || pool_map!(in &pool, five, 0..3).unwrap());
    assert_eq!(outputs, [0, 1, 2]);
    assert!(dispatch.downcast_ref::<RunsTasks>().unwrap().1.load(Ordering::Relaxed));
    drop(pool);
    drop(dispatch);
    // The last who holds the subscriber ends its pool.
    common::wait_until("the subscriber is gone", || common::children(std::process::id()).is_empty());
}
