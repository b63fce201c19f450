//! Values in shared memory that are not numbers alone: texts and bytes that every task reads, and structs of numbers.

mod common;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bytemuck::{Pod, Zeroable};
use poolmap::{
    Pool, SharedSlice, SharedSliceMut, TaskErrorKind, pool_for_each, pool_iter, pool_map, pool_reduce, pool_try_map,
    shared, worker,
};
use serde::{Deserialize, Serialize};

/// Whether a value is in memory that poolmap has made, and not in a copy, and its mapping has these permissions.
fn is_mapped<T: ?Sized>(value: &T, permissions: &str) -> bool {
    let address = std::ptr::from_ref(value).cast::<u8>() as usize;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().any(|line| {
        let (range, rest) = line.split_once(' ').unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let range = usize::from_str_radix(start, 16).unwrap()..usize::from_str_radix(end, 16).unwrap();
        range.contains(&address) && rest.starts_with(permissions) && rest.contains("memfd:")
    })
}

/// Whether the worker reads a value in the memory that the parent has made.
fn is_shared<T: ?Sized>(value: &T) -> bool {
    is_mapped(value, "r--s")
}

#[worker]
fn find(number: usize, text: &str) -> (usize, usize, bool, u32) {
    (text.len(), text.find(&format!("<{number}>")).unwrap_or(usize::MAX), is_shared(text), std::process::id())
}

#[worker]
fn add(number: u64, bytes: &[u8]) -> (u64, bool) {
    (number + bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>(), is_shared(bytes))
}

#[worker]
fn scale(number: f64, numbers: &[f64]) -> (f64, bool) {
    (number * numbers.iter().sum::<f64>(), is_shared(numbers) && numbers.as_ptr().is_aligned())
}

#[worker]
fn lent(_task: u64, text: Cow<'_, str>, path: &Path) -> (String, PathBuf, bool, bool) {
    (text[..4].to_owned(), path.to_owned(), is_shared(&*text), is_shared(path))
}

#[worker]
fn owned(_task: u64, text: String, bytes: Vec<u8>) -> (usize, usize, bool) {
    (text.len(), bytes.len(), is_shared(&*text) || is_shared(&*bytes))
}

#[worker]
fn die_once(task: u64, text: &str) -> usize {
    if task == 3 && poolmap::current_worker().unwrap().attempt() == 1 {
        std::process::abort();
    }
    text.len()
}

/// Borrows what is decoded, and named beside it.
#[worker]
fn join(task: usize, words: &[String], text: &str) -> String {
    format!("{}{text}", words[task])
}

#[poolmap::test]
fn every_task_reads_a_shared_text_and_shared_bytes_where_they_stand() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    let in_place = common::has_shared_memory();
    let text: String = (0..100_000).map(|number| format!("<{number}>")).collect();
    let found = pool_map!(in &pool, find, 0..100, shared(&text); chunk_size = 1).unwrap();
    for (number, &(length, place, is_shared, _)) in found.iter().enumerate() {
        assert_eq!((length, Some(place), is_shared), (text.len(), text.find(&format!("<{number}>")), in_place));
    }
    let bytes: Vec<u8> = (0..1_000_000).map(|number| number as u8).collect();
    let sum: u64 = bytes.iter().map(|&byte| u64::from(byte)).sum();
    for (number, &result) in pool_map!(in &pool, add, 0..50, shared(&bytes)).unwrap().iter().enumerate() {
        assert_eq!(result, (number as u64 + sum, in_place));
    }
    let slice: &[u8] = &bytes[1..4];
    assert_eq!(pool_map!(in &pool, add, [0], shared(slice)).unwrap(), [(6, in_place)]);
    assert_eq!(pool_map!(in &pool, find, [0], shared("<0>")).unwrap()[0].1, 0);
    assert_eq!(
        pool_map!(in &pool, scale, [2.0, 3.0], shared(&vec![0.5; 9])).unwrap(),
        [(9.0, in_place), (13.5, in_place)]
    );
}

#[poolmap::test]
fn a_shared_text_is_lent_as_a_cow_and_a_path_and_owned_ones_are_copies() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    let in_place = common::has_shared_memory();
    let (text, path) = ("text and more".to_owned(), PathBuf::from("a/b"));
    let all = pool_map!(in &pool, lent, 0..3, shared(&text), shared(&path)).unwrap();
    assert!(all.iter().all(|one| *one == ("text".to_owned(), path.clone(), in_place, in_place)), "{all:?}");
    let all = pool_map!(in &pool, owned, 0..3, shared(&text), shared(&[1_u8, 2])).unwrap();
    assert_eq!(all, [(text.len(), 2, false); 3]);
    let words = ["a", "b", "c"].map(str::to_owned);
    assert_eq!(pool_map!(in &pool, join, 0..3, shared(&words), shared("!")).unwrap(), ["a!", "b!", "c!"]);
}

#[poolmap::test]
fn empty_texts_and_bytes_are_shared_too() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    assert_eq!(pool_map!(in &pool, find, 0..2, shared("")).unwrap()[1].0, 0);
    assert_eq!(pool_map!(in &pool, add, 0..2, shared::<[u8]>(&[])).unwrap()[1].0, 1);
    assert_eq!(pool_map!(in &pool, scale, [1.0], shared::<[f64]>(&[])).unwrap()[0].0, 0.0);
}

#[poolmap::test]
fn a_worker_that_replaces_a_dead_one_reads_the_shared_text_too() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    let text = "x".repeat(100_000);
    assert_eq!(
        pool_map!(in &pool, die_once, 0..8, shared(&text); attempts = 2, chunk_size = 1).unwrap(),
        [text.len(); 8]
    );
    let outcomes = pool_try_map!(in &pool, die_once, 0..8, shared(&text)).unwrap();
    let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    assert_eq!(failed, 1);
    assert!(matches!(outcomes[3].as_ref().unwrap_err().kind(), TaskErrorKind::Crashed { .. }));
}

#[poolmap::test]
fn all_workers_read_the_one_memory_and_let_go_of_it_with_the_next_call() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    let pool = Pool::builder().workers(2).build().unwrap();
    let texts = ["<0>".repeat(50_000), "<0>".repeat(60_000)];
    let mut workers = BTreeSet::new();
    for text in texts.iter().cycle().take(20) {
        for (length, place, is_shared, worker) in
            pool_map!(in &pool, find, [0; 20], shared(text); chunk_size = 1).unwrap()
        {
            assert_eq!((length, place, is_shared), (text.len(), 0, true));
            workers.insert(worker);
        }
    }
    assert!(workers.len() <= 2);
    let mapped = pool_map!(in &pool, mappings, 0..20; chunk_size = 1).unwrap();
    // The arena, the ring and what belongs to them, and no value of the calls before.
    assert!(mapped.iter().all(|&bytes| bytes < 150_000), "{mapped:?}");
}

/// The bytes of the largest mapping that is as large as a text of the calls before: the arena is larger.
#[worker]
fn mappings(_task: u64) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let bytes = maps.lines().filter(|line| line.contains("memfd:")).map(|line| {
        let (start, end) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        usize::from_str_radix(end, 16).unwrap() - usize::from_str_radix(start, 16).unwrap()
    });
    bytes.filter(|&bytes| (150_000..200_000).contains(&bytes)).max().unwrap_or(0)
}

/// Neither `PartialEq`, nor `Debug`, nor serde.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Particle {
    place: [f64; 3],
    mass: f32,
    kind: u16,
    flags: [u8; 2],
}

fn particles(count: usize) -> impl Iterator<Item = Particle> {
    (0..count).map(|n| Particle { place: [n as f64, 0.5, -1.0], mass: n as f32, kind: n as u16, flags: [1, 2] })
}

fn mass_of(particles: &[Particle]) -> f64 {
    particles.iter().filter(|one| one.flags == [1, 2]).map(|one| f64::from(one.mass) + one.place[1]).sum()
}

#[worker]
fn mass(particles: &SharedSlice<Particle>) -> (f64, bool) {
    (mass_of(particles), is_shared(&**particles))
}

#[derive(Serialize, Deserialize)]
struct Frame {
    name: String,
    particles: Vec<SharedSlice<Particle>>,
}

#[worker]
fn frame_mass(frame: Frame) -> (String, f64) {
    (frame.name, frame.particles.iter().map(|part| mass_of(part)).sum())
}

#[worker]
fn step(mut particles: SharedSliceMut<Particle>, by: f64) {
    for particle in particles.iter_mut() {
        particle.place[0] += by;
    }
}

#[worker]
fn nested_mass(particles: SharedSlice<Particle>) -> f64 {
    let pool = Pool::builder().workers(1).build().unwrap();
    pool_map!(in &pool, mass, particles.chunks(10)).unwrap().iter().map(|one| one.0).sum()
}

/// A struct that must be aligned to more than any number.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u64; 8]);

#[worker]
fn lines(lines: SharedSlice<Line>) -> (u64, bool) {
    (lines.iter().map(|line| line.0[7]).sum(), lines.as_ptr().addr().is_multiple_of(64))
}

#[poolmap::test]
fn structs_of_numbers_are_read_where_they_stand() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    let all: SharedSlice<Particle> = particles(10_000).collect();
    let expected = mass_of(&all);
    let masses = pool_map!(in &pool, mass, all.chunks(1_000)).unwrap();
    assert_eq!(masses.iter().map(|one| one.0).sum::<f64>(), expected);
    assert!(masses.iter().all(|one| one.1 == common::has_shared_memory()));
    let frame = Frame { name: "one".to_owned(), particles: vec![all.slice(..1), all.slice(1..7), all.slice(7..)] };
    assert_eq!(pool_map!(in &pool, frame_mass, [&frame]).unwrap(), [("one".to_owned(), expected)]);
}

#[poolmap::test]
fn a_worker_passes_structs_on_by_value_and_by_memory() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    for count in [50, 5_000] {
        let all: SharedSlice<Particle> = particles(count).collect();
        assert_eq!(pool_map!(in &pool, nested_mass, [&all]).unwrap(), [mass_of(&all)]);
    }
}

#[poolmap::test]
fn structs_are_written_in_parts() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    let pool = Pool::builder().workers(2).build().unwrap();
    let mut all: SharedSliceMut<Particle> = particles(1_000).collect();
    pool_map!(in &pool, step, all.chunks_mut(100), (0..10).map(f64::from)).unwrap();
    assert!(all.iter().enumerate().all(|(n, one)| one.place[0] == n as f64 + (n / 100) as f64 && one.mass == n as f32));
    let shared = all.into_shared();
    assert_eq!(pool_map!(in &pool, mass, [&shared]).unwrap()[0].0, mass_of(&shared));
}

#[poolmap::test]
fn structs_of_a_large_alignment_stand_aligned() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    let all: SharedSlice<Line> = (0..100).map(|n| Line([n; 8])).collect();
    for part in [all.clone(), all.slice(3..5), all.slice(7..7), SharedSlice::from(vec![])] {
        let sum = part.iter().map(|line| line.0[0]).sum();
        assert_eq!(pool_map!(in &pool, lines, [&part]).unwrap(), [(sum, true)]);
    }
}

#[poolmap::test]
fn a_file_of_structs_is_read_whole_or_not_at_all() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("particles");
    let all: Vec<Particle> = particles(9).collect();
    std::fs::write(&path, bytemuck::cast_slice(&all)).unwrap();
    let read = SharedSlice::<Particle>::from_file(&path).unwrap();
    assert_eq!(mass_of(&read), mass_of(&all));
    std::fs::write(&path, [0; size_of::<Particle>() + 1]).unwrap();
    let error = SharedSlice::<Particle>::from_file(&path).err().unwrap();
    assert!(error.to_string().contains("not a multiple of 32"), "{error}");
}

/// Large enough to go by its memory.
const LARGE: usize = 10_000;

fn counted(first: u64, length: usize) -> SharedSlice<u64> {
    (first..first + length as u64).collect()
}

#[worker]
fn count_from(first: u64, length: usize) -> SharedSlice<u64> {
    counted(first, length)
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Halves {
    name: String,
    halves: Vec<SharedSlice<u64>>,
    rest: Option<SharedSlice<f32>>,
}

#[worker]
fn count_halves(first: u64, length: usize) -> Halves {
    let all = counted(first, length);
    let rest = first.is_multiple_of(2).then(|| (0..length).map(|n| n as f32).collect());
    Halves { name: first.to_string(), halves: vec![all.slice(..length / 2), all.slice(length / 2..)], rest }
}

#[worker]
fn make_particles(count: usize) -> SharedSlice<Particle> {
    particles(count).collect()
}

/// The first argument as it came, and a part of it.
#[worker]
fn give_back(numbers: SharedSlice<u64>) -> (SharedSlice<u64>, SharedSlice<u64>) {
    (numbers.clone(), numbers.slice(1..9_000))
}

#[worker]
fn sum(numbers: &SharedSlice<u64>) -> (u64, bool) {
    (numbers.iter().sum(), is_shared(&**numbers))
}

/// What this worker's own worker has made.
#[worker]
fn made_by_another(first: u64) -> SharedSlice<u64> {
    let pool = Pool::builder().workers(1).build().unwrap();
    pool.apply(count_from { first, length: LARGE }).unwrap()
}

#[worker]
fn merge(one: SharedSlice<u64>, other: SharedSlice<u64>) -> SharedSlice<u64> {
    one.iter().zip(other.iter()).map(|(one, other)| one + other).collect()
}

#[worker]
fn give_and_fail(first: u64) -> Result<(SharedSlice<u64>, Refused), String> {
    if first % 3 == 1 { Err("no".to_owned()) } else { Ok((counted(first, LARGE), Refused(first % 3 == 2))) }
}

/// A value that does not encode, after others that do.
#[derive(Debug, PartialEq, Deserialize)]
struct Refused(bool);

impl Serialize for Refused {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 { Err(serde::ser::Error::custom("it is refused")) } else { serializer.serialize_bool(false) }
    }
}

/// Whether an output is read in the memory that the worker has written, which is mapped here to be read alone.
fn is_read_in_place<T: ?Sized>(value: &T) -> bool {
    is_mapped(value, "r--")
}

#[poolmap::test]
fn an_output_is_read_where_the_worker_has_written_it() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    let output = pool.apply(count_from { first: 7, length: LARGE }).unwrap();
    assert_eq!(output, counted(7, LARGE));
    assert_eq!(is_read_in_place(&*output), common::shares_memory());
    for length in [0, 1, 10, 8_192, 8_193, LARGE, 1 << 20] {
        assert_eq!(pool.apply(count_from { first: 1, length }).unwrap(), counted(1, length));
    }
    drop(pool);
    // It outlives its worker and the pool.
    assert_eq!(output[LARGE - 1], 7 + LARGE as u64 - 1);
}

#[poolmap::test]
fn outputs_of_many_tasks_come_in_order_and_leave_nothing() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    for (first, output) in pool_map!(in &pool, count_from, 0..300, std::iter::repeat(LARGE)).unwrap().iter().enumerate()
    {
        assert!(output.iter().copied().eq(first as u64..(first + LARGE) as u64));
    }
    let mut outputs = pool_iter!(in &pool, count_from, 0..1000, std::iter::repeat(LARGE); window = 8).unwrap();
    for first in 0..100 {
        assert_eq!(outputs.next().unwrap().unwrap()[0], first);
    }
    drop(outputs);
    let outcomes = pool_map!(in &pool, count_halves, 0..50, std::iter::repeat(LARGE)).unwrap();
    assert!(outcomes.into_iter().eq((0..50).map(|first| count_halves(first, LARGE))));
    for (first, output) in pool_map!(in &pool, make_particles, [10, 100_000]).unwrap().iter().zip([10, 100_000]) {
        assert_eq!(mass_of(first), mass_of(&particles(output).collect::<Vec<_>>()));
    }
}

#[poolmap::test]
fn an_output_is_the_argument_of_the_next_call_without_a_copy() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    let outputs = pool_map!(in &pool, count_from, 0..20, std::iter::repeat(LARGE)).unwrap();
    let sums = pool_map!(in &pool, sum, &outputs).unwrap();
    let in_place = common::has_shared_memory();
    assert!(sums.iter().zip(&outputs).all(|(sum, output)| *sum == (output.iter().sum::<u64>(), in_place)), "{sums:?}");
    for numbers in [counted(3, LARGE), outputs[1].slice(5..LARGE)] {
        let (all, part) = pool.apply(give_back { numbers: numbers.clone() }).unwrap();
        assert!(all == numbers && part[..] == numbers[1..9_000]);
    }
}

#[poolmap::test]
fn a_worker_passes_on_what_its_own_worker_has_made() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    let output = pool.apply(made_by_another { first: 5 }).unwrap();
    assert_eq!(output, counted(5, LARGE));
    assert_eq!(is_read_in_place(&*output), common::shares_memory());
}

#[poolmap::test]
fn outputs_are_folded_and_dropped() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    let zeros: SharedSlice<u64> = (0..LARGE).map(|_| 0).collect();
    let folded =
        pool_reduce!(in &pool, count_from, 0..40, std::iter::repeat(LARGE); with = merge, identity = zeros).unwrap();
    assert!(folded.iter().copied().eq((0..LARGE as u64).map(|n| 40 * n + 780)));
    pool_for_each!(in &pool, count_from, 0..40, std::iter::repeat(LARGE)).unwrap();
}

#[poolmap::test]
fn outputs_that_do_not_encode_fail_alone_and_keep_no_descriptor() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    for round in 0..4 {
        let outcomes = pool_try_map!(in &pool, give_and_fail, 0..60).unwrap();
        for (first, outcome) in (0..).zip(outcomes) {
            match outcome {
                Ok((output, _)) => assert!(first % 3 == 0 && output == counted(first, LARGE)),
                Err(error) => match error.kind() {
                    TaskErrorKind::Failed(_) => assert_eq!(first % 3, 1),
                    TaskErrorKind::Encode(_) => assert_eq!(first % 3, 2),
                    other => panic!("{round}, {first}: {other:?}"),
                },
            }
        }
    }
    // Nothing that was sent for them is in the way of what comes, once this process has let go of it: until then the worker writes numbers.
    let is_in_place = || is_read_in_place(&*pool.apply(count_from { first: 1, length: LARGE }).unwrap());
    if common::shares_memory() {
        common::wait_until("an output is read in place", is_in_place);
    } else {
        assert!(!is_in_place());
    }
}

#[worker]
fn give_and_die(first: u64) -> SharedSlice<u64> {
    if first == 13 {
        std::process::abort();
    }
    counted(first, LARGE)
}

#[poolmap::test]
fn outputs_that_were_finished_outlive_their_worker() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    let outcomes = pool_try_map!(in &pool, give_and_die, 0..20; chunk_size = 20).unwrap();
    for (first, outcome) in (0..).zip(outcomes) {
        match outcome {
            Ok(output) => assert_eq!(output, counted(first, LARGE)),
            Err(error) => assert!(first == 13 && matches!(error.kind(), TaskErrorKind::Crashed { .. }), "{error}"),
        }
    }
}
