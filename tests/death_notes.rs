//! What is told of a worker's death beside the signal or the exit code.

mod common;

use std::hint::black_box;

use nix::libc;
use poolmap::{Pool, TaskErrorKind, pool_map, pool_try_map, worker};

/// Dies in the way named.
#[worker]
#[allow(unsafe_code, reason = "the deaths are what the test is about")]
fn die(way: &str) -> usize {
    // SAFETY: there is none: the worker that runs this is to be ended by it.
    unsafe {
        match way {
            "null in C" => return libc::strlen(black_box(std::ptr::null())),
            "null" => std::ptr::without_provenance_mut::<u8>(8).write_volatile(1),
            "unmapped" => std::ptr::without_provenance_mut::<u8>(0x1234_5000).write_volatile(1),
            "protected" => std::ptr::from_ref("text").cast::<u8>().cast_mut().write_volatile(1),
            "bus" => read_behind_a_file(),
            "raise FPE" => drop(libc::raise(libc::SIGFPE)),
            "raise SEGV" => drop(libc::raise(libc::SIGSEGV)),
            "no memory in C" => {
                take_all();
                return libc::strlen(black_box(libc::malloc(1 << 20)).cast());
            }
            "no memory in C, abort" => {
                take_all();
                std::process::abort();
            }
            "no handlers" => {
                libc::signal(libc::SIGABRT, libc::SIG_DFL);
                allocate_huge();
            }
            "fork" => {
                let child = libc::fork();
                if child == 0 {
                    libc::abort();
                }
                libc::waitpid(child, std::ptr::null_mut(), 0);
                std::process::abort();
            }
            #[cfg(target_arch = "x86_64")]
            // The register that the address stands in decides which signal it is.
            "refused" => std::arch::asm!("mov byte ptr [rax], 1", in("rax") 1u64 << 63),
            #[cfg(target_arch = "x86_64")]
            "refused by the stack" => std::arch::asm!("mov rbp, rax", "mov byte ptr [rbp], 1", in("rax") 1u64 << 63),
            #[cfg(target_arch = "x86_64")]
            "divide" => {
                std::arch::asm!("xor ecx, ecx", "div ecx", out("eax") _, out("ecx") _, out("edx") _);
            }
            #[cfg(target_arch = "x86_64")]
            "illegal" => std::arch::asm!("ud2"),
            #[cfg(target_arch = "x86_64")]
            "abort on a broken stack" => abort_on_a_broken_stack(),
            other => return die_safely(other),
        }
    }
    0
}

/// What the workers of some pools may allocate.
const LIMIT: u64 = 64 << 20;
/// More than any machine has; of 32 bits, two of them are more than a process can have.
const HUGE: usize = if cfg!(target_pointer_width = "64") { usize::MAX >> 18 } else { isize::MAX.cast_unsigned() };

/// An allocation that fails.
fn allocate_huge() {
    let first = if cfg!(target_pointer_width = "64") { Vec::new() } else { Vec::<u8>::with_capacity(HUGE) };
    black_box((first, vec![1u8; HUGE]));
}

fn die_safely(way: &str) -> usize {
    match way {
        "abort" => std::process::abort(),
        "exit 0" => std::process::exit(0),
        "exit 3" => std::process::exit(3),
        "kill" => common::kill(std::process::id(), "KILL"),
        "kill ABRT" => {
            common::kill(std::process::id(), "ABRT");
            std::thread::sleep(common::SOON);
        }
        "kill SEGV" => common::kill(std::process::id(), "SEGV"),
        "overflow" => return overflow(0),
        "overflow of a thread" => return std::thread::spawn(|| overflow(0)).join().unwrap(),
        "huge" => allocate_huge(),
        "huge in a thread" => std::thread::spawn(allocate_huge).join().unwrap(),
        "huge after a panic" => {
            assert!(std::panic::catch_unwind(|| panic!("it is caught")).is_err());
            allocate_huge();
        }
        "abort after a refusal" => {
            let mut reserved = [Vec::<u8>::new(), Vec::new()];
            assert!(black_box(&mut reserved).iter_mut().any(|bytes| bytes.try_reserve_exact(HUGE).is_err()));
            std::process::abort();
        }
        "grow" => {
            let mut all = Vec::new();
            loop {
                all.extend_from_slice(black_box(&[1u8; 1 << 16]));
            }
        }
        "capacity" => drop(black_box(Vec::<u64>::with_capacity(black_box(usize::MAX)))),
        "panic" => panic!("it panics"),
        "live" => {}
        other => panic!("no way to die: {other}"),
    }
    0
}

#[expect(unconditional_recursion, reason = "the stack is to overflow")]
#[inline(never)]
fn overflow(depth: usize) -> usize {
    let large = black_box([depth; 1000]);
    overflow(depth.wrapping_add(large[1])).wrapping_add(large[2])
}

/// Takes memory as C does, until there is none.
#[allow(unsafe_code, reason = "C is what the test is about")]
fn take_all() {
    for bytes in [1 << 20, 1 << 10] {
        // SAFETY: what is taken is kept, and not used.
        while !black_box(unsafe { libc::malloc(bytes) }).is_null() {}
    }
}

#[allow(unsafe_code, reason = "the death is what the test is about")]
fn read_behind_a_file() {
    use std::os::fd::AsRawFd;

    let file = tempfile::tempfile().unwrap();
    // SAFETY: the system chooses a free address; the mapping is not used again.
    let address = unsafe {
        libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0).cast::<u8>()
    };
    // SAFETY: there is none: the file has no byte there.
    black_box(unsafe { address.read_volatile() });
}

/// Aborts where the frame pointer, by which this function's caller is found, is none.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
#[allow(unsafe_code, reason = "the death is what the test is about")]
fn abort_on_a_broken_stack() {
    #[repr(align(128))]
    struct Aligned([u8; 128]);

    black_box(&mut Aligned([0; 128]).0);
    // SAFETY: it does not come back.
    unsafe {
        std::arch::asm!("mov rbp, {}", "call {}", in(reg) 1u64 << 62, sym libc::abort, options(noreturn));
    }
}

/// How the task of one way ends, as text.
fn told(pool: &Pool, way: &str) -> String {
    let outcome = pool_try_map!(in pool, die, [way]).unwrap().remove(0);
    match outcome.unwrap_err().kind() {
        TaskErrorKind::Crashed { signal, exit_code, note, .. } => {
            // Where the system dumps cores, it is told, too.
            let note = note.as_deref().map(|note| note.split("; its core dump is ").next().unwrap());
            let note = note.filter(|note| !note.starts_with("its core dump is "));
            let end =
                signal.map_or_else(|| format!("exit {}", exit_code.unwrap()), |signal| format!("signal {signal}"));
            note.as_ref().map_or(end.clone(), |note| format!("{end}: {note}"))
        }
        TaskErrorKind::MemoryLimit { limit, .. } => format!("memory limit {limit}"),
        TaskErrorKind::Panicked { message, .. } => format!("panic: {message}"),
        other => format!("{other:?}"),
    }
}

fn assert_told(pool: &Pool, cases: &[(&str, &str)]) {
    for (way, said) in cases {
        let told = told(pool, way);
        match said.strip_suffix('…') {
            Some(beginning) => assert!(told.starts_with(beginning), "{way}: {told}"),
            None => assert_eq!(told, *said, "{way}"),
        }
    }
}

fn pool() -> Pool {
    Pool::builder().workers(1).build().unwrap()
}

#[poolmap::test]
fn a_fault_is_told_with_its_address() {
    let _guard = common::guard();
    let bus = if cfg!(target_os = "linux") { 7 } else { 10 };
    let said = format!("signal {bus}: bus error at address 0x…");
    let cases = [
        ("null in C", "signal 11: it read, wrote or ran address 0x0, which is not mapped"),
        ("null", "signal 11: it read, wrote or ran address 0x8, which is not mapped"),
        ("unmapped", "signal 11: it read, wrote or ran address 0x12345000, which is not mapped"),
        ("protected", "signal 11: it read, wrote or ran address 0x…"),
        ("bus", &said),
    ];
    assert_told(&pool(), &cases);
    assert!(told(&pool(), "protected").ends_with(", which is protected"));
}

#[cfg(target_arch = "x86_64")]
#[poolmap::test]
fn a_fault_of_the_processor_is_told() {
    let _guard = common::guard();
    let cases = [
        ("refused", "signal 11: the processor refused an instruction, or an address that no memory can have"),
        (
            "refused by the stack",
            "signal 7: the processor refused an instruction, or an address that no memory can have",
        ),
        ("divide", "signal 8: division by zero or another arithmetic fault at 0x…"),
        ("illegal", "signal 4: illegal instruction at 0x…"),
    ];
    assert_told(&pool(), &cases);
}

#[poolmap::test]
fn a_stack_overflow_is_told_with_the_stacks_size() {
    let _guard = common::guard();
    let said = "stack overflow (the stack of a task is 8 MiB: Pool::builder().stack_bytes(…))";
    assert_eq!(told(&pool(), "overflow"), format!("signal 6: {said}"));
    let small = Pool::builder().workers(1).stack_bytes(192 << 10).build().unwrap();
    assert_eq!(told(&small, "overflow"), format!("signal 6: {}", said.replace("8 MiB", "192 KiB")));
    // Of another thread's stack nothing is known but that std has ended the process.
    assert_told(&pool(), &[("overflow of a thread", "signal 6: it read, wrote or ran address 0x…")]);
}

#[poolmap::test]
fn what_std_says_of_a_stack_overflow_is_not_lost() {
    let _guard = common::guard();
    let output = common::run(common::program(env!("CARGO_BIN_EXE_scenario")).arg("overflow"));
    let (stdout, stderr) = (common::text(&output.stdout), common::text(&output.stderr));
    assert!(stdout.contains("crashed: its worker was killed by signal 6 (SIGABRT)"), "{stdout}");
    assert!(stdout.contains("; stack overflow (the stack of a task is 8 MiB"), "{stdout}");
    assert!(stderr.contains("has overflowed its stack"), "{stderr}");
}

#[poolmap::test]
fn nothing_is_said_of_what_is_not_known() {
    let _guard = common::guard();
    let cases = [
        ("abort", "signal 6"),
        ("kill", "signal 9"),
        ("fork", "signal 6"),
        ("no handlers", "signal 6"),
        ("abort after a refusal", "signal 6"),
    ];
    assert_told(&pool(), &cases);
    #[cfg(target_arch = "x86_64")]
    assert_told(&pool(), &[("abort on a broken stack", "signal 6")]);
}

#[poolmap::test]
fn who_sent_a_signal_is_told() {
    let _guard = common::guard();
    assert_told(&pool(), &[("kill ABRT", "signal 6: the signal was sent by process …")]);
}

#[poolmap::test]
fn an_exit_in_a_task_is_told() {
    let _guard = common::guard();
    let said = "it was ended from inside, as `std::process::exit` in a task does";
    let pool = pool();
    assert_eq!(told(&pool, "exit 0"), format!("exit 0: {said}"));
    assert_eq!(told(&pool, "exit 3"), format!("exit 3: {said}"));
}

#[poolmap::test]
fn word_of_one_task_is_not_taken_for_another() {
    let _guard = common::guard();
    let pool = pool();
    for (first, second, said) in [("panic", "kill", "signal 9"), ("panic", "abort", "signal 6")] {
        let outcomes = pool_try_map!(in &pool, die, [first, second]; chunk_size = 2).unwrap();
        let error = outcomes[1].as_ref().unwrap_err();
        let TaskErrorKind::Crashed { signal, note: None, .. } = error.kind() else {
            panic!("{first}, {second}: {error}");
        };
        assert_eq!(format!("signal {}", signal.unwrap()), said, "{first}, {second}");
    }
}

#[poolmap::test]
#[cfg_attr(target_env = "musl", ignore = "from the handler of an abort, no stack is walked there")]
fn a_failed_allocation_is_told() {
    let _guard = common::guard();
    let said = "signal 6: an allocation failed";
    let cases = [("huge", said), ("huge in a thread", said), ("huge after a panic", said)];
    assert_told(&pool(), &cases);
    assert!(told(&pool(), "capacity").starts_with("panic: capacity overflow"));
}

#[poolmap::test]
#[cfg_attr(target_env = "musl", ignore = "from the handler of an abort, no stack is walked there")]
fn an_allocation_over_the_memory_limit_is_told_as_that() {
    let _guard = common::guard();
    if !common::limits_memory() {
        return;
    }
    let pool = Pool::builder().workers(1).memory_limit(LIMIT).build().unwrap();
    let cases = [
        ("huge", "memory limit 67108864"),
        ("huge in a thread", "memory limit 67108864"),
        ("huge after a panic", "memory limit 67108864"),
        ("grow", "memory limit 67108864"),
        ("no memory in C", "memory limit 67108864"),
        ("no memory in C, abort", "memory limit 67108864"),
    ];
    assert_told(&pool, &cases);
    let error = pool_map!(in &pool, die, ["huge"]).unwrap_err();
    let pid = error.task().unwrap().worker_pid().unwrap();
    assert_eq!(
        error.to_string(),
        format!(
            "task 0 of `death_notes::die` was ended by its memory limit of 67108864 bytes: its worker (pid {pid}) could not \
             get more memory; raise the limit (Pool::builder().memory_limit(…)), or give a task less to do",
        ),
    );
}

/// std's way to print a backtrace, and ours to send one, take memory.
#[poolmap::test]
fn a_panic_where_memory_is_short_hangs_nothing() {
    let _guard = common::guard();
    if !common::limits_memory() {
        return;
    }
    for (place, said) in [("the task", "panicked at"), ("another thread", "panicked at")] {
        let mut scenario = common::program(env!("CARGO_BIN_EXE_scenario"));
        let output = common::run(scenario.args(["panic without memory", place]).env("RUST_BACKTRACE", "1"));
        let stdout = common::text(&output.stdout);
        assert!(output.status.success() && stdout.contains(said), "{place}: {stdout}{}", common::text(&output.stderr));
    }
}

#[poolmap::test]
fn another_death_is_not_the_memory_limits() {
    let _guard = common::guard();
    if !common::limits_memory() {
        return;
    }
    let pool = Pool::builder().workers(1).memory_limit(LIMIT).build().unwrap();
    let cases = [
        ("abort", "signal 6"),
        ("abort after a refusal", "signal 6"),
        ("null in C", "signal 11: it read, wrote or ran address 0x0, which is not mapped"),
        ("kill", "signal 9"),
        ("kill ABRT", "signal 6: the signal was sent by process …"),
        ("overflow", "signal 6: stack overflow…"),
        ("capacity", "panic: capacity overflow"),
    ];
    assert_told(&pool, &cases);
}

#[worker]
fn sum_of_ones(length: usize) -> usize {
    black_box(vec![1u8; length]).iter().map(|&one| usize::from(one)).sum()
}

#[poolmap::test]
#[cfg_attr(target_env = "musl", ignore = "from the handler of an abort, no stack is walked there")]
fn a_memory_limit_is_that_of_each_worker_and_of_no_other_process() {
    let _guard = common::guard();
    if !common::limits_memory() {
        return;
    }
    let pool = Pool::builder().workers(2).memory_limit(LIMIT).build().unwrap();
    let free = Pool::builder().workers(1).build().unwrap();
    let large = 2 * usize::try_from(LIMIT).unwrap();
    // One worker after the other comes to the limit, and what is below it goes on.
    for _ in 0..3 {
        let outcomes = pool_try_map!(in &pool, sum_of_ones, [1000, large, 1 << 20]; chunk_size = 3).unwrap();
        assert_eq!((outcomes[0].as_ref().unwrap(), outcomes[2].as_ref().unwrap()), (&1000, &(1 << 20)));
        let error = outcomes[1].as_ref().unwrap_err();
        assert!(matches!(error.kind(), TaskErrorKind::MemoryLimit { limit: LIMIT, .. }), "{error}");
    }
    assert_eq!(sum_of_ones(large), large);
    assert_eq!(pool_map!(in &free, sum_of_ones, [large]).unwrap(), [large]);
}

#[poolmap::test]
#[cfg_attr(target_env = "musl", ignore = "from the handler of an abort, no stack is walked there")]
fn a_worker_starts_and_works_under_the_least_memory_limit() {
    let _guard = common::guard();
    if !common::limits_memory() {
        return;
    }
    let pool = Pool::builder().workers(1).memory_limit(16 << 20).build().unwrap();
    assert_eq!(pool_map!(in &pool, sum_of_ones, [1 << 20; 10]).unwrap(), [1 << 20; 10]);
    assert_told(&pool, &[("huge", "memory limit 16777216")]);
}

#[poolmap::test]
fn a_memory_limit_that_cannot_be_kept_is_refused() {
    let _guard = common::guard();
    for bytes in [0, (16 << 20) - 1] {
        let error = Pool::builder().memory_limit(bytes).build().unwrap_err();
        let said = if common::limits_memory() { "must be at least 16777216 bytes" } else { "not supported" };
        assert!(error.is_invalid_option() && error.to_string().contains(said), "{error}");
    }
    let error = Pool::builder().memory_limit(1 << 30).stack_bytes(1 << 30).build().unwrap_err();
    assert!(error.is_invalid_option(), "{error}");
}

/// A control group of this program's for what it starts, with a limit for memory; gone when it is dropped.
struct MemoryGroup(std::path::PathBuf);

impl MemoryGroup {
    /// None where this process may not make one, or the system has another form of it.
    fn new(bytes: u64) -> Option<Self> {
        let folder = std::path::PathBuf::from(format!("/sys/fs/cgroup/memory/poolmap-{}", std::process::id()));
        std::fs::create_dir(&folder).ok()?;
        let group = Self(folder);
        std::fs::write(group.0.join("memory.limit_in_bytes"), bytes.to_string()).ok()?;
        // Without the pages on disk it is over at once.
        let _ = std::fs::write(group.0.join("memory.swappiness"), "0");
        let counts = std::fs::read_to_string(group.0.join("memory.oom_control")).ok()?;
        counts.contains("oom_kill ").then_some(group)
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        common::wait_until("the group is empty", || std::fs::remove_dir(&self.0).is_ok());
    }
}

#[poolmap::test]
fn what_the_kernel_ends_for_want_of_memory_is_told_as_that() {
    let _guard = common::guard();
    let Some(group) = MemoryGroup::new(128 << 20) else {
        eprintln!("not shown here: it takes a control group of version 1, and the right to make one");
        return;
    };
    let script = format!("echo $$ > {}/cgroup.procs && exec \"$0\" \"$@\"", group.0.display());
    let scenario = [env!("CARGO_BIN_EXE_scenario"), "be killed for memory"];
    let output = common::run(common::program("sh").arg("-c").arg(script).args(scenario));
    let stdout = common::text(&output.stdout);
    assert!(stdout.contains("was killed by signal 9 (SIGKILL) (pid "), "{stdout}");
    assert!(stdout.trim_end().ends_with("; the kernel's out-of-memory killer ended it"), "{stdout}");
}
