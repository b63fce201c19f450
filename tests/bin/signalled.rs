//! Programs that signals come to: the first argument names what is done about them, or what is run meanwhile.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};
use poolmap::{Pool, TaskErrorKind, pool_map, pool_try_map, worker};

const LONG: Duration = Duration::from_secs(600);
/// What the program's own handler ends it with.
const HANDLED: i32 = 7;

#[worker]
fn double(x: usize) -> usize {
    2 * x
}

#[worker]
fn sleep_long(_task: usize) {
    std::thread::sleep(LONG);
}

/// Takes a number of steps of 10 ms each, however long it is stopped in between.
#[worker]
fn take_steps(steps: u32) -> u32 {
    for step in 0..steps {
        // By then the pool has looked at its time, and counts.
        if step == 10 {
            tell("begun");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    steps
}

#[worker]
fn double_or_die(x: usize) -> usize {
    match x {
        3 => std::process::abort(),
        5 => std::process::exit(9),
        7 => std::thread::sleep(LONG),
        _ => {}
    }
    2 * x
}

#[poolmap::main]
fn main() -> poolmap::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["wait", handler, state] => {
            if handler == "own handler" {
                for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
                    handle(signal, end);
                }
            }
            wait(state)?;
        }
        ["time limit", steps, limit] => {
            let steps: u32 = steps.parse().expect("a number");
            let limit: u64 = limit.parse().expect("a number");
            let pool = pool_of(3)?;
            let results = pool_map!(in &pool, take_steps, [steps; 3]; timeout = Duration::from_millis(limit));
            match results {
                Ok(results) => tell(&format!("{results:?}")),
                Err(error) => tell(&error.to_string()),
            }
        }
        ["children", whose] => children(whose)?,
        ["first process"] => first_process()?,
        ["to a file", path] => {
            let said = format!("{:?}", pool_map!(double, 1..4)?);
            let died = pool_try_map!(double_or_die, 3..5)?;
            std::fs::write(path, format!("{said} {}", died[0].is_err() && died[1].is_ok()))
                .expect("the folder is there");
        }
        ref other => panic!("no such program: {other:?}"),
    }
    Ok(())
}

fn tell(line: &str) {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).expect("the test reads it");
}

/// A pool whose workers are ready, and have been told.
fn pool_of(workers: usize) -> poolmap::Result<Pool> {
    let pool = Pool::builder().workers(workers).build()?;
    pool.ready()?;
    let pids: Vec<String> = pool.workers().iter().map(|worker| worker.pid().to_string()).collect();
    tell(&pids.join(" "));
    Ok(pool)
}

fn wait(state: &str) -> poolmap::Result<()> {
    let pool = pool_of(3)?;
    match state {
        "busy" => drop(pool_map!(in &pool, sleep_long, 0..1000)?),
        _ => std::thread::sleep(LONG),
    }
    Ok(())
}

/// Ends the program in order, as far as a handler may.
#[allow(unsafe_code, reason = "a handler may call few functions, and none of std's")]
extern "C" fn end(_signal: libc::c_int) {
    // SAFETY: it may be called at any moment, and does not come back.
    unsafe { libc::_exit(HANDLED) };
}

#[allow(unsafe_code, reason = "what a program does with its signals is its own affair")]
fn handle(signal: Signal, handler: extern "C" fn(libc::c_int)) {
    let action = SigAction::new(SigHandler::Handler(handler), SaFlags::empty(), SigSet::empty());
    // SAFETY: both handlers do only what is allowed at any moment.
    unsafe { sigaction(signal, &action) }.expect("the signal may be handled");
}

static CHILDREN_ENDED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count_child(_signal: libc::c_int) {
    CHILDREN_ENDED.fetch_add(1, Ordering::Relaxed);
}

/// The program has its own way with its children's ends, and the workers are among them.
#[allow(unsafe_code, reason = "what a program does with its children is its own affair")]
fn children(whose: &str) -> poolmap::Result<()> {
    match whose {
        "handled" => handle(Signal::SIGCHLD, count_child),
        "ignored" => {
            let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
            // SAFETY: there is no handler.
            unsafe { sigaction(Signal::SIGCHLD, &ignore) }.expect("the signal may be ignored");
        }
        _ => drop(std::thread::spawn(|| {
            loop {
                // SAFETY: a null pointer is allowed where the status is of no interest.
                if unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) } < 0 {
                    std::thread::sleep(Duration::from_micros(100));
                }
            }
        })),
    }
    for _ in 0..3 {
        let pool = Pool::builder().workers(2).build()?;
        check_map(&pool, whose == "handled")?;
    }
    assert!(whose != "handled" || CHILDREN_ENDED.load(Ordering::Relaxed) > 0, "the handler was not called");
    tell("all is right");
    Ok(())
}

/// Results are right and every death is told, with its cause where that can be `known`.
fn check_map(pool: &Pool, known: bool) -> poolmap::Result<()> {
    let outcomes = pool_try_map!(in pool, double_or_die, 0..20; timeout = Duration::from_millis(200), chunk_size = 4)?;
    for (x, outcome) in outcomes.iter().enumerate() {
        let cause = outcome.as_ref().map_err(|error| error.kind());
        match (x, cause) {
            (3, Err(TaskErrorKind::Crashed { signal, .. })) => assert!(!known || *signal == Some(6)),
            (5, Err(TaskErrorKind::Crashed { exit_code, .. })) => assert!(!known || *exit_code == Some(9)),
            (7, Err(TaskErrorKind::TimedOut { .. })) => {}
            (_, Ok(value)) => assert_eq!(*value, 2 * x),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(pool_map!(in pool, double, 0..1000)?, Vec::from_iter((0..1000).map(|x| 2 * x)));
    Ok(())
}

/// The first process of a PID namespace: the kernel spares it the signals that it does not handle.
fn first_process() -> poolmap::Result<()> {
    assert_eq!(std::process::id(), 1);
    raise(Signal::SIGTERM).expect("a process may signal itself");
    let pool = pool_of(2)?;
    check_map(&pool, true)?;
    drop(pool);
    let processes = std::fs::read_dir("/proc").expect("it is mounted").filter_map(|entry| {
        let name = entry.expect("it can be read").file_name();
        name.to_str()?.parse::<u32>().ok()
    });
    tell(&format!("left: {:?}", Vec::from_iter(processes)));
    let pool = pool_of(2)?;
    pool_map!(in &pool, sleep_long, 0..2)?;
    Ok(())
}
