//! The attempts in a container: the parent and its workers have the filter, the capabilities and the masked files of Docker's defaults, or
//! of a restricted pod of Kubernetes; and once Landlock is refused, as by profiles of before 2021.
//!
//! 1. The filter refuses what moby's default profile refuses without capabilities. A refusal is an error, and the kernel takes a denial by
//!    a signal before an error (seccomp(2)), so each attempt ends as it does elsewhere.
//! 2. Without Landlock no attempt is left out: a strict sandbox allows no call that only Landlock would stop.
//! 3. Nothing is attempted where seccomp is missing: these attempts would succeed, and end the parent.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::libc::{self, c_int, c_long, sock_filter};
use poolmap::{Pool, Sandbox, TaskErrorKind, pool_try_map, worker};

use crate::attacks;
use crate::common;
use crate::surroundings::{is_root, run_again};

/// The calls that moby's profile refuses to a process without capabilities.
const REFUSED: &[c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_get_mempolicy,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_mbind,
    libc::SYS_migrate_pages,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_move_pages,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_set_mempolicy,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_sysfs,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_uselib,
    libc::SYS_userfaultfd,
    libc::SYS_ustat,
    libc::SYS_vhangup,
];
/// The calls of Landlock, which older profiles do not know.
const LANDLOCK: [c_long; 3] =
    [libc::SYS_landlock_create_ruleset, libc::SYS_landlock_add_rule, libc::SYS_landlock_restrict_self];
/// A call that is newer than a profile does not exist for its container.
const NEWER: u32 = 457;
/// The second table of x86-64 begins there.
const X32: u32 = 0x4000_0000;
/// Each CLONE_NEW.
const NAMESPACES: u32 = 0x7e02_0000;
/// The capabilities that Docker leaves: CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, NET_RAW,
/// SYS_CHROOT, MKNOD, AUDIT_WRITE and SETFCAP.
const DOCKERS: u64 = 0xa804_25fb;
/// The files that Docker covers with an empty one. (It covers folders too, with nothing in them.)
const MASKED: [&std::ffi::CStr; 3] = [c"/proc/kcore", c"/proc/keys", c"/proc/timer_list"];
/// The user of a restricted pod.
const NOBODY: u32 = 65534;

/// The container to be made.
#[derive(Clone, Copy)]
struct Container {
    capabilities: u64,
    user: Option<u32>,
    has_landlock: bool,
}

const DOCKER: Container = Container { capabilities: DOCKERS, user: None, has_landlock: true };
const RESTRICTED: Container = Container { capabilities: 0, user: Some(NOBODY), has_landlock: true };
const WITHOUT_LANDLOCK: Container = Container { has_landlock: false, ..RESTRICTED };

/// Instructions of the kernel's filter.
fn load(offset: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

fn jump(condition: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: (libc::BPF_JMP | condition | libc::BPF_K) as u16, jt, jf, k }
}

fn answer(action: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: action }
}

fn error(errno: c_int) -> sock_filter {
    answer(libc::SECCOMP_RET_ERRNO | errno.cast_unsigned())
}

/// The filter of a container, for the calls of x86-64.
fn filter(container: Container) -> Vec<sock_filter> {
    const NUMBER: u32 = 0;
    const FIRST_ARGUMENT: u32 = 16;

    let (equal, is_less, has_bits) = (libc::BPF_JEQ, libc::BPF_JGE, libc::BPF_JSET);
    let mut program = vec![load(NUMBER)];
    let mut refuse = |call: c_long, errno: c_int| program.extend([jump(equal, call as u32, 0, 1), error(errno)]);
    REFUSED.iter().for_each(|call| refuse(*call, libc::EPERM));
    refuse(libc::SYS_clone3, libc::ENOSYS);
    if !container.has_landlock {
        LANDLOCK.iter().for_each(|call| refuse(*call, libc::ENOSYS));
    }
    program.extend([jump(is_less, X32, 2, 0), jump(is_less, NEWER, 0, 1), error(libc::ENOSYS)]);
    // A call by one of its arguments: what is left is reached by the jumps over it.
    program.extend([jump(equal, libc::SYS_clone as u32, 0, 4), load(FIRST_ARGUMENT), jump(has_bits, NAMESPACES, 0, 1)]);
    program.extend([error(libc::EPERM), answer(libc::SECCOMP_RET_ALLOW)]);
    program.extend([jump(equal, libc::SYS_socket as u32, 0, 4), load(FIRST_ARGUMENT)]);
    program.extend([jump(equal, libc::AF_VSOCK as u32, 0, 1), error(libc::EPERM), answer(libc::SECCOMP_RET_ALLOW)]);
    let harmless = [0, 8, 0x2_0000, 0x2_0008, u32::MAX];
    program.extend([jump(equal, libc::SYS_personality as u32, 0, harmless.len() as u8 + 2), load(FIRST_ARGUMENT)]);
    program.extend(
        harmless.iter().zip((1..=harmless.len() as u8).rev()).map(|(&known, to_end)| jump(equal, known, to_end, 0)),
    );
    program.extend([error(libc::EPERM), answer(libc::SECCOMP_RET_ALLOW)]);
    program
}

/// Makes system calls that return 0, or the error of the first that does not.
fn all_of(results: impl IntoIterator<Item = c_int>) -> io::Result<()> {
    if results.into_iter().all(|result| result == 0) { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Covers files with an empty one, in a namespace of this process.
fn mask() -> io::Result<()> {
    let nothing = std::ptr::null();
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: the calls take numbers, and texts that live through them.
    unsafe {
        all_of([libc::unshare(libc::CLONE_NEWNS)])?;
        all_of([libc::mount(nothing, c"/".as_ptr(), nothing, flags, std::ptr::null())])?;
        for path in MASKED {
            if libc::mount(c"/dev/null".as_ptr(), path.as_ptr(), nothing, libc::MS_BIND, std::ptr::null()) != 0
                && nix::errno::Errno::last() != nix::errno::Errno::ENOENT
            {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(())
}

/// Puts the process into a container. It makes system calls alone, as it runs behind a fork.
fn enter(container: Container, program: &[sock_filter]) -> io::Result<()> {
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
    // SAFETY: the calls take numbers, and a filter that lives through them.
    unsafe {
        for capability in (0..64).filter(|capability| container.capabilities & (1 << capability) == 0) {
            // It fails behind the last that the kernel has, and where the process may not.
            libc::prctl(libc::PR_CAPBSET_DROP, capability as libc::c_ulong, 0, 0, 0);
        }
        if let (Some(user), 0) = (container.user, libc::geteuid()) {
            all_of([libc::setgroups(0, std::ptr::null()), libc::setgid(user), libc::setuid(user)])?;
        }
        all_of([
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter),
        ])
    }
}

/// Says to the program in a container what its surroundings are to be.
const IS_MASKED: &str = "POOLMAP_TEST_MASKED";
const BOUNDING: &str = "POOLMAP_TEST_BOUNDING";

fn run_in(container: Container, test: &str) {
    let guard = common::guard();
    guard.allow(6 * common::SOON);
    let (is_root, has_mounts) = (is_root(), capabilities("CapEff:") & (1 << 21) != 0);
    run_again(test, |command: &mut Command| {
        if has_mounts {
            command.env(IS_MASKED, "1");
        }
        if is_root {
            command.env(BOUNDING, container.capabilities.to_string());
        }
        let program = filter(container);
        let start = move || {
            if has_mounts {
                mask()?;
            }
            enter(container, &program)
        };
        // SAFETY: it makes system calls, and takes no lock and no memory.
        unsafe { command.pre_exec(start) };
    });
}

/// A set of capabilities of this process (proc_pid_status(5)).
fn capabilities(set: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(set)).unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap()
}

/// The surroundings are those that were asked for.
fn check_surroundings() {
    let refused = |call: c_long, argument: c_int, errno: c_int| {
        // SAFETY: the call takes numbers, and is to fail.
        let result = unsafe { libc::syscall(call, argument as libc::c_long, 0, 0, 0, 0) };
        assert_eq!((result, nix::errno::Errno::last_raw()), (-1, errno), "system call {call}");
    };
    refused(libc::SYS_unshare, 0, libc::EPERM);
    refused(libc::SYS_clone, libc::CLONE_NEWUSER, libc::EPERM);
    refused(libc::SYS_clone3, 0, libc::ENOSYS);
    refused(libc::SYS_socket, libc::AF_VSOCK, libc::EPERM);
    refused(libc::SYS_personality, 0x4_0000, libc::EPERM);
    refused(c_long::from(NEWER), 0, libc::ENOSYS);
    if let Ok(bounding) = std::env::var(BOUNDING) {
        let bounding: u64 = bounding.parse().unwrap();
        assert_eq!((capabilities("CapBnd:"), capabilities("CapEff:")), (bounding, bounding));
    }
    if std::env::var_os(IS_MASKED).is_some() {
        assert_eq!(std::fs::read("/proc/keys").map_or(0, |bytes| bytes.len()), 0);
    }
}

#[test]
fn every_attempt_ends_as_it_must_in_a_container() {
    run_in(DOCKER, "containers::in_a_container");
}

#[test]
fn every_attempt_ends_as_it_must_in_a_restricted_pod() {
    run_in(RESTRICTED, "containers::in_a_container_as_a_copy");
}

#[test]
fn every_attempt_ends_as_it_must_without_landlock() {
    run_in(WITHOUT_LANDLOCK, "containers::without_landlock");
}

/// The second wall is missing, which is no error, and the others hold.
fn namespaces_are_refused() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).sandbox(Sandbox::strict()).build().unwrap();
    let status = pool.sandbox_status();
    assert!(status.is_complete() && status.refused_namespaces().is_some(), "{status}");
    assert!(!status.separates_network() && !status.separates_files(), "{status}");
    let outcomes = pool_try_map!(in &pool, reads, ["/etc/passwd"]).unwrap();
    assert!(matches!(outcomes[0].as_ref().unwrap_err().kind(), TaskErrorKind::Denied { .. }), "{outcomes:?}");
}

#[worker]
fn reads(path: &str) -> bool {
    std::fs::read(path).is_ok()
}

#[poolmap::test]
#[ignore = "another test runs it in a container"]
fn in_a_container() {
    check_surroundings();
    namespaces_are_refused();
    attacks::attack_strict_pool();
}

#[poolmap::test]
#[ignore = "another test runs it in a container"]
fn in_a_container_as_a_copy() {
    check_surroundings();
    namespaces_are_refused();
    attacks::attack_copies();
}

#[poolmap::test]
#[ignore = "another test runs it in a container"]
fn without_landlock() {
    check_surroundings();
    let _guard = common::guard();
    let builder = || Pool::builder().workers(1);
    let error = builder().sandbox(Sandbox::strict()).build().unwrap_err();
    assert!(error.is_invalid_option() && error.to_string().contains("Landlock"), "{error}");
    let pool = builder().sandbox(Sandbox::strict().best_effort()).build().unwrap();
    let status = pool.sandbox_status();
    assert!(status.filters_system_calls() && status.landlock_version().is_none() && !status.is_complete(), "{status}");
    drop(pool);
    attacks::attack_all(|| Pool::builder().sandbox(Sandbox::strict().best_effort()));
}
