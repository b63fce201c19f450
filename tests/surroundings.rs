//! What workers and Processes are started in: environment, folder, CPUs, priority and name, and that it holds for every later worker.

mod common;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use poolmap::{Builder, Pool, Process, WorkerFn, cpu_count, current_worker, pool_map, pool_try_map, worker};

#[worker]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[worker]
fn names() -> Vec<OsString> {
    std::env::vars_os().map(|(name, _)| name).collect()
}

#[worker]
fn folder() -> PathBuf {
    std::env::current_dir().unwrap()
}

#[worker]
fn crash(x: u32) -> u32 {
    if x == 0 {
        std::process::abort();
    }
    x
}

fn built(builder: Builder) -> Pool {
    builder.build().unwrap()
}

fn variable_in(pool: &Pool, name: &str) -> Option<String> {
    pool.apply(variable { name: name.into() }).unwrap()
}

/// The answer of each of so many workers, by its index. An answer takes a moment, in which another worker is asked.
fn of_each<F: WorkerFn<Output = (usize, T)>, T>(pool: &Pool, workers: usize, ask: impl Fn() -> F) -> Vec<T> {
    let mut answers = BTreeMap::new();
    common::wait_until("each worker has answered", || {
        let asked: Vec<_> = (0..workers).map(|_| pool.submit(ask()).unwrap()).collect();
        answers.extend(asked.into_iter().map(|answer| answer.join().unwrap()));
        answers.len() == workers
    });
    answers.into_values().collect()
}

fn index_in_a_moment() -> usize {
    std::thread::sleep(Duration::from_millis(10));
    current_worker().unwrap().index()
}

#[worker]
fn gpu() -> (usize, Option<String>) {
    (index_in_a_moment(), std::env::var("POOLMAP_GPU").ok())
}

/// Has the only worker replaced by another.
fn replace_worker(pool: &Pool) {
    let before = pool.workers()[0].pid();
    assert!(pool_try_map!(in pool, crash, [0]).unwrap()[0].is_err());
    assert_eq!(pool_map!(in pool, crash, [1]).unwrap(), [1]);
    assert_ne!(pool.workers()[0].pid(), before);
}

#[poolmap::test]
fn variables_are_set_and_removed_and_hold_for_later_workers() {
    let _guard = common::guard();
    let pool = built(
        Pool::builder()
            .workers(1)
            .env("POOLMAP_ONE", "1")
            .env("POOLMAP_ONE", "two = 2")
            .env_remove("PATH")
            .env("EMPTY", ""),
    );
    assert!(std::env::var_os("PATH").is_some());
    for _ in 0..2 {
        assert_eq!(variable_in(&pool, "POOLMAP_ONE").as_deref(), Some("two = 2"));
        assert_eq!(variable_in(&pool, "EMPTY").as_deref(), Some(""));
        assert_eq!(variable_in(&pool, "PATH"), None);
        replace_worker(&pool);
    }
    let pool =
        built(Pool::builder().workers(1).env("BEFORE", "1").env_clear().env("BEHIND", "1").threads_per_worker(5));
    let left = pool.apply(names {}).unwrap();
    let is_left = |name: &str| left.iter().any(|left| left == name);
    assert!(is_left("BEHIND") && is_left("OMP_NUM_THREADS"));
    assert!(!is_left("BEFORE") && !is_left("PATH"), "{left:?}");
    let removed = Pool::builder().workers(1).env_remove("OMP_NUM_THREADS").env_clear();
    assert_eq!(variable_in(&built(removed), "OMP_NUM_THREADS"), None);
    let pool = built(Pool::builder().workers(1).env("PATH", "/nowhere").env_remove("PATH"));
    assert_eq!(variable_in(&pool, "PATH"), None);
}

#[poolmap::test]
fn what_cannot_be_a_variable_is_an_error_of_the_option() {
    let _guard = common::guard();
    let message = |builder: Builder| {
        let error = builder.build().unwrap_err();
        assert!(error.is_invalid_option(), "{error}");
        error.to_string()
    };
    let builder = || Pool::builder().workers(1);
    assert_eq!(message(builder().env("", "x")), "`env` must have a name, got an empty one");
    let of_sign = message(builder().env("A=B", "x"));
    assert_eq!(of_sign, "`env` must have a name without `=` and zero bytes, got \"A=B\"");
    assert!(message(builder().env("A\0", "x")).contains("zero bytes"));
    assert_eq!(
        message(builder().env("A", "x\0")),
        "`env` must have a value without zero bytes, got \"x\\0\" for \"A\""
    );
    assert!(message(builder().env("_POOLMAP_WORKER_OF", "1 0 worker")).contains("another name"));
    assert!(message(builder().env_remove("A=B")).starts_with("`env_remove` must have a name without `=`"));
    let each = |worker: usize| [("=", worker.to_string())];
    assert!(message(builder().env_for_each(each)).starts_with("`env_for_each` of worker 0 must have a name without"));
    assert!(message(builder().current_dir("/no/such/folder")).contains("/no/such/folder"));
    assert!(
        message(builder().current_dir("/dev/null"))
            .starts_with("`current_dir` must be a folder, and /dev/null is none")
    );
    assert!(message(builder().threads_per_worker(0)).contains("`threads_per_worker` must be 1 to 65536, got 0"));
    assert!(message(builder().nice(40)).contains("`nice` must be -39 to 39, got 40"));
    assert!(message(builder().name("")).starts_with("`name` must be a text"));
    let process = |error: poolmap::Error| error.is_invalid_option();
    assert!(Process::new(folder {}).env("", "").start().is_err_and(process));
    assert!(Process::new(folder {}).current_dir("/dev/null").start().is_err_and(process));
}

#[poolmap::test]
fn each_worker_has_its_variables_for_its_life_and_those_that_replace_it() {
    let _guard = common::guard();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let each = move |worker: usize| {
        counted.fetch_add(1, Ordering::Relaxed);
        BTreeMap::from([("POOLMAP_GPU", format!("gpu {worker}")), ("POOLMAP_SHARED", "each".to_owned())])
    };
    let pool = built(Pool::builder().workers(2).env("POOLMAP_SHARED", "all").env_for_each(each));
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    let gpus = |workers| of_each(&pool, workers, || gpu {});
    let of = |worker: usize| Some(format!("gpu {worker}"));
    assert_eq!(gpus(2), [of(0), of(1)]);
    assert_eq!(variable_in(&pool, "POOLMAP_SHARED").as_deref(), Some("each"));
    let _ = pool_try_map!(in &pool, crash, [0; 4]).unwrap();
    pool.ready().unwrap();
    assert_eq!(gpus(2), [of(0), of(1)]);
    pool.resize(4).unwrap();
    pool.ready().unwrap();
    assert_eq!(gpus(4), [of(0), of(1), of(2), of(3)]);
    assert_eq!(asked.load(Ordering::Relaxed), 4);
}

#[poolmap::test]
fn a_panic_of_the_function_for_each_worker_is_that_of_build() {
    let _guard = common::guard();
    let each = |worker: usize| -> [(&str, &str); 0] { panic!("no GPU for {worker}") };
    let built = std::panic::catch_unwind(|| Pool::builder().workers(2).env_for_each(each).build().map(drop));
    assert_eq!(built.unwrap_err().downcast_ref::<String>().unwrap(), "no GPU for 0");
}

#[poolmap::test]
fn the_folder_is_that_of_the_building_for_every_worker() {
    let _guard = common::guard();
    let before = std::env::current_dir().unwrap();
    let temporary = std::fs::canonicalize(std::env::temp_dir()).unwrap();
    let outside = temporary.parent().expect("the folder for temporary files is in another");
    std::env::set_current_dir(outside).unwrap();
    let relative = built(Pool::builder().workers(1).current_dir(temporary.file_name().unwrap()));
    let unchanged = built(Pool::builder().workers(1));
    std::env::set_current_dir(&before).unwrap();
    for _ in 0..2 {
        assert_eq!(relative.apply(folder {}).unwrap(), temporary);
        assert_eq!(unchanged.apply(folder {}).unwrap(), outside);
        replace_worker(&relative);
        replace_worker(&unchanged);
    }
}

#[poolmap::test]
fn libraries_are_told_how_many_threads_they_may_start() {
    let _guard = common::guard();
    let of = |builder: Builder| {
        let pool = built(builder);
        ["OMP_NUM_THREADS", "RAYON_NUM_THREADS", "TOKIO_WORKER_THREADS"].map(|name| variable_in(&pool, name))
    };
    let same = |threads: usize| [(); 3].map(|()| Some(threads.to_string()));
    let clean = || Pool::builder().env_clear();
    assert_eq!(of(clean().workers(1)), same(cpu_count()));
    assert_eq!(of(clean().workers(4 * cpu_count())), same(1));
    assert_eq!(of(clean().workers(1).threads_per_worker(7)), same(7));
    let some = of(clean().workers(1).threads_per_worker(7).env("OMP_NUM_THREADS", "3").env_remove("RAYON_NUM_THREADS"));
    assert_eq!(some, [Some("3".to_owned()), None, Some("7".to_owned())]);
}

#[worker]
fn threads_of_inner_workers(threads: Option<usize>) -> Option<String> {
    let builder = Pool::builder().workers(2);
    let builder = match threads {
        Some(threads) => builder.threads_per_worker(threads),
        None => builder,
    };
    variable_in(&builder.build().unwrap(), "OMP_NUM_THREADS")
}

#[poolmap::test]
fn the_workers_of_a_worker_share_what_it_may_start() {
    let _guard = common::guard();
    let inner = |outer: &Pool, threads| outer.apply(threads_of_inner_workers { threads }).unwrap();
    let outer = built(Pool::builder().workers(1).env_clear().threads_per_worker(6));
    assert_eq!(inner(&outer, None).as_deref(), Some("3"));
    assert_eq!(inner(&outer, Some(4)).as_deref(), Some("4"));
    // What a person has set stays.
    let outer = built(Pool::builder().workers(1).env_clear().env_for_each(|_| [("OMP_NUM_THREADS", "8")]));
    assert_eq!(inner(&outer, None).as_deref(), Some("8"));
    let outer = built(Pool::builder().workers(1).env_clear().env("OMP_NUM_THREADS", "5"));
    assert_eq!(inner(&outer, Some(4)).as_deref(), Some("5"));
}

#[poolmap::test]
fn a_process_has_its_environment_and_its_folder() {
    let _guard = common::guard();
    let process = || Process::new(variable { name: "POOLMAP_ONE".into() });
    assert_eq!(process().env("POOLMAP_ONE", "1").start().unwrap().join().unwrap().as_deref(), Some("1"));
    assert_eq!(process().env("POOLMAP_ONE", "1").env_clear().start().unwrap().join().unwrap(), None);
    let of_path = Process::new(variable { name: "PATH".into() });
    assert_eq!(of_path.env_remove("PATH").start().unwrap().join().unwrap(), None);
    assert_eq!(Process::new(folder {}).current_dir("/").start().unwrap().join().unwrap(), PathBuf::from("/"));
}

#[cfg(target_os = "linux")]
mod linux {
    use poolmap::Affinity;

    use super::*;

    /// A line of the status of the thread that calls it.
    fn status(name: &str) -> String {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned()
    }

    fn nice() -> i64 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        stat.rsplit_once(") ").unwrap().1.split(' ').nth(16).unwrap().parse().unwrap()
    }

    #[worker]
    fn cpus() -> (usize, String) {
        (index_in_a_moment(), status("Cpus_allowed_list:"))
    }

    #[worker]
    fn cpus_in_a_child() -> String {
        let command =
            std::process::Command::new("grep").args(["Cpus_allowed_list", "/proc/self/status"]).output().unwrap();
        String::from_utf8(command.stdout).unwrap().rsplit_once('\t').unwrap().1.trim().to_owned()
    }

    #[worker]
    fn niceness() -> i64 {
        nice()
    }

    #[worker]
    fn shown() -> (usize, String) {
        (index_in_a_moment(), std::fs::read_to_string("/proc/self/comm").unwrap().trim_end().to_owned())
    }

    #[poolmap::test]
    fn workers_run_on_their_cpus_and_the_program_on_its_own() {
        let _guard = common::guard();
        let own = status("Cpus_allowed_list:");
        let pool = built(Pool::builder().workers(1).affinity(Affinity::Spread));
        assert_eq!(pool.apply(cpus {}).unwrap(), (0, own.clone()));
        let pool = built(Pool::builder().workers(3).affinity(Affinity::OneCore));
        let shares = of_each(&pool, 3, || cpus {});
        assert!(shares.iter().all(|cpus| cpus.parse::<usize>().is_ok()), "one each: {shares:?}");
        let is_one_apart = cpu_count() < 2 || shares[0] != shares[1];
        assert!(is_one_apart, "{shares:?}");
        let alone = built(Pool::builder().workers(1).affinity(Affinity::OneCore).env_clear());
        assert_eq!(variable_in(&alone, "OMP_NUM_THREADS").as_deref(), Some("1"));
        let single = built(Pool::builder().workers(1).affinity(Affinity::OneCore));
        let of_single = single.apply(cpus {}).unwrap();
        assert_eq!(single.apply(cpus_in_a_child {}).unwrap(), of_single.1);
        replace_worker(&single);
        assert_eq!(single.apply(cpus {}).unwrap(), of_single);
        // The thread that starts workers goes on with its own CPUs: so do those of a pool without the option.
        assert_eq!(built(Pool::builder().workers(1)).apply(cpus {}).unwrap().1, own);
        assert_eq!(status("Cpus_allowed_list:"), own);
    }

    #[poolmap::test]
    fn workers_are_nicer_than_the_program() {
        let _guard = common::guard();
        let own = nice();
        let pool = built(Pool::builder().workers(1).nice(7));
        for _ in 0..2 {
            assert_eq!(pool.apply(niceness {}).unwrap(), (own + 7).min(19));
            replace_worker(&pool);
        }
        assert_eq!(built(Pool::builder().workers(1).nice(39)).apply(niceness {}).unwrap(), 19);
        assert_eq!(nice(), own);
    }

    #[poolmap::test]
    fn workers_are_shown_by_their_name_and_index() {
        let _guard = common::guard();
        if option_env!("POOLMAP_PORTABLE").is_some() {
            return;
        }
        let pool = built(Pool::builder().workers(2).name("thumbs"));
        assert_eq!(of_each(&pool, 2, || shown {}), ["thumbs 0", "thumbs 1"]);
        let pool = built(Pool::builder().workers(1).name("a very long name"));
        assert_eq!(pool.apply(shown {}).unwrap().1, "a very long n 0");
        replace_worker(&pool);
        assert_eq!(pool.apply(shown {}).unwrap().1, "a very long n 0");
    }
}
