//! A worker that does what it can to stay ends with its parent.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use nix::libc;
use poolmap::{Pool, Sandbox, StartMethod, pool_map, worker};

use crate::attempts::call;
use crate::common::{self, Killed, is_alive, wait_until};

/// Holds the thread that it interrupts.
extern "C" fn hold(_signal: i32) {
    loop {
        call(libc::SYS_pause, [0_usize; 0]);
    }
}

/// Ignores and blocks each signal that it may, holds the thread that watches the parent, closes its channel and all else, and computes.
#[worker]
fn stay(_task: u32) {
    for signal in 1..=64 {
        let action = [libc::SIG_IGN as u64, 0, 0, 0];
        if signal != libc::SIGSYS {
            call(libc::SYS_rt_sigaction, [signal as usize, action.as_ptr().addr(), 0, 8]);
        }
    }
    // SAFETY: there is none: it is an attack.
    unsafe { libc::signal(libc::SIGUSR2, hold as *const () as usize) };
    let own =
        [call(libc::SYS_getpid, [0_usize; 0]), call(libc::SYS_gettid, [0_usize; 0])].map(|number| number as usize);
    // The numbers of its threads it does not know, and those of others the kernel refuses.
    let held = (own[0]..own[0] + 1000).filter(|&thread| thread != own[1]);
    let held = held.filter(|&thread| call(libc::SYS_tgkill, [own[0], thread, libc::SIGUSR2 as usize]) == 0).count();
    assert!(held > 0, "no thread watches");
    let all = u64::MAX;
    call(libc::SYS_rt_sigprocmask, [libc::SIG_SETMASK as usize, (&raw const all).addr(), 0, 8]);
    println!("stays");
    call(libc::SYS_close_range, [3, usize::MAX, 0]);
    loop {
        std::hint::spin_loop();
    }
}

const METHOD: &str = "POOLMAP_TEST_METHOD";

fn method() -> StartMethod {
    if std::env::var(METHOD).is_ok_and(|method| method == "ForkServer") {
        StartMethod::ForkServer
    } else {
        StartMethod::Spawn
    }
}

#[test]
fn a_worker_that_wants_to_stay_ends_with_its_parent() {
    let _guard = common::guard();
    for method in [StartMethod::Spawn, StartMethod::ForkServer] {
        let mut command = Command::new("/proc/self/exe");
        command.args(["outliving::a_parent", "--exact", "--include-ignored", "--nocapture", "--test-threads=1"]);
        command.env(METHOD, format!("{method:?}")).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut parent = Killed(command.spawn().unwrap());
        let mut lines = BufReader::new(parent.0.stdout.take().unwrap()).lines().map(Result::unwrap);
        let line = lines.find(|line| line.contains("workers: ")).unwrap();
        let (_, numbers) = line.split_once("workers: ").unwrap();
        let workers: Vec<u32> = numbers.split_whitespace().map(|number| number.parse().unwrap()).collect();
        assert_eq!(workers.len(), 2);
        // Both have begun.
        assert_eq!(lines.by_ref().filter(|line| line.contains("stays")).take(2).count(), 2);
        assert!(workers.iter().all(|&worker| is_alive(worker)));
        parent.0.kill().unwrap();
        wait_until("the workers end", || !workers.iter().any(|&worker| is_alive(worker)));
    }
}

#[poolmap::test]
#[ignore = "another test runs it, and kills it"]
fn a_parent() {
    let pool = Pool::builder().workers(2).start_method(method()).sandbox(Sandbox::strict()).build().unwrap();
    pool.ready().unwrap();
    let numbers: Vec<String> = pool.workers().iter().map(|worker| worker.pid().to_string()).collect();
    println!("workers: {}", numbers.join(" "));
    pool_map!(in &pool, stay, 0..2; chunk_size = 1).unwrap();
}
