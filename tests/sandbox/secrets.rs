//! The arguments of a task, and what a task of another worker finds of them: it searches all memory and all descriptors that it has.

use std::os::fd::AsRawFd;

use nix::libc;
use poolmap::{Builder, Event, Pool, Sandbox, StartMethod, worker};

use crate::attempts::{call, mappings};
use crate::common::secrets::{SECRET_BYTES, has_secret, secret};
use crate::common::{self, SOON, shares_memory};

const PART: usize = 1 << 20;

/// The names of all memory of this process, and the numbers of all its descriptors, in which a secret is. It opens nothing. The first
/// descriptors are left out, as they are /dev/null and the output (`printing.rs`).
#[worker]
fn search(salt: u64) -> Vec<String> {
    find(salt)
}

fn find(salt: u64) -> Vec<String> {
    let mut found = Vec::new();
    let mut part = vec![0_u8; PART];
    for mapping in mappings() {
        // The kernel's own pages cannot all be read, and the code of files is what it was.
        let is_code =
            mapping.name.starts_with('/') && !mapping.name.starts_with("/memfd:") && !mapping.rights.starts_with("rw");
        if !mapping.rights.starts_with('r') || mapping.name.starts_with("[v") || is_code {
            continue;
        }
        // The next part begins before the end of this one.
        for begin in (mapping.begin..mapping.end).step_by(PART - SECRET_BYTES) {
            let count = PART.min(mapping.end - begin);
            // SAFETY: the list says that it is mapped and can be read, and nothing of it is unmapped by this thread, which is alone.
            unsafe { std::ptr::copy(std::ptr::with_exposed_provenance::<u8>(begin), part.as_mut_ptr(), count) };
            let is_there = has_secret(&part[..count], salt);
            part.fill(0);
            if is_there {
                found.push(format!("{} {}", mapping.rights, mapping.name));
                break;
            }
        }
    }
    for descriptor in 3..1024 {
        let mut place = 0;
        while let count @ 1.. = call(libc::SYS_pread64, [descriptor, part.as_mut_ptr().addr(), PART, place]) {
            let is_there = has_secret(&part[..count as usize], salt);
            part.fill(0);
            if is_there {
                found.push(format!("descriptor {descriptor}"));
                break;
            }
            place += count as usize;
        }
        // A socket.
        let flags = (libc::MSG_PEEK | libc::MSG_DONTWAIT) as usize;
        let count = call(libc::SYS_recvfrom, [descriptor, part.as_mut_ptr().addr(), PART, flags, 0, 0]);
        if count > 0 && has_secret(&part[..count as usize], salt) {
            found.push(format!("socket {descriptor}"));
        }
        part.fill(0);
    }
    found
}

/// Searches for its own argument.
#[worker]
fn search_for_own(secret: Vec<u8>, salt: u64) -> Vec<String> {
    let found = find(salt);
    std::hint::black_box(secret);
    found
}

/// Returns its argument once it may.
#[worker]
fn hold(secret: Vec<u8>, has_begun: Event, may_end: Event) -> Vec<u8> {
    has_begun.set();
    may_end.wait();
    secret
}

#[worker]
fn crash(secret: Vec<u8>) {
    std::hint::black_box(&secret);
    common::segfault();
}

/// What a task finds of the argument of one that another worker runs meanwhile.
fn found_beside(builder: Builder, salt: u64) -> Vec<String> {
    let pool = builder.workers(2).build().unwrap();
    let (has_begun, may_end) = (Event::new().unwrap(), Event::new().unwrap());
    let held =
        pool.submit(hold { secret: secret(salt), has_begun: has_begun.clone(), may_end: may_end.clone() }).unwrap();
    if !has_begun.wait_timeout(SOON) {
        panic!("the task has not begun: {:?}", held.join());
    }
    let found = pool.apply(search { salt }).unwrap();
    may_end.set();
    assert_eq!(held.join().unwrap(), secret(salt));
    found
}

/// What a task finds of the argument of a worker that was there before its own.
fn found_behind(builder: Builder, salt: u64) -> Vec<String> {
    let pool = builder.workers(1).build().unwrap();
    pool.apply(crash { secret: secret(salt) }).unwrap_err();
    pool.apply(search { salt }).unwrap()
}

fn sandboxed(method: StartMethod) -> Builder {
    Pool::builder().start_method(method).sandbox(Sandbox::strict())
}

#[poolmap::test]
fn a_task_finds_no_argument_of_a_worker_beside_its_own_or_before_it() {
    let _guard = common::guard();
    for method in [StartMethod::Spawn, StartMethod::ForkServer] {
        assert_eq!(found_beside(sandboxed(method), 37), [""; 0]);
        assert_eq!(found_beside(sandboxed(method).fresh_process(), 38), [""; 0]);
        assert_eq!(found_behind(sandboxed(method), 31), [""; 0]);
        assert_eq!(found_behind(sandboxed(method).fresh_process(), 32), [""; 0]);
    }
}

#[poolmap::test]
fn the_search_finds_its_own_argument_and_those_that_workers_share() {
    let _guard = common::guard();
    for method in [StartMethod::Spawn, StartMethod::ForkServer] {
        let pool = sandboxed(method).workers(1).build().unwrap();
        let found = pool.apply(search_for_own { secret: secret(33), salt: 33 }).unwrap();
        assert!(found.iter().any(|place| place.starts_with("rw-p")), "{found:?}");
        if shares_memory() {
            assert!(found.iter().any(|place| place.starts_with("r--s /memfd:poolmap")), "{found:?}");
            let found = found_beside(Pool::builder().start_method(method), 34);
            assert!(found.iter().any(|place| place.contains("/memfd:poolmap")), "{found:?}");
        }
        assert_eq!(pool.apply(search { salt: 35 }).unwrap(), [""; 0], "another secret");
    }
}

#[poolmap::test]
fn a_task_finds_no_descriptor_and_no_memory_of_its_parent() {
    let _guard = common::guard();
    let secret = secret(36);
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, &secret).unwrap();
    // A program that leaves its descriptors to those that it starts.
    nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    for method in [StartMethod::Spawn, StartMethod::ForkServer] {
        let pool = sandboxed(method).workers(1).build().unwrap();
        assert_eq!(pool.apply(search { salt: 36 }).unwrap(), [""; 0]);
        // It finds the file where it has it.
        let pool =
            sandboxed(method).workers(1).initializer(open_twice { parent: std::process::id(), file: file.as_raw_fd() });
        let found = pool.build().unwrap().apply(search { salt: 36 }).unwrap();
        assert!(found.iter().any(|place| place.starts_with("descriptor")), "{found:?}");
    }
    std::hint::black_box(secret);
}

thread_local! {
    static OPENED: std::cell::RefCell<Option<std::fs::File>> = const { std::cell::RefCell::new(None) };
}

/// Opens a file of the parent, which an initializer may.
#[worker]
fn open_twice(parent: u32, file: i32) {
    let file = std::fs::File::open(format!("/proc/{parent}/fd/{file}")).unwrap();
    OPENED.set(Some(file));
}
