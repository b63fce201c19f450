//! The part of a sandbox that each thread of a process has for itself: namespaces, capabilities, and the domain of landlock(7).
//!
//! 1. The kernel changes them for the calling thread alone, and a thread that stays outside of the walls is a way out of them: it has the
//!    same memory. So each thread does it, in the handler of a signal that is sent to it, as libpsx does for capabilities.
//! 2. Threads are listed and asked until a list has none that is new: a thread that was made meanwhile is made by one that has been asked,
//!    and inherits, or is in the next list.
//! 3. A thread that does not answer within a second has blocked the signal. Then the worker does not enter the sandbox.
//!    One that cannot be asked, as its user has too many signals pending, is no less outside, and the worker does not enter either.
//! 4. The handler makes system calls alone, by numbers that are there before it runs.
//! 5. Namespaces are entered first, as that takes capabilities. A thread that has none may be in them already: it was made by one that had
//!    been asked (rule 2). Where one says that it could not enter, each thread's are compared with those that it should be in.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::{self, c_int, c_void};

use super::capabilities::Capabilities;
use super::namespaces::Namespaces;
use super::signal_action::{action_of, exchange, unblock};

/// So long a thread may take to answer: it may be short of a processor.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// The rules, as a descriptor; below 0 where there are none.
static RULES: AtomicI32 = AtomicI32::new(-1);
/// The namespaces of the network and of mounts; below 0 where none is to be entered.
static NETWORK: AtomicI32 = AtomicI32::new(-1);
static MOUNTS: AtomicI32 = AtomicI32::new(-1);
/// The last error of a thread that could not enter one.
static NOT_ENTERED: AtomicI32 = AtomicI32::new(0);
/// How many threads have done it.
static ANSWERS: AtomicU32 = AtomicU32::new(0);
/// The first error.
static ERROR: AtomicI32 = AtomicI32::new(0);

/// The signal that threads are asked by. Those in front of it the C library may have for itself.
fn question() -> c_int {
    libc::SIGRTMAX() - 3
}

/// Lets a thread that blocks all signals answer, and make calls that the filter has answered by a handler.
pub(crate) fn answer_confinement() {
    unblock(&[question(), libc::SIGSYS]);
}

/// Puts each thread of this process into the namespaces, takes all capabilities from it, and puts it behind the rules, if there are some.
pub(crate) fn confine_threads(rules: Option<OwnedFd>, namespaces: &Namespaces) -> io::Result<()> {
    let number = |descriptor: &Option<OwnedFd>| descriptor.as_ref().map_or(-1, AsRawFd::as_raw_fd);
    RULES.store(number(&rules), Ordering::SeqCst);
    NETWORK.store(number(&namespaces.network), Ordering::SeqCst);
    MOUNTS.store(number(&namespaces.mounts), Ordering::SeqCst);
    let before = exchange(question(), Some(&action_of(on_question)));
    let confined = confine_all(namespaces);
    exchange(question(), Some(&before));
    for number in [&RULES, &NETWORK, &MOUNTS] {
        number.store(-1, Ordering::SeqCst);
    }
    confined
}

fn confine_all(namespaces: &Namespaces) -> io::Result<()> {
    let own = nix::unistd::gettid().as_raw();
    let mut known = vec![own];
    loop {
        let new: Vec<c_int> = threads()?.into_iter().filter(|thread| !known.contains(thread)).collect();
        if new.is_empty() {
            break;
        }
        for thread in new {
            ask(thread)?;
            known.push(thread);
        }
    }
    check_entered(&known[1..], namespaces)?;
    // The last, as it has to read the list.
    confine_this_thread();
    check_entered(&[], namespaces)?;
    match ERROR.load(Ordering::SeqCst) {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// The threads of this process.
fn threads() -> io::Result<Vec<c_int>> {
    let mut threads = Vec::new();
    for entry in std::fs::read_dir("/proc/self/task")? {
        threads.extend(entry?.file_name().to_str().and_then(|name| name.parse::<c_int>().ok()));
    }
    Ok(threads)
}

/// Has a thread do it, unless it has ended.
fn ask(thread: c_int) -> io::Result<()> {
    let before = ANSWERS.load(Ordering::SeqCst);
    let begun = Instant::now();
    // SAFETY: the calls take numbers; the handler of the signal is ours.
    while unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, question()) } != 0 {
        match Errno::last() {
            Errno::ESRCH => return Ok(()),
            // Others of this user have as many signals pending as it may have (RLIMIT_SIGPENDING).
            Errno::EAGAIN if begun.elapsed() < ANSWER_TIMEOUT => std::thread::yield_now(),
            error => {
                return Err(io::Error::other(format!(
                    "its thread `{}` cannot be asked to enter the sandbox: {}",
                    name_of(thread),
                    io::Error::from(error)
                )));
            }
        }
    }
    while ANSWERS.load(Ordering::SeqCst) == before {
        if begun.elapsed() > ANSWER_TIMEOUT {
            let name = name_of(thread);
            if name.is_empty() {
                return Ok(());
            }
            return Err(io::Error::other(format!(
                "its thread `{name}` blocks all signals, and so cannot enter the sandbox: start it without that"
            )));
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// The name of a thread; empty where it has ended.
fn name_of(thread: c_int) -> String {
    let name = std::fs::read_to_string(format!("/proc/self/task/{thread}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}

extern "C" fn on_question(_signal: c_int, _details: *mut libc::siginfo_t, _context: *mut c_void) {
    let errno = Errno::last_raw();
    confine_this_thread();
    ANSWERS.fetch_add(1, Ordering::SeqCst);
    Errno::set_raw(errno);
}

/// Checks that these threads are in the namespaces, if one has said that it could not enter them (rule 5).
fn check_entered(threads: &[c_int], namespaces: &Namespaces) -> io::Result<()> {
    let error = match NOT_ENTERED.swap(0, Ordering::SeqCst) {
        0 => return Ok(()),
        error => io::Error::from_raw_os_error(error),
    };
    let is_in = |thread: c_int, name: &str, namespace: &Option<OwnedFd>| match namespace {
        Some(namespace) => match std::fs::metadata(format!("/proc/self/task/{thread}/ns/{name}")) {
            Ok(own) => nix::sys::stat::fstat(namespace.as_fd()).is_ok_and(|wanted| own.ino() == wanted.st_ino),
            // It has ended.
            Err(missing) => missing.kind() == io::ErrorKind::NotFound,
        },
        None => true,
    };
    let mut all = threads.iter();
    if !threads.is_empty()
        && all.all(|&thread| is_in(thread, "net", &namespaces.network) && is_in(thread, "mnt", &namespaces.mounts))
    {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "its namespaces could not be entered: {error}: the sandbox is to be \
         `without_namespaces()` where the initializer gives up rights of its process"
    )))
}

/// It does nothing that is not allowed in a handler.
fn confine_this_thread() {
    if let Err(error) = enter_namespaces() {
        NOT_ENTERED.store(error, Ordering::SeqCst);
    }
    if let Err(error) = drop_capabilities().and_then(|()| enter_domain()) {
        let _ = ERROR.compare_exchange(0, error, Ordering::SeqCst, Ordering::Relaxed);
    }
}

fn enter_namespaces() -> Result<(), c_int> {
    let (network, mounts) = (NETWORK.load(Ordering::SeqCst), MOUNTS.load(Ordering::SeqCst));
    if network < 0 && mounts < 0 {
        return Ok(());
    }
    Capabilities::now()?.entering().set()?;
    // SAFETY: the calls take numbers; the descriptors are open until all threads have answered. A folder and a root of this thread's own
    // are what setns(2) asks for, and nothing of this library depends on that they are common to its threads.
    let entered = unsafe {
        (network < 0 || libc::setns(network, libc::CLONE_NEWNET) == 0)
            && (mounts < 0 || (libc::unshare(libc::CLONE_FS) == 0 && libc::setns(mounts, libc::CLONE_NEWNS) == 0))
    };
    if entered { Ok(()) } else { Err(Errno::last_raw()) }
}

fn drop_capabilities() -> Result<(), c_int> {
    // SAFETY: the calls take numbers.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(Errno::last_raw());
    }
    // With this, no program that the thread could execute has more than it has itself, whoever runs it: the bounding set, of some 40
    // capabilities that are dropped one by one, stands behind that. The ambient ones are those of the others that are inheritable.
    Capabilities::NONE.set()
}

fn enter_domain() -> Result<(), c_int> {
    let rules = RULES.load(Ordering::SeqCst);
    if rules < 0 {
        return Ok(());
    }
    // SAFETY: it takes numbers; the descriptor is open until all threads have answered.
    match unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules, 0 as libc::c_uint) } {
        0 => Ok(()),
        _ => Err(Errno::last_raw()),
    }
}
