//! Where a worker was when a signal ended it: through Rust, C and C++, also where its stack, its heap or its locks are broken.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(unsafe_code, reason = "the deaths are what the test is about")]

mod common;

use std::ffi::{CString, c_int, c_void};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use poolmap::{Pool, Process, TaskError, TaskErrorKind, pool_try_map, worker};
use poolmap_suite_jobs::write_through_null;

/// Dies in the way named. The path is that of the library of tests/native, which is loaded here.
#[worker]
fn die(way: &str, library: &Path) -> i32 {
    match way {
        "null" => write_through_null(0),
        "abort" => end_by_abort(),
        "overflow" => overflow(0),
        "allocation" => allocate_too_much(),
        "divide" => divide_by_zero(),
        "illegal" => illegal_instruction(),
        "bus" => read_behind_a_file(),
        "thread" => std::thread::spawn(|| write_through_null(0)).join().unwrap(),
        "two threads" => crash_twice(),
        "malloc's lock" => crash_while_malloc_is_locked(),
        "smashed" => smash_the_stack(),
        "smashed frame" => smash_the_frame(),
        "raise" => {
            // SAFETY: there is none: it is a crash.
            unsafe { libc::raise(libc::SIGFPE) };
            0
        }
        "dump core" => {
            let (_, most) = getrlimit(Resource::RLIMIT_CORE).unwrap();
            setrlimit(Resource::RLIMIT_CORE, most, most).unwrap();
            std::env::set_current_dir(library).unwrap();
            end_by_abort()
        }
        "wait" => wait_in_vain(),
        "compute" => compute_in_vain(),
        "wait with signals blocked" => wait_with_signals_blocked(),
        "wait stopped" => {
            common::kill(std::process::id(), "STOP");
            wait_in_vain()
        }
        "wait with a handler" => {
            // SAFETY: the program takes the signal, and ignores it.
            unsafe { libc::signal(libc::SIGSTKFLT, libc::SIG_IGN) };
            wait_in_vain()
        }
        "panic" => panic!("it panics"),
        way => in_library(way, library),
    }
}

#[inline(never)]
fn end_by_abort() -> i32 {
    std::process::abort()
}

#[expect(unconditional_recursion, reason = "the stack is to overflow")]
#[inline(never)]
fn overflow(depth: i32) -> i32 {
    let large = black_box([depth; 1000]);
    overflow(depth.wrapping_add(large[1])).wrapping_add(large[2])
}

#[inline(never)]
fn allocate_too_much() -> i32 {
    black_box(vec![1u8; usize::MAX >> 18])[0].into()
}

#[inline(never)]
fn divide_by_zero() -> i32 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: there is none: it is a crash.
    unsafe {
        std::arch::asm!("xor ecx, ecx", "div ecx", out("eax") _, out("ecx") _, out("edx") _);
    };
    1
}

#[inline(never)]
fn illegal_instruction() -> i32 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: there is none: it is a crash.
    unsafe {
        std::arch::asm!("ud2");
    };
    1
}

#[inline(never)]
fn read_behind_a_file() -> i32 {
    use std::os::fd::AsRawFd;

    let file = tempfile::tempfile().unwrap();
    // SAFETY: the system chooses a free address; the file has no byte there, so the read is a crash.
    unsafe {
        let address =
            libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0).cast::<u8>();
        address.read_volatile().into()
    }
}

/// Two threads crash as much at once as they can.
fn crash_twice() -> i32 {
    static BARRIER: std::sync::Barrier = std::sync::Barrier::new(2);
    let crash = || {
        BARRIER.wait();
        write_through_null(0)
    };
    let other = std::thread::spawn(crash);
    crash() + other.join().unwrap()
}

extern "C" fn crash_in_a_handler(_signal: c_int) {
    write_through_null(0);
}

/// Crashes again and again while other threads are in malloc, also in its handler: one of them holds the lock.
#[inline(never)]
fn crash_while_malloc_is_locked() -> i32 {
    // SAFETY: the handler does nothing but to crash.
    unsafe { libc::signal(libc::SIGUSR1, crash_in_a_handler as extern "C" fn(c_int) as usize) };
    let busy = || {
        loop {
            drop(black_box(vec![1u8; black_box(100_000)]));
        }
    };
    let threads: Vec<_> = (0..3).map(|_| std::thread::spawn(busy)).collect();
    std::thread::sleep(std::time::Duration::from_millis(5));
    // SAFETY: the thread runs for ever.
    unsafe { libc::pthread_kill(std::os::unix::thread::JoinHandleExt::as_pthread_t(&threads[0]), libc::SIGUSR1) };
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    1
}

/// Crashes where the stack pointer is none.
#[inline(never)]
fn smash_the_stack() -> i32 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: it does not come back.
    unsafe {
        std::arch::asm!("mov rsp, {}", "mov rbp, rsp", "push rax", in(reg) 0x1234_5670_u64, options(noreturn));
    }
    #[cfg(not(target_arch = "x86_64"))]
    1
}

/// Crashes where the caller's frame is overwritten.
#[inline(never)]
fn smash_the_frame() -> i32 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: it does not come back.
    unsafe {
        std::arch::asm!(
            "lea rcx, [rsp + 1024]",
            "2: mov qword ptr [rcx], 0x41414141",
            "sub rcx, 8",
            "cmp rcx, rsp",
            "jae 2b",
            "mov rbp, 0x41414141",
            "ud2",
            options(noreturn)
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    1
}

#[inline(never)]
fn wait_in_vain() -> i32 {
    loop {
        std::thread::sleep(common::SOON);
    }
}

#[inline(never)]
fn compute_in_vain() -> i32 {
    let mut number = 1u64;
    loop {
        number = black_box(number.wrapping_mul(3));
    }
}

#[inline(never)]
fn wait_with_signals_blocked() -> i32 {
    nix::sys::signal::SigSet::all().thread_block().unwrap();
    wait_in_vain()
}

extern "C" fn called_back(_value: c_int) -> c_int {
    write_through_null(0)
}

fn in_library(way: &str, library: &Path) -> i32 {
    let name = |name: &str| CString::new(name).unwrap();
    // SAFETY: the library is that of tests/native, whose functions have these types.
    unsafe {
        let library = libc::dlopen(name(library.to_str().unwrap()).as_ptr(), libc::RTLD_NOW);
        assert!(!library.is_null());
        let function = |function: &str| {
            let found = libc::dlsym(library, name(function).as_ptr());
            assert!(!found.is_null(), "{function}");
            found
        };
        let none = || -> *mut c_void { black_box(std::ptr::null_mut()) };
        type Plain = extern "C" fn() -> c_int;
        type WithPointer = extern "C" fn(*mut c_void) -> c_int;
        match way {
            "crash_write_in_c" | "crash_by_call_of_null" => {
                std::mem::transmute::<*mut c_void, WithPointer>(function(way))(none())
            }
            "crash_call_back" => {
                let back = called_back as extern "C" fn(c_int) -> c_int as *mut c_void;
                std::mem::transmute::<*mut c_void, WithPointer>(function(way))(back)
            }
            _ => std::mem::transmute::<*mut c_void, Plain>(function(way))(),
        }
    }
}

/// The library of tests/native, or nothing where there is no compiler.
fn library() -> Option<PathBuf> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("crashes-{}.so", std::process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/native/crashes.cc");
        let mut compiler = Command::new("c++");
        let compiler = compiler.args(["-g", "-O1", "-fPIC", "-shared", "-o"]).arg(&library).arg(source);
        match compiler.status() {
            Ok(status) => assert!(status.success(), "the library could not be built"),
            Err(error) => {
                let required = std::env::var("POOLMAP_TEST_REQUIRE").unwrap_or_default();
                assert!(!required.split(',').any(|name| name == "c++"), "c++: {error}");
                eprintln!("SKIPPED for want of a C++ compiler: c++: {error}");
                return None;
            }
        }
        Some(library)
    };
    LIBRARY.get_or_init(build).clone()
}

fn pool() -> Pool {
    Pool::builder().workers(1).build().unwrap()
}

fn error(pool: &Pool, way: &str, library: &Path) -> TaskError {
    let outcome = pool_try_map!(in pool, die, [way], [library]).unwrap().remove(0);
    outcome.unwrap_err()
}

/// The functions of a death's backtrace, the innermost first.
fn functions(pool: &Pool, way: &str, library: &Path) -> Vec<String> {
    let error = error(pool, way, library);
    let text = error.native_backtrace().unwrap_or_else(|| panic!("{way}: {error} without a backtrace"));
    let called = |line: &str| {
        let (number, function) = line.split_once(": ")?;
        number.trim().parse::<usize>().ok()?;
        Some(function.to_owned())
    };
    let functions: Vec<String> = text.lines().filter_map(called).collect();
    assert!(!functions.is_empty(), "{way}: {text}");
    functions
}

/// Each of these is among the functions, in this order.
#[track_caller]
fn assert_called(way: &str, called: &[String], wanted: &[&str]) {
    let mut left = called.iter();
    for wanted in wanted {
        assert!(left.any(|function| function.contains(wanted)), "{way}: no {wanted} in {called:#?}");
    }
}

#[poolmap::test]
fn each_crash_of_rust_code_says_where() {
    let _guard = common::guard();
    let pool = pool();
    let mut cases = vec![
        ("null", "write_through_null"),
        ("abort", "end_by_abort"),
        ("bus", "read_behind_a_file"),
        ("allocation", "allocate_too_much"),
        ("raise", "native_backtraces::die"),
    ];
    if cfg!(target_arch = "x86_64") {
        cases.extend([("divide", "divide_by_zero"), ("illegal", "illegal_instruction")]);
    }
    for (way, wanted) in cases {
        let called = functions(&pool, way, Path::new(""));
        assert_called(way, &called, &[wanted]);
        if !["abort", "allocation", "raise"].contains(&way) {
            // Without optimisation what writes and reads is a function, too.
            assert!(
                called.iter().take(3).any(|called| called.contains(wanted)),
                "the fault's function is the first: {called:?}"
            );
        }
        assert!(called.last().unwrap().contains("die"), "the worker function is the last: {called:#?}");
    }
}

#[poolmap::test]
fn a_line_has_its_file() {
    let _guard = common::guard();
    let error = error(&pool(), "null", Path::new(""));
    let text = error.native_backtrace().unwrap();
    let line = text.lines().nth(text.lines().position(|line| line.contains("write_through_null")).unwrap() + 1);
    assert!(line.unwrap().contains("jobs/src/lib.rs:"), "{text}");
    assert!(!error.to_string().contains('\n') && !format!("{error:#}").contains('\n'), "{error:#}");
    assert!(
        format!("{error:#?}").contains("write_through_null") && !format!("{error:?}").contains("write_through_null")
    );
}

#[poolmap::test]
fn a_stack_overflow_says_what_recursed() {
    let _guard = common::guard();
    let called = functions(&pool(), "overflow", Path::new(""));
    assert_called("overflow", &called, &["overflow"; 100]);
}

#[poolmap::test]
fn another_thread_says_where_it_crashed() {
    let _guard = common::guard();
    let pool = pool();
    for way in ["thread", "two threads", "malloc's lock"] {
        let called = functions(&pool, way, Path::new(""));
        assert_called(way, &called, &["write_through_null"]);
    }
}

#[cfg(target_arch = "x86_64")]
#[poolmap::test]
fn a_broken_stack_says_at_least_where() {
    let _guard = common::guard();
    let pool = pool();
    for (way, signal, wanted) in [("smashed", 11, "smash_the_stack"), ("smashed frame", 4, "smash_the_frame")] {
        let called = functions(&pool, way, Path::new(""));
        assert!(called[0].contains(wanted), "{way}: {called:#?}");
        let error = error(&pool, way, Path::new(""));
        assert!(error.to_string().contains(&format!("killed by signal {signal} ")), "{error}");
    }
}

#[poolmap::test]
fn a_library_that_was_loaded_later_has_names() {
    let _guard = common::guard();
    let Some(library) = library() else { return };
    let pool = pool();
    let cases: [(&str, &[&str]); 6] = [
        ("crash_write_in_c", &["crash_write_in_c", "in_library", "die"]),
        ("crash_by_exception", &["abort", "__cxa_throw", "crash_by_exception", "die"]),
        ("crash_by_free", &["abort", "free", "crash_by_free", "die"]),
        ("crash_by_call_of_null", &["crash_by_call_of_null", "die"]),
        ("crash_in_template", &["shapes::Area<int>::divide", "crash_in_template", "die"]),
        ("crash_call_back", &["write_through_null", "called_back", "crash_call_back", "die"]),
    ];
    for (way, wanted) in cases {
        if way == "crash_in_template" && cfg!(not(target_arch = "x86_64")) {
            continue;
        }
        assert_called(way, &functions(&pool, way, &library), wanted);
    }
    let text = error(&pool, "crash_write_in_c", &library).native_backtrace().unwrap().to_owned();
    assert!(text.contains("crashes.cc:"), "{text}");
}

#[poolmap::test]
fn a_file_of_another_build_gives_offsets() {
    let _guard = common::guard();
    let Some(library) = library() else { return };
    let (pool, folder) = (pool(), tempfile::tempdir().unwrap());
    for replaced in [None, Some("another build")] {
        let copy = folder.path().join(format!("{}.so", replaced.is_some()));
        std::fs::copy(&library, &copy).unwrap();
        let error = error(&pool, "crash_write_in_c", &copy);
        std::fs::remove_file(&copy).unwrap();
        replaced.iter().for_each(|text| std::fs::write(&copy, text).unwrap());
        let text = error.native_backtrace().unwrap();
        let offset = format!("   0: {}+0x", copy.display());
        assert!(text.starts_with(&offset) && text.contains("in_library"), "{text}");
    }
}

#[poolmap::test]
fn a_process_and_a_copy_of_a_fork_server_say_where() {
    let _guard = common::guard();
    let mut process = Process::new(die { way: "null".to_owned(), library: PathBuf::new() }).start().unwrap();
    let error = process.join().unwrap_err();
    assert!(error.task().unwrap().native_backtrace().unwrap().contains("write_through_null"));
    if common::has_fork_server() {
        let pool = Pool::builder().workers(1).start_method(poolmap::StartMethod::ForkServer).build().unwrap();
        assert_called("null", &functions(&pool, "null", Path::new("")), &["write_through_null", "die"]);
        pool.join().unwrap();
    }
}

#[poolmap::test]
fn a_core_dump_is_named_where_it_is() {
    let _guard = common::guard();
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let (pool, folder) = (pool(), tempfile::tempdir().unwrap());
    let error = error(&pool, "dump core", folder.path());
    let cores = common::files(folder.path());
    match cores.first() {
        Some(core) if pattern.trim() == "core" => {
            assert!(error.to_string().ends_with(&format!("its core dump is {}", core.display())), "{error}");
        }
        _ => eprintln!("skipped: cores go to {pattern:?}, or none is written here"),
    }
    std::fs::remove_dir_all(folder.path()).unwrap();
    let error = self::error(&pool, "abort", Path::new(""));
    assert!(!error.to_string().contains("core dump"), "{error}");
}

/// The backtrace of what a limit ended. A worker has 50 ms for it, which it may not get on a busy machine: then it is asked again.
fn ended(limit: &str, end: impl Fn() -> TaskError) -> String {
    let mut found = None;
    common::wait_until(limit, || {
        let error = end();
        assert!(matches!(error.kind(), TaskErrorKind::TimedOut { .. } | TaskErrorKind::CpuLimit { .. }), "{error}");
        found = error.native_backtrace().map(str::to_owned);
        found.is_some()
    });
    found.unwrap()
}

#[poolmap::test]
fn a_limit_says_what_it_ended() {
    let _guard = common::guard();
    let (pool, limit) = (pool(), Duration::from_millis(100));
    for (way, wanted) in [("wait", "wait_in_vain"), ("compute", "compute_in_vain")] {
        let text = ended("timeout", || {
            let outcome = pool_try_map!(in &pool, die, [way], [Path::new("")]; timeout = limit).unwrap().remove(0);
            outcome.unwrap_err()
        });
        assert!(text.contains(wanted) && text.contains("native_backtraces::die"), "{way}: {text}");
    }
    let text = ended("cpu_limit", || {
        let outcome = pool_try_map!(in &pool, die, ["compute"], [Path::new("")]; cpu_limit = limit).unwrap().remove(0);
        outcome.unwrap_err()
    });
    assert!(text.contains("compute_in_vain"), "{text}");
    let call = || die { way: "wait".to_owned(), library: PathBuf::new() };
    let text = ended("the timeout of a process", || {
        let mut process = Process::new(call()).timeout(limit).start().unwrap();
        process.join().unwrap_err().task().unwrap().clone()
    });
    assert!(text.contains("wait_in_vain"), "{text}");
    let text = ended("the timeout of a call", || {
        pool.call(call()).timeout(limit).apply().unwrap_err().task().unwrap().clone()
    });
    assert!(text.contains("wait_in_vain"), "{text}");
}

#[poolmap::test]
fn a_limit_ends_what_does_not_answer() {
    let _guard = common::guard();
    let (pool, limit) = (pool(), Duration::from_millis(100));
    for way in ["wait with signals blocked", "wait stopped", "wait with a handler"] {
        let outcome = pool_try_map!(in &pool, die, [way], [Path::new("")]; timeout = limit).unwrap().remove(0);
        let error = outcome.unwrap_err();
        assert!(matches!(error.kind(), TaskErrorKind::TimedOut { .. }), "{way}: {error}");
        assert!(error.native_backtrace().is_none(), "{way}");
    }
}

#[poolmap::test]
fn what_no_signal_ended_has_no_backtrace() {
    let _guard = common::guard();
    let pool = pool();
    assert!(error(&pool, "panic", Path::new("")).native_backtrace().is_none());
    // The word of a death is not taken for one of the next.
    assert_called("abort", &functions(&pool, "abort", Path::new("")), &["end_by_abort"]);
    assert!(error(&pool, "panic", Path::new("")).native_backtrace().is_none());
}
