//! What works in a sandbox as anywhere.

use std::cell::RefCell;
use std::fs::File;
use std::io::Read;
use std::time::Duration;

use nix::libc;
use poolmap::{
    Event, Mutex, Output, Pool, Sandbox, Semaphore, Sender, SharedSlice, SharedSliceMut, StartMethod, TaskErrorKind,
    channel, current_worker, pool_for_each, pool_iter, pool_map, pool_map_captured, pool_reduce, pool_try_map, shared,
    task_seed, worker,
};

use crate::common;

#[worker]
fn square(x: u64) -> u64 {
    x * x
}

#[worker]
fn add(x: u64, y: u64) -> u64 {
    x + y
}

#[worker]
fn fail(way: &str) -> u64 {
    match way {
        "panic" => panic!("it panics"),
        "segfault" => common::segfault(),
        "abort" => std::process::abort(),
        "hang" => std::thread::sleep(Duration::from_secs(600)),
        "allocate" => return vec![1u8; 1 << 30].len() as u64,
        other => println!("printed: {other}"),
    }
    7
}

fn pool() -> Pool {
    Pool::builder().workers(2).sandbox(Sandbox::strict()).build().unwrap()
}

#[poolmap::test]
fn every_form_of_a_map_works() {
    let _guard = common::guard();
    let pool = pool();
    let squares: Vec<u64> = (0..2000).map(|x| x * x).collect();
    assert_eq!(pool_map!(in &pool, square, 0..2000).unwrap(), squares);
    let lazy: Vec<u64> = pool_iter!(in &pool, square, 0..2000).unwrap().map(Result::unwrap).collect();
    assert_eq!(lazy, squares);
    assert_eq!(pool_reduce!(in &pool, square, 0..2000; with = add, identity = 0).unwrap(), squares.iter().sum::<u64>());
    pool_for_each!(in &pool, square, 0..10).unwrap();
    assert_eq!(pool.apply(square { x: 5 }).unwrap(), 25);
    assert_eq!(pool.submit(square { x: 6 }).unwrap().join().unwrap(), 36);
}

#[poolmap::test]
fn a_panic_has_its_message_and_a_crash_its_calls() {
    let _guard = common::guard();
    let pool = pool();
    let outcomes = pool_try_map!(in &pool, fail, ["panic", "segfault", "abort", "text"]).unwrap();
    let [panicked, segfault, abort] = [0, 1, 2].map(|task: usize| outcomes[task].as_ref().unwrap_err());
    assert!(matches!(panicked.kind(), TaskErrorKind::Panicked { message, .. } if message == "it panics"), "{panicked}");
    assert!(
        matches!(segfault.kind(), TaskErrorKind::Crashed { signal: Some(11), note: Some(note), .. } if note.contains("0x8"))
    );
    assert!(matches!(abort.kind(), TaskErrorKind::Crashed { signal: Some(6), .. }), "{abort}");
    for crash in [segfault, abort] {
        let calls = crash.native_backtrace().unwrap();
        assert!(calls.contains("works::fail"), "{calls}");
    }
    assert_eq!(outcomes[3].as_ref().unwrap(), &7);
}

#[poolmap::test]
fn a_panic_has_a_backtrace_where_one_is_asked_for() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).env("RUST_BACKTRACE", "1").sandbox(Sandbox::strict()).build().unwrap();
    for _ in 0..3 {
        let error = pool_map!(in &pool, fail, ["panic"]).unwrap_err();
        let Some(TaskErrorKind::Panicked { backtrace: Some(backtrace), .. }) = error.task().map(|task| task.kind())
        else {
            panic!("{error}");
        };
        assert!(backtrace.contains("works::fail"), "{backtrace}");
    }
}

#[poolmap::test]
fn limits_hold() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).memory_limit(128 << 20).sandbox(Sandbox::strict()).build().unwrap();
    let outcomes = pool_try_map!(in &pool, fail, ["hang", "allocate"]; timeout = Duration::from_millis(200)).unwrap();
    let hang = outcomes[0].as_ref().unwrap_err();
    assert!(matches!(hang.kind(), TaskErrorKind::TimedOut { .. }), "{hang}");
    let allocate = outcomes[1].as_ref().unwrap_err();
    assert!(matches!(allocate.kind(), TaskErrorKind::MemoryLimit { .. }), "{allocate}");
}

#[poolmap::test]
fn output_is_captured() {
    let _guard = common::guard();
    for output in [Output::Captured, Output::Tagged] {
        let pool = Pool::builder().workers(2).output(output).sandbox(Sandbox::strict()).build().unwrap();
        let captured = pool_map_captured!(in &pool, fail, ["a", "b", "c"]);
        if output == Output::Captured {
            let printed: Vec<String> = captured.unwrap().into_iter().map(|captured| captured.stdout).collect();
            assert_eq!(printed, ["printed: a\n", "printed: b\n", "printed: c\n"]);
        }
    }
}

#[worker]
fn draw(_task: u32) -> Option<u64> {
    task_seed()
}

#[worker]
fn sum(numbers: &[u64], times: u64) -> u64 {
    numbers.iter().sum::<u64>() * times
}

#[worker]
fn sum_slice(numbers: SharedSlice<u64>) -> u64 {
    numbers.iter().sum()
}

#[worker]
fn fill(count: u64) -> SharedSlice<u64> {
    (0..count).collect()
}

#[worker]
fn long(bytes: usize) -> Vec<u8> {
    vec![7; bytes]
}

#[worker]
fn fill_part(mut part: SharedSliceMut<u64>, value: u64) {
    part.fill(value);
}

#[poolmap::test]
fn seeds_and_shared_memory_are_there() {
    let _guard = common::guard();
    let pool = pool();
    let plain = Pool::builder().workers(2).build().unwrap();
    let seeds = |pool: &Pool| pool_map!(in pool, draw, 0..5; seed = 3).unwrap();
    assert_eq!(seeds(&pool), seeds(&plain));
    let numbers: Vec<u64> = (0..100_000).collect();
    let total: u64 = numbers.iter().sum();
    assert_eq!(pool_map!(in &pool, sum, shared(&numbers), [1, 2]).unwrap(), [total, 2 * total]);
    let slice: SharedSlice<u64> = numbers.iter().copied().collect();
    assert_eq!(pool_map!(in &pool, sum_slice, [slice.clone(), slice]).unwrap(), [total, total]);
    let error = pool_map!(in &pool, fill, [10]).unwrap_err();
    let kind = error.task().unwrap().kind();
    assert!(matches!(kind, TaskErrorKind::Denied { call: Some(call), .. } if call == "memfd_create"), "{error}");
    let large = pool_map!(in &pool, long, [1, 10 << 20]).unwrap();
    assert_eq!(large[1].len(), 10 << 20);
    let mut parts = SharedSliceMut::<u64>::zeroed(1000).unwrap();
    pool_for_each!(in &pool, fill_part, parts.chunks_mut(100), 0..10).unwrap();
    assert_eq!(parts[950], 9);
}

thread_local! {
    static OPENED: RefCell<Option<File>> = const { RefCell::new(None) };
}

#[worker]
fn open_own_program() {
    OPENED.set(Some(File::open("/proc/self/exe").unwrap()));
}

/// Reads what the initializer has opened.
#[worker]
fn read_opened(count: usize) -> (usize, u64, usize) {
    OPENED.with_borrow_mut(|file| {
        let file = file.as_mut().unwrap();
        let mut bytes = vec![0; count];
        let read = file.read(&mut bytes).unwrap();
        (read, file.metadata().unwrap().len(), std::env::vars_os().count())
    })
}

#[worker]
fn open_in_finalizer() -> bool {
    true
}

#[poolmap::test]
fn the_initializer_is_outside_and_what_it_has_opened_stays() {
    let _guard = common::guard();
    let pool = Pool::builder()
        .workers(2)
        .env("A_SECRET", "of the environment")
        .initializer(open_own_program {})
        .finalizer(open_in_finalizer {})
        .sandbox(Sandbox::strict())
        .build()
        .unwrap();
    pool.ready().unwrap();
    let length = std::fs::metadata("/proc/self/exe").unwrap().len();
    for (read, bytes, variables) in pool_map!(in &pool, read_opened, [10; 20]).unwrap() {
        assert_eq!((read, bytes), (10, length));
        assert!(variables <= 1, "{variables} variables");
    }
    assert_eq!(pool_try_map!(in &pool, fail, ["panic"]).unwrap().len(), 1);
}

/// Searches the memory of this process for a text, of which it is given the halves.
#[worker]
fn finds(first: &str, second: &str) -> bool {
    let sought = format!("{first}{second}");
    let stack = std::hint::black_box(&sought).as_ptr();
    let _ = stack;
    // The environment is above the first thread's stack, up to the end of that mapping. What is above a variable of `main` is not to be
    // found from here, so the place was noted by the initializer.
    let (begin, end) = PLACE.get();
    (begin..end - sought.len()).any(|at| {
        let address: *const u8 = std::ptr::with_exposed_provenance(at);
        sought.bytes().enumerate().all(|(place, byte)| {
            // SAFETY: the initializer has seen that these bytes are mapped.
            byte == unsafe { address.add(place).read_volatile() }
        })
    })
}

thread_local! {
    static PLACE: std::cell::Cell<(usize, usize)> = const { std::cell::Cell::new((0, 0)) };
}

#[worker]
fn note_stack() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| line.ends_with("[stack]")).unwrap();
    let (begin, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
    let number = |text| usize::from_str_radix(text, 16).unwrap();
    PLACE.set((number(begin), number(end)));
}

#[poolmap::test]
fn the_environment_is_not_in_memory_any_more() {
    let _guard = common::guard();
    let builder = || Pool::builder().workers(1).env("A_SECRET", "xyzzy-of-the-environment").initializer(note_stack {});
    let found = |pool: Pool| pool_map!(in &pool, finds, ["xyzzy-of-the"], ["-environment"]).unwrap()[0];
    assert!(found(builder().build().unwrap()), "without a sandbox it is there");
    assert!(!found(builder().sandbox(Sandbox::strict()).build().unwrap()));
}

#[poolmap::test]
fn a_job_log_names_the_outcome_and_tasks_are_measured() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    let pool = pool();
    let outcomes = pool_try_map!(in &pool, open_it, ["", "/etc/passwd"]; job_log = &path).unwrap();
    assert!(outcomes[0].is_ok() && outcomes[1].is_err());
    let log = std::fs::read_to_string(&path).unwrap();
    assert!(log.contains(",denied,") && log.contains("`openat` of \"\"/etc/passwd\"\" is denied"), "{log}");
    let peak = log.lines().find(|line| line.contains(",ok,")).unwrap().split(',').nth(9).unwrap();
    assert!(peak.parse::<u64>().is_ok_and(|bytes| bytes > 0), "{log}");
}

#[worker]
fn open_it(path: &str) -> bool {
    !path.is_empty() && File::open(path).is_ok()
}

#[poolmap::test]
fn the_error_names_the_call_the_path_and_the_place() {
    let _guard = common::guard();
    let pool = pool();
    let error = pool_map!(in &pool, open_it, ["/etc/passwd"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "task 0 of `sandbox::works::open_it` (path: \"/etc/passwd\") was ended by its sandbox: `openat` of \"/etc/passwd\" is denied"
    );
    let calls = error.task().unwrap().native_backtrace().unwrap();
    assert!(calls.contains("open_it"), "{calls}");
    let again = pool_try_map!(in &pool, open_it, ["/etc/passwd"]; attempts = 3).unwrap();
    assert_eq!(again[0].as_ref().unwrap_err().attempts(), 3);
}

#[poolmap::test]
fn a_worker_has_its_identity_and_a_replaced_one_too() {
    let _guard = common::guard();
    #[worker]
    fn index(_task: u32) -> usize {
        current_worker().unwrap().index()
    }
    let pool = Pool::builder().workers(2).max_tasks_per_worker(3).sandbox(Sandbox::strict()).build().unwrap();
    assert!(pool_map!(in &pool, index, 0..30).unwrap().into_iter().all(|index| index < 2));
}

/// Uses what processes use together; or ends with the lock.
#[worker]
fn use_together(task: u64, sum: &Mutex<u64>, places: &Semaphore, begun: &Event, sent: Sender<u64>) {
    begun.set();
    let _place = places.acquire();
    let mut sum = sum.lock().unwrap();
    *sum += task;
    sent.send(task).unwrap();
    if task == 1000 {
        std::process::abort();
    }
}

#[poolmap::test]
fn what_processes_use_together_works_and_is_released_by_a_death() {
    let _guard = common::guard();
    for method in [StartMethod::Spawn, StartMethod::ForkServer] {
        let pool = Pool::builder().workers(2).start_method(method).sandbox(Sandbox::strict()).build().unwrap();
        let (sum, places) = (Mutex::new(0).unwrap(), Semaphore::new(1).unwrap());
        let (begun, (sent, received)) = (Event::new().unwrap(), channel().unwrap());
        let tasks = 100;
        let all = |tasks: std::ops::Range<u64>| {
            let count = (tasks.end - tasks.start) as usize;
            let (sums, places) = (std::iter::repeat_n(sum.clone(), count), std::iter::repeat_n(places.clone(), count));
            let (begun, sent) = (std::iter::repeat_n(begun.clone(), count), std::iter::repeat_n(sent.clone(), count));
            pool_try_map!(in &pool, use_together, tasks, sums, places, begun, sent; chunk_size = 3).unwrap()
        };
        assert!(all(0..tasks).iter().all(Result::is_ok));
        assert!(begun.is_set());
        assert_eq!(*sum.lock().unwrap(), (0..tasks).sum::<u64>());
        let mut tasks_sent: Vec<u64> = (0..tasks).map(|_| received.recv().unwrap()).collect();
        tasks_sent.sort_unstable();
        assert_eq!(tasks_sent, (0..tasks).collect::<Vec<_>>());
        assert!(all(1000..1001)[0].is_err());
        assert!(sum.lock().unwrap().is_owner_died());
    }
}

/// How many signals of real time wait for a worker, of a hundred that it sends itself.
#[worker]
fn flood() -> usize {
    let signal = libc::SIGRTMIN() + 4;
    // SAFETY: the set is a place of ours; the other calls take numbers.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        let send = || libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::gettid(), signal);
        (0..100).filter(|_| send() == 0).count()
    }
}

/// Those that wait count for all processes of a user.
#[poolmap::test]
fn a_task_takes_no_signal_from_other_processes() {
    let _guard = common::guard();
    assert!(pool().apply(flood {}).unwrap() <= 64);
    assert_eq!(Pool::builder().workers(1).build().unwrap().apply(flood {}).unwrap(), 100);
}
