//! A fault signal that is sent ends a worker as it ends any program, the first time it comes, and is reported as sent.

mod common;

use nix::libc;
use nix::sys::signal::{Signal, kill, raise};
use nix::unistd::Pid;
use poolmap::{Pool, Process, TaskErrorKind, pool_try_map, worker};

const SIGNALS: [Signal; 5] = [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGABRT];

fn signal_of(number: i32) -> Signal {
    Signal::try_from(number).unwrap()
}

/// Sends itself a signal, in the way named, and returns if it survives.
#[worker]
#[allow(unsafe_code, reason = "the deaths are what the test is about")]
fn send_itself(way: &str, number: i32) -> u32 {
    let signal = signal_of(number);
    match way {
        "raise" => raise(signal).unwrap(),
        "raise in a thread" => std::thread::spawn(move || raise(signal).unwrap()).join().unwrap(),
        "kill" => kill(Pid::this(), signal).unwrap(),
        #[cfg(target_os = "linux")]
        "queue" => {
            let value = libc::sigval { sival_ptr: std::ptr::null_mut() };
            // SAFETY: it takes numbers, and a pointer that nobody reads.
            assert_eq!(unsafe { libc::sigqueue(libc::getpid(), number, value) }, 0);
        }
        other => panic!("no such way: {other}"),
    }
    // Sent to the process, it may be another thread's to take.
    std::thread::sleep(common::SOON);
    0
}

#[worker]
#[expect(unconditional_recursion, reason = "the stack is to overflow")]
fn overflow_its_stack(depth: u64) -> u64 {
    let large = std::hint::black_box([depth; 1000]);
    overflow_its_stack(depth.wrapping_add(large[1])).wrapping_add(large[2])
}

#[worker]
fn read_null() -> u8 {
    common::segfault();
    0
}

#[worker]
fn pid(_task: u32) -> u32 {
    std::process::id()
}

/// Says that it runs, and goes on.
#[worker]
fn say_and_sleep(begun: poolmap::Sender<u32>) -> u32 {
    begun.send(std::process::id()).unwrap();
    std::thread::sleep(3 * common::SOON);
    0
}

/// Handles a signal by a handler of its own, and puts back what was there before; gives how often that was done.
#[worker]
#[allow(unsafe_code, reason = "a program's own handler is what the test is about")]
fn handle_a_signal(number: i32) -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};

    static HANDLED: AtomicU32 = AtomicU32::new(0);
    extern "C" fn count(_signal: libc::c_int) {
        HANDLED.fetch_add(1, Ordering::Relaxed);
    }

    let action = nix::sys::signal::SigAction::new(
        nix::sys::signal::SigHandler::Handler(count),
        nix::sys::signal::SaFlags::empty(),
        nix::sys::signal::SigSet::empty(),
    );
    // SAFETY: the handler adds to an atomic.
    let before = unsafe { nix::sys::signal::sigaction(signal_of(number), &action) }.unwrap();
    raise(signal_of(number)).unwrap();
    // SAFETY: it is the action that was there before.
    unsafe { nix::sys::signal::sigaction(signal_of(number), &before) }.unwrap();
    HANDLED.load(Ordering::Relaxed)
}

/// How a task ended, as text.
fn told<T>(outcome: &Result<T, poolmap::TaskError>) -> String {
    let Err(error) = outcome else {
        return "it has an output".to_owned();
    };
    match error.kind() {
        TaskErrorKind::Crashed { signal: Some(signal), note, .. } => {
            format!("{}: {}", signal_of(*signal), note.as_deref().unwrap_or(""))
        }
        other => format!("{other:?}"),
    }
}

fn pool() -> Pool {
    Pool::builder().workers(1).build().unwrap()
}

#[poolmap::test]
fn a_signal_that_a_task_raises_ends_its_worker_the_first_time() {
    let _guard = common::guard();
    let pool = pool();
    let queue = cfg!(target_os = "linux").then_some("queue");
    for way in ["raise", "raise in a thread", "kill"].into_iter().chain(queue) {
        for signal in SIGNALS {
            let outcomes = pool_try_map!(in &pool, send_itself, [way], [signal as i32]).unwrap();
            // An abort is a SIGABRT that is raised: nothing tells the two apart.
            let said = if signal == Signal::SIGABRT { "" } else { "it raised the signal itself" };
            assert_eq!(told(&outcomes[0]), format!("{signal}: {said}"), "{way}");
        }
    }
}

#[poolmap::test]
fn a_fault_behind_a_raised_signal_is_told_as_what_it_is() {
    let _guard = common::guard();
    let pool = pool();
    for signal in SIGNALS {
        assert!(pool_try_map!(in &pool, send_itself, ["raise"], [signal as i32]).unwrap()[0].is_err());
        let overflow = told(&pool.submit(overflow_its_stack { depth: 0 }).unwrap().join().map_err(into_task));
        assert!(overflow.starts_with("SIGABRT: stack overflow (the stack of a task is 8 MiB"), "{signal}: {overflow}");
        let null = told(&pool.submit(read_null {}).unwrap().join().map_err(into_task));
        assert_eq!(null, "SIGSEGV: it read, wrote or ran address 0x8, which is not mapped", "{signal}");
    }
}

fn into_task(error: poolmap::Error) -> poolmap::TaskError {
    error.task().unwrap().clone()
}

#[poolmap::test]
fn a_handler_of_the_programs_own_has_its_way_and_ours_is_there_behind_it() {
    let _guard = common::guard();
    let pool = pool();
    let before = pool.apply(pid { _task: 0 }).unwrap();
    for (count, signal) in (1..).zip(SIGNALS) {
        assert_eq!(pool.apply(handle_a_signal { number: signal as i32 }).unwrap(), count);
    }
    assert_eq!(pool.apply(pid { _task: 0 }).unwrap(), before);
    let null = told(&pool.submit(read_null {}).unwrap().join().map_err(into_task));
    assert_eq!(null, "SIGSEGV: it read, wrote or ran address 0x8, which is not mapped");
}

#[poolmap::test]
fn a_signal_of_the_parents_ends_the_worker_of_a_running_task_and_names_the_sender() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    let pool = pool();
    for signal in SIGNALS {
        let (sender, receiver) = poolmap::channel().unwrap();
        let task = pool.submit(say_and_sleep { begun: sender.clone() }).unwrap();
        let worker: u32 = receiver.recv_timeout(common::SOON).unwrap().unwrap();
        kill(Pid::from_raw(worker.cast_signed()), signal).unwrap();
        let said = format!("{signal}: the signal was sent by process {}", std::process::id());
        assert_eq!(told(&task.join().map_err(into_task)), said);
    }
}

#[poolmap::test]
fn a_signal_ends_an_idle_worker_and_no_task_is_blamed() {
    let _guard = common::guard();
    let pool = pool();
    for signal in SIGNALS {
        let before = pool.apply(pid { _task: 0 }).unwrap();
        kill(Pid::from_raw(before.cast_signed()), signal).unwrap();
        common::wait_until("the worker is gone", || !common::is_alive(before));
        let after = pool_try_map!(in &pool, pid, 0..4).unwrap();
        assert!(after.iter().all(|pid| *pid.as_ref().unwrap() != before), "{signal}");
    }
    assert_eq!(pool.stats().workers_lost(), 5);
}

#[poolmap::test]
fn a_process_ends_by_a_signal_that_it_or_its_parent_sends() {
    let _guard = common::guard();
    for is_daemon in [false, true] {
        for signal in SIGNALS {
            let call = send_itself { way: "raise".to_owned(), number: signal as i32 };
            let error = Process::new(call).daemon(is_daemon).start().unwrap().join().unwrap_err();
            let said = if signal == Signal::SIGABRT { "" } else { "it raised the signal itself" };
            assert_eq!(told::<()>(&Err(into_task(error))), format!("{signal}: {said}"));
        }
    }
    if !common::has_shared_memory() {
        return;
    }
    for signal in SIGNALS {
        let (sender, receiver) = poolmap::channel().unwrap();
        let mut sleeper = Process::new(say_and_sleep { begun: sender.clone() }).start().unwrap();
        assert_eq!(receiver.recv_timeout(common::SOON).unwrap(), Some(sleeper.pid()));
        kill(Pid::from_raw(sleeper.pid().cast_signed()), signal).unwrap();
        let said = format!("{signal}: the signal was sent by process {}", std::process::id());
        assert_eq!(told(&sleeper.join().map_err(into_task)), said);
    }
}
