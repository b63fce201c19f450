//! What the kernel keeps tasks from: sealing, cutting and mapping memory that others use. And files that change under a slice.

#![cfg(target_os = "linux")]

mod common;

use std::iter::{repeat, repeat_n};
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Duration;

use poolmap::{Counter, Event, Mutex, Pool, SharedSlice, SharedSliceMut, pool_map, shared, worker};

/// The memory that a process has a descriptor of.
fn memory_descriptors() -> Vec<String> {
    common::descriptors().into_iter().filter(|name| name.contains("memfd:")).collect()
}

#[worker]
fn list_descriptors(mut part: SharedSliceMut<u64>, read: SharedSlice<u64>, table: &[u64]) -> Vec<String> {
    part[0] = read[0] + table[0];
    memory_descriptors()
}

#[worker]
fn list_descriptors_again(_task: usize) -> Vec<String> {
    memory_descriptors()
}

#[poolmap::test]
fn a_task_has_no_descriptor_of_the_memory_that_it_reads_and_writes() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    let pool = common::ready_pool(2);
    let mut array = SharedSliceMut::zeroed(60_000).unwrap();
    let read: SharedSlice<u64> = (1..100_000).collect();
    let table: Vec<u64> = (1..1000).collect();
    for chunk_size in [1, 4] {
        let lists = pool_map!(in &pool, list_descriptors, array.chunks_mut(1000), repeat(&read), shared(&table);
            chunk_size = chunk_size);
        assert_eq!(lists.unwrap(), vec![Vec::<String>::new(); 60]);
    }
    let lists = pool_map!(in &pool, list_descriptors_again, 0..10).unwrap();
    assert_eq!(lists, vec![Vec::<String>::new(); 10]);
    assert!(array.iter().step_by(1000).all(|&number| number == 2));
}

/// Seals all memory that it finds a descriptor of against writing, and tells what it could.
fn seal_all() -> Vec<String> {
    let mut sealed = Vec::new();
    for name in memory_descriptors() {
        let number: i32 = name.split(" -> ").next().unwrap().parse().unwrap();
        let path = format!("/proc/self/fd/{number}");
        let again = std::fs::OpenOptions::new().read(true).write(true).open(&path);
        let Ok(again) = again else { continue };
        let seals = nix::fcntl::SealFlag::F_SEAL_WRITE | nix::fcntl::SealFlag::F_SEAL_SHRINK;
        if nix::fcntl::fcntl(&again, nix::fcntl::FcntlArg::F_ADD_SEALS(seals)).is_ok() || again.set_len(1).is_ok() {
            sealed.push(name);
        }
    }
    sealed
}

#[worker]
fn seal_and_fill(mut part: SharedSliceMut<u64>, number: u64) -> Vec<String> {
    let sealed = if number == 0 { seal_all() } else { Vec::new() };
    part.fill(number + 1);
    sealed
}

#[worker]
fn seal_and_count(mutex: &Mutex<u64>, counter: &Counter, seals: bool) -> poolmap::Result<Vec<String>> {
    let sealed = if seals { seal_all() } else { Vec::new() };
    *mutex.lock()? += 1;
    counter.add(1);
    Ok(sealed)
}

#[poolmap::test]
fn a_task_cannot_seal_or_cut_what_others_use() {
    let _guard = common::guard();
    let counter = Counter::new(0).unwrap();
    let mutex = Mutex::new(0).unwrap();
    for seals in [true, false] {
        // A new worker maps the memory anew.
        let pool = common::ready_pool(2);
        let mutexes = repeat_n(&mutex, 6);
        let sealed = pool_map!(in &pool, seal_and_count, mutexes, repeat(&counter), repeat(seals); shortest).unwrap();
        assert_eq!(sealed, vec![Vec::<String>::new(); 6]);
        if common::has_shared_memory() {
            let mut array = SharedSliceMut::zeroed(60_000).unwrap();
            for _ in 0..2 {
                let filled =
                    pool_map!(in &pool, seal_and_fill, array.chunks_mut(10_000), 0..6; chunk_size = 1).unwrap();
                assert_eq!(filled, vec![Vec::<String>::new(); 6]);
            }
            assert!(
                (0..6).all(|part| array[part * 10_000..][..10_000].iter().all(|&number| number == part as u64 + 1))
            );
        }
    }
    // They have opened and closed the mutex's memory: no lock has passed to another by that.
    assert_eq!(*mutex.lock().unwrap(), 12);
    assert_eq!(counter.get(), 12);
}

/// Closes all descriptors of memory that this process has.
#[allow(unsafe_code, reason = "what a task does by mistake is done on purpose")]
fn close_all() {
    for name in memory_descriptors() {
        let number: i32 = name.split(" -> ").next().unwrap().parse().unwrap();
        // SAFETY: the number is that of an open descriptor. Its owner has nothing to write to it any more, and fails when it
        // closes it again.
        drop(unsafe { OwnedFd::from_raw_fd(number) });
    }
}

#[worker]
fn lock_without_descriptors(mutex: &Mutex<u64>, held: &Event, tried: &Event, dies: bool) -> poolmap::Result<()> {
    let mut guard = mutex.lock()?;
    // What is waited for is waited for before its descriptor is gone.
    close_all();
    held.set();
    if dies {
        std::process::abort();
    }
    tried.wait();
    *guard += 1;
    guard.commit()
}

/// Whether the mutex was free while another had it, and whether that one had died when it was free.
#[worker]
fn lock_second(mutex: &Mutex<u64>, held: &Event, tried: &Event, closes: bool) -> poolmap::Result<(bool, bool)> {
    held.wait();
    if closes {
        close_all();
    }
    let was_free = mutex.lock_timeout(Duration::from_millis(200))?.is_some();
    tried.set();
    let mut guard = mutex.lock()?;
    *guard += 10;
    Ok((was_free, guard.is_owner_died()))
}

#[poolmap::test]
fn a_lock_is_its_owners_whatever_descriptors_it_closes() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    for (dies, closes) in [(false, false), (false, true), (true, false), (true, true)] {
        let (mutex, held, tried) = (Mutex::new(0).unwrap(), Event::new().unwrap(), Event::new().unwrap());
        let pool = Pool::builder().workers(2).build().unwrap();
        let (mutex_of_first, held_of_first, tried_of_first) = (mutex.clone(), held.clone(), tried.clone());
        let first = pool
            .submit(lock_without_descriptors {
                mutex: mutex_of_first,
                held: held_of_first,
                tried: tried_of_first,
                dies,
            })
            .unwrap();
        let second = pool.submit(lock_second { mutex: mutex.clone(), held, tried, closes }).unwrap();
        let (was_free, owner_died) = second.join().unwrap();
        assert_eq!(first.join().is_err(), dies);
        // A dead owner's is free as soon as its death is seen.
        assert_eq!((was_free && !dies, owner_died || was_free), (false, dies), "closes: {closes}");
        assert_eq!(*mutex.lock().unwrap(), if dies { 10 } else { 11 });
    }
}

#[worker]
fn fill(mut part: SharedSliceMut<u64>, with: u64) {
    part.fill(with);
}

/// How many mappings of memory a process has that it may write, or could make writable.
#[worker]
fn writable_mappings(numbers: SharedSlice<u64>) -> (u64, usize) {
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut of_ours = false;
    let mut writable = 0;
    for line in maps.lines() {
        if line.contains("-") && line.split(' ').nth(1).is_some_and(|rights| rights.len() == 4) {
            of_ours = line.contains("memfd:poolmap") && line.split(' ').nth(1).unwrap().ends_with('s');
        } else if of_ours && line.starts_with("VmFlags:") {
            writable += usize::from(line.contains(" mw"));
        }
    }
    (numbers.iter().sum(), writable)
}

#[worker]
fn writable_without(_task: usize) -> (u64, usize) {
    writable_mappings(SharedSlice::from(Vec::new()))
}

#[poolmap::test]
fn what_was_made_shared_can_be_written_by_nobody() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    let pool = common::ready_pool(2);
    let mut before: Option<usize> = None;
    for round in 0..5 {
        let mut array = SharedSliceMut::zeroed(60_000).unwrap();
        pool_map!(in &pool, fill, array.chunks_mut(10_000), repeat(round + 1)).unwrap();
        let numbers = array.into_shared();
        let found = pool_map!(in &pool, writable_mappings, numbers.chunks(10_000)).unwrap();
        assert_eq!(found.iter().map(|(sum, _)| sum).sum::<u64>(), (round + 1) * 60_000);
        drop(numbers);
        // What a worker may write is its ring, in two mappings and a page of words.
        let own = pool_map!(in &pool, writable_without, 0..10).unwrap();
        let most = *before.get_or_insert(own[0].1);
        assert!(own.iter().chain(&found).all(|(_, writable)| *writable <= most), "{found:?} {own:?} {most}");
    }
}

#[worker]
fn sum_in_a_pool(numbers: SharedSlice<u64>, size: usize) -> poolmap::Result<u64> {
    let pool = Pool::builder().workers(2).build()?;
    let sums = pool_map!(in &pool, sum_part, numbers.chunks(size))?;
    Ok(sums.iter().sum())
}

#[worker]
fn sum_part(numbers: SharedSlice<u64>) -> u64 {
    numbers.iter().sum()
}

#[poolmap::test]
fn a_worker_passes_on_slices_of_any_size() {
    let _guard = common::guard();
    let numbers: SharedSlice<u64> = (0..100_000).collect();
    let expected = numbers.iter().sum::<u64>();
    let sums = pool_map!(sum_in_a_pool, repeat_n(&numbers, 3), [1000, 50_000, 100_000]; shortest).unwrap();
    assert_eq!(sums, [expected; 3]);
}

#[poolmap::test]
fn a_file_that_changes_changes_no_slice() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("numbers");
    let bytes: Vec<u8> = (0..3_000_000u32).map(|at| (at >> 5) as u8).collect();
    std::fs::write(&path, &bytes).unwrap();
    let numbers = SharedSlice::<u8>::from_file(&path).unwrap();
    std::fs::write(&path, [0; 10]).unwrap();
    assert!(numbers[..] == bytes);
}

#[poolmap::test]
#[allow(unsafe_code, reason = "the caller answers for the file")]
fn a_file_that_is_mapped_is_read_by_workers() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("numbers");
    let numbers: Vec<u64> = (0..100_000).collect();
    std::fs::write(&path, numbers.iter().flat_map(|number| number.to_ne_bytes()).collect::<Vec<u8>>()).unwrap();
    // SAFETY: the file is this test's, which does not change it.
    let file = unsafe { SharedSlice::<u64>::map_file(&path) }.unwrap();
    std::fs::remove_file(&path).unwrap();
    let sums = pool_map!(sum_part, file.chunks(1000)).unwrap();
    assert_eq!(sums.iter().sum::<u64>(), numbers.iter().sum::<u64>());
    assert_eq!(pool_map!(sum_in_a_pool, [&file], [100_000]).unwrap(), [numbers.iter().sum::<u64>()]);
}
