//! The timeline of maps: a trace whose events nest and add up, and a page that no text breaks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use poolmap::{Pool, current_worker, pool_iter, pool_map, pool_try_map, worker};
use serde_json::Value;
use tempfile::tempdir;

use super::common::{guard, pool, segfault};

#[worker]
fn square(x: u64) -> u64 {
    x * x
}

/// Ends in another way for each number.
#[worker]
fn end(x: u64) -> Result<u64, String> {
    std::thread::sleep(Duration::from_millis(2));
    let attempt = current_worker().map_or(1, |worker| worker.attempt());
    match x % 10 {
        1 => return Err("</script><script>alert(1)</script>\u{2028}\"'`".to_owned()),
        2 => panic!("</SCRIPT >"),
        3 if attempt == 1 => segfault(),
        _ => {}
    }
    Ok(x)
}

/// Takes long for one number. The key is nobody's business.
#[worker]
fn slow(x: u64, name: String, #[redact] key: String) -> usize {
    std::thread::sleep(Duration::from_millis(if x == 70 { 60 } else { 1 }));
    name.len() + key.len()
}

/// The events of a trace of one kind.
fn events<'a>(trace: &'a Value, phase: &str, category: &str) -> Vec<&'a Value> {
    let all = trace["traceEvents"].as_array().unwrap().iter();
    let is_of = |event: &&Value| event["cat"].as_str().unwrap_or_default().split(',').any(|name| name == category);
    all.filter(|event| event["ph"] == phase).filter(is_of).collect()
}

fn trace(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The data of a page.
fn page(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(!text.contains("http"), "the page names another place");
    assert_eq!(text.matches("</script>").count(), 2, "a text has ended the script");
    let (_, data) = text.split_once("<script type=\"application/json\" id=\"data\">").unwrap();
    serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap()
}

/// Whether events of each thread stand one behind the other, or one inside of another.
fn check_nesting(trace: &Value) {
    let nanos = |value: &Value| (value.as_f64().unwrap() * 1000.0).round() as i64;
    let mut of_threads: BTreeMap<(i64, i64), Vec<(i64, i64)>> = BTreeMap::new();
    for event in trace["traceEvents"].as_array().unwrap().iter().filter(|event| event["ph"] == "X") {
        let (start, duration) = (nanos(&event["ts"]), nanos(&event["dur"]));
        assert!(start >= 0 && duration >= 0, "{event}");
        let thread = (event["pid"].as_i64().unwrap(), event["tid"].as_i64().unwrap());
        of_threads.entry(thread).or_default().push((start, start + duration));
    }
    for (thread, mut spans) in of_threads {
        spans.sort_by_key(|&(start, end)| (start, -end));
        let mut open: Vec<i64> = Vec::new();
        for (start, end) in spans {
            open.retain(|&outer| outer > start);
            assert!(open.iter().all(|&outer| end <= outer), "events of {thread:?} overlap at {start} to {end}");
            open.push(end);
        }
    }
}

#[poolmap::test]
fn a_trace_has_each_execution_once_and_its_events_nest() {
    let (_guard, folder) = (guard(), tempdir().unwrap());
    let path = folder.path().join("trace.json");
    let pool = pool(2);
    assert_eq!(pool_map!(in &pool, square, 0..5000; timeline = &path).unwrap().len(), 5000);
    let first = trace(&path);
    check_nesting(&first);
    let tasks = events(&first, "X", "task");
    let mut indices: Vec<u64> = tasks.iter().map(|event| event["args"]["index"].as_u64().unwrap()).collect();
    indices.sort_unstable();
    assert_eq!(indices, (0..5000).collect::<Vec<_>>());
    assert!(tasks.iter().all(|event| event["name"] == "square" && event["args"]["outcome"] == "ok"));
    let bytes = events(&first, "C", "bytes");
    assert_eq!(bytes.last().unwrap()["args"]["sent"], 40_000);
    assert_eq!(bytes.last().unwrap()["args"]["received"], 40_000);
    let wall = events(&first, "X", "call")[0]["dur"].as_f64().unwrap();
    assert!(events(&first, "X", "wait").iter().all(|wait| wait["ts"].as_f64().unwrap() <= wall));
    // The pool was made for this call.
    assert_eq!(events(&first, "X", "start").len(), 2);

    pool_try_map!(in &pool, end, 0..40; attempts = 2, timeline = &path).unwrap();
    let second = trace(&path);
    check_nesting(&second);
    let of =
        |outcome: &str| events(&second, "X", "task").iter().filter(|event| event["args"]["outcome"] == outcome).count();
    assert_eq!([of("ok"), of("failed"), of("panicked"), of("crashed")], [32, 4, 4, 4]);
    let deaths = events(&second, "i", "death");
    assert_eq!(deaths.len(), 4);
    assert!(deaths.iter().all(|death| death["args"]["cause"].as_str().unwrap().contains("SIGSEGV")), "{deaths:?}");
    let crashed: Vec<_> =
        events(&second, "X", "task").into_iter().filter(|event| event["args"]["outcome"] == "crashed").collect();
    assert!(crashed.iter().all(|event| event["dur"].as_f64().unwrap() >= 2000.0), "{crashed:?}");
}

#[poolmap::test]
fn no_text_breaks_a_page() {
    let (_guard, folder) = (guard(), tempdir().unwrap());
    let path = folder.path().join("timeline.html");
    let pool = pool(2);
    pool_try_map!(in &pool, end, 0..20; attempts = 2, timeline = &path).unwrap();
    let data = page(&path);
    let tasks = &data["tasks"];
    let count = tasks["start"].as_array().unwrap().len();
    assert_eq!(count, 22);
    assert!(tasks.as_object().unwrap().values().all(|column| column.as_array().unwrap().len() == count));
    assert_eq!(data["deaths"].as_array().unwrap().len(), 2);
    let details: Vec<&str> =
        data["details"].as_array().unwrap().iter().map(|detail| detail[1].as_str().unwrap()).collect();
    assert_eq!(details.len(), 6);
    assert!(details.iter().any(|detail| detail.contains("</script><script>alert(1)</script>\u{2028}\"'`")));
    let end = |at: usize| tasks["start"][at].as_u64().unwrap() + tasks["duration"][at].as_u64().unwrap();
    assert!((0..count).all(|at| end(at) <= data["wall"].as_u64().unwrap()));
    // Each track's tasks follow one another.
    for at in 1..count {
        let track = |at: usize| tasks["track"][at].as_u64().unwrap();
        assert!(track(at - 1) <= track(at));
        assert!(track(at - 1) < track(at) || tasks["start"][at].as_u64().unwrap() + 1 >= end(at - 1));
    }
}

#[poolmap::test]
fn the_slowest_tasks_have_their_arguments_and_no_secret() {
    let (_guard, folder) = (guard(), tempdir().unwrap());
    let paths = ["timeline.html", "trace.json"].map(|name| folder.path().join(name));
    let pool = pool(2);
    let names = || (0..200).map(|x| format!("</script>{x}"));
    for (chunk_size, path) in [(1, &paths[0]), (7, &paths[0]), (7, &paths[1])] {
        let keys = std::iter::repeat_n("a secret".to_owned(), 200);
        pool_map!(in &pool, slow, 0..200, names(), keys; chunk_size = chunk_size, timeline = path).unwrap();
        let is_slow = "x: 70, name: \"</script>70\", key: <redacted>";
        assert!(!std::fs::read_to_string(path).unwrap().contains("a secret"));
        if path == &paths[0] {
            let data = page(path);
            let arguments = data["arguments"].as_array().unwrap();
            assert_eq!(arguments.len(), 25);
            let of_slow = arguments.iter().find(|arguments| arguments[1] == is_slow).unwrap();
            let at = usize::try_from(of_slow[0].as_u64().unwrap()).unwrap();
            assert_eq!(data["tasks"]["index"][at], 70);
            assert!(data["tasks"]["duration"][at].as_u64().unwrap() >= 600_000);
        } else {
            let trace = trace(path);
            let with: Vec<_> =
                events(&trace, "X", "task").into_iter().filter(|task| task["args"]["arguments"] == is_slow).collect();
            assert_eq!(with.len(), 1);
            assert_eq!(with[0]["args"]["index"], 70);
        }
    }
}

#[poolmap::test]
fn a_call_that_is_empty_fails_or_is_dropped_has_a_whole_file() {
    let (_guard, folder) = (guard(), tempdir().unwrap());
    let paths = ["timeline.html", "trace.json"].map(|name| folder.path().join(name));
    let pool = pool(2);
    let is_whole = || {
        page(&paths[0]);
        check_nesting(&trace(&paths[1]));
    };
    for path in &paths {
        assert!(pool_map!(in &pool, square, 0..0; timeline = path).unwrap().is_empty());
    }
    is_whole();
    for path in &paths {
        pool_map!(in &pool, end, 0..10_000; timeline = path).unwrap_err();
    }
    is_whole();
    for path in &paths {
        let mut iter = pool_iter!(in &pool, square, 0..10_000; timeline = path).unwrap();
        assert_eq!(iter.next().unwrap().unwrap(), 0);
    }
    is_whole();
}

#[poolmap::test]
fn calls_and_pools_in_process_have_timelines_and_both_files_at_once() {
    let (_guard, folder) = (guard(), tempdir().unwrap());
    let [path, log] = ["trace.json", "log.csv"].map(|name| folder.path().join(name));
    let pool = pool(1);
    assert_eq!(pool.call(square { x: 4 }).timeline(&path).job_log(&log).apply().unwrap(), 16);
    assert_eq!(events(&trace(&path), "X", "task").len(), 1);
    let lines = super::log::read(&log);
    assert_eq!((lines.len(), lines[0].index(), lines[0].text("outcome")), (1, 0, "ok"));

    let retried = pool.call(end { x: 1 }).retry_errors(1).job_log(&log).submit().unwrap();
    assert!(retried.join().is_err());
    let lines = super::log::read(&log);
    assert_eq!(lines.iter().map(|line| line.text("attempt")).collect::<Vec<_>>(), ["1", "2"]);
    assert!(lines.iter().all(|line| line.text("outcome") == "failed" && line.text("detail").contains("alert")));

    let in_process = Pool::builder().in_process().build().unwrap();
    assert_eq!(pool_map!(in &in_process, square, 0..10; timeline = &path).unwrap().len(), 10);
    assert_eq!(events(&trace(&path), "X", "task").len(), 10);
    assert_eq!(in_process.call(square { x: 3 }).timeline(&path).apply().unwrap(), 9);
    assert_eq!(events(&trace(&path), "X", "task").len(), 1);
}

/// Its Debug uses the pool that the call is of.
#[derive(serde::Serialize, serde::Deserialize)]
struct UsesPool;

static USED: OnceLock<Pool> = OnceLock::new();
/// How often one was shown.
static SHOWN: AtomicUsize = AtomicUsize::new(0);

impl std::fmt::Debug for UsesPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        SHOWN.fetch_add(1, Ordering::Relaxed);
        let pool = USED.get().map(|pool| pool.submit(square { x: 3 }).unwrap().join().unwrap());
        write!(f, "{pool:?}")
    }
}

#[worker]
fn take(_given: UsesPool) {
    std::thread::sleep(Duration::from_millis(1));
}

#[poolmap::test]
fn arguments_that_use_the_pool_are_shown_under_no_lock() {
    let (_guard, folder) = (guard(), tempdir().unwrap());
    let path = folder.path().join("trace.json");
    let pool = USED.get_or_init(|| pool(2));
    for _ in 0..3 {
        pool.call(take { _given: UsesPool }).timeline(&path).apply().unwrap();
        assert_eq!(events(&trace(&path), "X", "task").len(), 1);
    }
    // Those of single calls are recorded under a lock, and so not shown.
    assert_eq!(SHOWN.load(Ordering::Relaxed), 0);
    pool_map!(in pool, take, (0..3).map(|_| UsesPool); timeline = &path).unwrap();
    let trace = trace(&path);
    let tasks = events(&trace, "X", "task");
    assert!(tasks.iter().all(|task| task["args"]["arguments"] == "_given: Some(9)"), "{tasks:?}");
    pool.join().unwrap();
}

#[poolmap::test]
fn a_page_has_a_hundred_thousand_tasks() {
    let (_guard, folder) = (guard(), tempdir().unwrap());
    // A browser can be shown this one.
    let kept = std::env::var_os("POOLMAP_KEEP_TIMELINE").map(std::path::PathBuf::from);
    let path = kept.unwrap_or_else(|| folder.path().join("timeline.html"));
    let pool = pool(2);
    assert_eq!(pool_map!(in &pool, square, 0..100_000; timeline = &path).unwrap().len(), 100_000);
    let data = page(&path);
    assert_eq!(data["tasks"]["start"].as_array().unwrap().len(), 100_000);
    assert!(std::fs::metadata(&path).unwrap().len() < 8_000_000);
}
