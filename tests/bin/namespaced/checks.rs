//! The checks: nothing outside is reached from inside; and what a pool says of itself.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use nix::libc;
use poolmap::{Pool, Sandbox, StartMethod, pool_map, worker};

use crate::surroundings::{Heard, Listeners, Surroundings, look_around};

thread_local! {
    static THREAD: RefCell<Option<(Sender<Listeners>, Receiver<Surroundings>)>> = const { RefCell::new(None) };
}

/// Starts a thread that looks around when it is asked to.
#[worker]
fn start_thread() {
    let (ask, asked) = channel::<Listeners>();
    let (answers, answer) = channel();
    std::thread::spawn(move || asked.iter().try_for_each(|listeners| answers.send(look_around(&listeners))));
    THREAD.set(Some((ask, answer)));
}

/// What the task's thread finds, what a new one does, and what one does that was there before the sandbox, if there is one.
#[worker]
fn look(listeners: Listeners) -> Vec<Surroundings> {
    let of_new = listeners.clone();
    let found = [look_around(&listeners), std::thread::spawn(move || look_around(&of_new)).join().unwrap()];
    let before = THREAD.with_borrow(|thread| {
        thread.as_ref().map(|(ask, answer)| {
            ask.send(listeners).unwrap();
            answer.recv().unwrap()
        })
    });
    found.into_iter().chain(before).collect()
}

#[worker]
fn double(x: u64) -> u64 {
    2 * x
}

/// Takes the right to enter namespaces from programs that this process executes, and leaves it the right itself.
#[allow(unsafe_code, reason = "std has no such call")]
fn drop_bound() -> libc::c_int {
    const CAP_SYS_ADMIN: libc::c_ulong = 21;

    // SAFETY: it takes numbers.
    unsafe { libc::prctl(libc::PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0) }
}

#[worker]
fn become_another_user() {
    nix::errno::Errno::result(set_user()).unwrap();
}

#[allow(unsafe_code, reason = "std has no such call")]
fn set_user() -> libc::c_int {
    // SAFETY: it takes a number.
    unsafe { libc::setuid(65534) }
}

/// The calls that threads in a sandbox may make besides, to look around.
fn sandbox() -> Sandbox {
    ["socket", "sendto", "getsockopt", "statx", "stat", "newfstatat"]
        .into_iter()
        .fold(Sandbox::strict().threads(1), Sandbox::allow)
}

/// The namespaces of a process's threads, as far as this one may look.
fn namespaces_of(pid: u32) -> BTreeSet<(String, u64)> {
    let mut found = BTreeSet::new();
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        for name in ["net", "mnt", "user"] {
            if let Ok(namespace) = std::fs::metadata(thread.path().join("ns").join(name)) {
                found.insert((name.to_owned(), namespace.ino()));
            }
        }
    }
    found
}

/// The file systems that are mounted at the root for this process, one over another: there is where an empty one would lie. (Others may mount
/// what they like elsewhere meanwhile.)
fn mounted_at_root() -> Vec<String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    mounts.lines().filter(|line| line.split(' ').nth(1) == Some("/")).map(str::to_owned).collect()
}

/// Whether a process of the machine is in one of these, or this process holds one open.
fn is_alive(namespaces: &BTreeSet<(String, u64)>) -> bool {
    let numbers: BTreeSet<u64> = namespaces.iter().map(|(_, number)| *number).collect();
    let held =
        std::fs::read_dir("/proc/self/fd").unwrap().flatten().filter_map(|entry| std::fs::metadata(entry.path()).ok());
    let own = std::fs::metadata("/proc/self/ns/net").unwrap().dev();
    let is_held = held.into_iter().any(|file| file.dev() == own && numbers.contains(&file.ino()));
    let pids =
        std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    is_held || pids.into_iter().any(|pid| namespaces_of(pid).iter().any(|namespace| namespaces.contains(namespace)))
}

/// Makes a pool by the way of that name.
fn builder(way: &str) -> poolmap::Builder {
    let builder = Pool::builder().workers(2);
    match way {
        "spawn" => builder,
        "copies" => builder.start_method(StartMethod::ForkServer),
        "fresh" => builder.start_method(StartMethod::ForkServer).fresh_process(),
        "initialized" => builder.initializer(start_thread {}),
        "program" => builder.program(std::env::current_exe().unwrap()),
        other => panic!("{other}"),
    }
}

/// The namespaces that all threads of a pool's workers are in and this process is not: root sees them. A worker that has had no task may
/// be on its way into them.
fn namespaces_of_all(pool: &Pool, own: &BTreeSet<(String, u64)>) -> BTreeSet<(String, u64)> {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let found: BTreeSet<_> = pool.workers().iter().flat_map(|worker| namespaces_of(worker.pid())).collect();
        let kinds: Vec<&str> = found.iter().map(|(kind, _)| kind.as_str()).collect();
        let common: Vec<&str> = found.intersection(own).map(|(kind, _)| kind.as_str()).collect();
        if kinds == ["mnt", "net", "user"] && common == ["user"] {
            return found.difference(own).cloned().collect();
        }
        assert!(Instant::now() < until, "{found:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Checks that nothing is reached from inside, and that all of it is without namespaces.
fn check(way: &str) {
    let heard = Heard::new();
    let own = look_around(&heard.listeners);
    assert_eq!((own.udp, own.by_path, own.abstract_name, own.size), (0, 0, 0, 0));
    assert_eq!(heard.counts(), [1, 1, 1]);
    // Few enough for all datagrams to wait for the parent: ten find room (max_dgram_qlen, unix(7)).
    let tasks = || std::iter::repeat_n(heard.listeners.clone(), 2);

    let outside = builder(way).sandbox(sandbox().without_namespaces()).build().unwrap();
    let status = outside.sandbox_status();
    assert!(
        !status.separates_network() && !status.separates_files() && status.refused_namespaces().is_none(),
        "{status}"
    );
    for found in pool_map!(in &outside, look, tasks()).unwrap().into_iter().flatten() {
        // Landlock scopes the last.
        assert_eq!(Surroundings { abstract_name: own.abstract_name, ..found }, own);
    }
    let [udp, by_path, _] = heard.counts();
    assert!(udp >= 4 && udp == by_path, "{udp}, {by_path}");
    drop(outside);

    let at_root = mounted_at_root();
    let own_namespaces = namespaces_of(std::process::id());
    let pool = builder(way).sandbox(sandbox()).build().unwrap();
    let status = pool.sandbox_status();
    assert!(status.separates_network() && status.separates_files() && status.is_complete(), "{status}");
    assert!(status.to_string().contains("network: empty") && status.refused_namespaces().is_none(), "{status}");
    let found = pool_map!(in &pool, look, tasks()).unwrap();
    let threads = if way == "initialized" { 3 } else { 2 };
    assert!(found.iter().all(|found| found.len() == threads), "{found:?}");
    for inside in found.iter().flatten() {
        assert_eq!(inside, &found[0][0]);
        assert!(inside.network != own.network && inside.root != own.root, "{inside:?}");
        let wanted = (libc::ENETUNREACH, [libc::ENOENT, libc::EACCES], [libc::ENOENT, libc::EACCES]);
        assert!(
            inside.udp == wanted.0 && wanted.1.contains(&inside.by_path) && wanted.2.contains(&inside.size),
            "{inside:?}"
        );
        assert!([libc::ECONNREFUSED, libc::EPERM].contains(&inside.abstract_name), "{inside:?}");
    }
    assert_eq!(heard.counts(), [0, 0, 0]);
    if is_root() && way != "fresh" {
        let new = namespaces_of_all(&pool, &own_namespaces);
        assert!(is_alive(&new));
        drop(pool);
        // The thread that has made them may be on its way out.
        let until = Instant::now() + Duration::from_secs(60);
        while is_alive(&new) {
            assert!(Instant::now() < until, "{new:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    assert_eq!(namespaces_of(std::process::id()), own_namespaces);
    assert_eq!(mounted_at_root(), at_root);
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Says what a pool has, whose workers compute all the same.
fn say() {
    for (name, sandbox) in [
        ("strict", Sandbox::strict()),
        ("connects", Sandbox::strict().connect(443)),
        ("reads", Sandbox::strict().read("/usr")),
        ("both", Sandbox::strict().connect(443).read("/usr")),
    ] {
        let pool = Pool::builder().workers(2).sandbox(sandbox).build().unwrap();
        assert_eq!(pool_map!(in &pool, double, 0..100).unwrap()[99], 198);
        let status = pool.sandbox_status();
        assert!(status.is_complete(), "{status}");
        let [network, files] = [status.separates_network(), status.separates_files()];
        println!(
            "{name}: network {network}, files {files}, {}",
            status.refused_namespaces().unwrap_or("nothing refused")
        );
    }
}

/// An initializer that gives its rights up keeps its worker out of the namespaces, and so from tasks.
fn change_user() {
    let pool =
        |sandbox| Pool::builder().workers(1).initializer(become_another_user {}).sandbox(sandbox).build().unwrap();
    let outcome = pool_map!(in &pool(Sandbox::strict()), double, [1]);
    println!("{}", outcome.map_or_else(|error| format!("{error:#}"), |_| "it has run".to_owned()));
    assert_eq!(pool_map!(in &pool(Sandbox::strict().without_namespaces()), double, [1]).unwrap(), [2]);
}

/// Does what is wanted.
pub(crate) fn run(wanted: &str) {
    match wanted {
        "say" => say(),
        "change user" => change_user(),
        "bounded" => {
            nix::errno::Errno::result(drop_bound()).unwrap();
            say();
        }
        way => check(way),
    }
    println!("done");
}
