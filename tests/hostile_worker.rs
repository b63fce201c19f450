//! A worker that runs its attacker's code: it writes anything, at any moment, into the memory that it shares with its parent and
//! into its channel. The parent goes on, its other pools give right results, and its memory stays within a bound.
//!
//! `POOLMAP_HOSTILE_SECONDS` says how long it goes on (4 by default); `POOLMAP_TRANSPORT=socket` attacks the socket alone.

mod common;

#[cfg(target_os = "linux")]
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::numbers::Random;
use nix::libc;
#[cfg(target_os = "linux")]
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use poolmap::{Output, Pool, SharedSlice, TaskErrorKind, pool_map, pool_try_map, worker};
use serde::{Deserialize, Serialize, Serializer};

/// The largest argument or result of the attacked pools.
const FRAME_BYTES_MAX: usize = 16 << 20;
/// The parent may take so much more than before: twice the largest result for each of 2 workers, budgets and freed pages.
const GROWTH_BYTES_MAX: u64 = 256 << 20;

/// The memory that this process shares and can write: where it begins, and how many bytes it has.
fn shared_memory() -> Vec<(usize, usize)> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let ours = maps.lines().filter(|line| line.contains("memfd:poolmap") && line.contains("rw-s"));
    ours.map(|line| {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [start, end] = [start, end].map(|address| usize::from_str_radix(address, 16).unwrap());
        (start, end - start)
    })
    .collect()
}

#[allow(unsafe_code, reason = "the attack is what the test is about")]
fn word(address: usize) -> &'static AtomicU64 {
    // SAFETY: the address lies in memory that stays mapped while a task runs; all that touches it is atomic.
    unsafe { AtomicU64::from_ptr(std::ptr::with_exposed_provenance_mut(address)) }
}

/// Writes words anywhere: mostly into the first pages, where the protocol's own stand.
fn spoil_memory(random: &mut Random) {
    let memory = shared_memory();
    for _ in 0..random.below(2000) {
        let Some(&(start, bytes)) = memory.get(random.below(memory.len().max(1) as u64) as usize) else {
            return;
        };
        let bytes = if random.below(4) > 0 { bytes.min(600) } else { bytes };
        let place = start + random.below(bytes as u64 / 8) as usize * 8;
        match random.below(3) {
            0 => word(place).store(random.word(), Ordering::SeqCst),
            1 => drop(word(place).fetch_add(random.word(), Ordering::SeqCst)),
            _ => drop(word(place).fetch_xor(1 << random.below(64), Ordering::SeqCst)),
        }
    }
}

#[allow(unsafe_code, reason = "the attack is what the test is about")]
fn send(bytes: &[u8]) {
    for descriptor in 3..8 {
        // SAFETY: the pointer and the length are those of bytes that live through the call.
        unsafe { libc::send(descriptor, bytes.as_ptr().cast(), bytes.len(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) };
    }
}

/// A frame that passes the first checks, with anything in it.
fn frame(random: &mut Random) -> Vec<u8> {
    let length = [0, 8, 20, 24, 100, 5000][random.below(6) as usize] as u32;
    let claimed = if random.below(4) == 0 { random.word() as u32 } else { length };
    let check = (claimed ^ 0x9e37_79b9).rotate_left(16).to_le_bytes();
    let mut frame = [claimed.to_le_bytes(), check].concat();
    frame.push(17 + random.below(8) as u8);
    frame.extend((0..length.div_ceil(8)).flat_map(|_| random.word().to_le_bytes()).take(length as usize));
    frame.extend(check);
    frame
}

/// Makes memory that is whole, has holes, or can be changed, or something that is no memory.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "the attack is what the test is about")]
fn descriptor(random: &mut Random) -> OwnedFd {
    if random.below(8) == 0 {
        return std::fs::File::open(["/dev/null", "/proc/self/maps"][random.below(2) as usize]).unwrap().into();
    }
    // SAFETY: the name is a text that ends with a zero, and nothing else has the new descriptor.
    let memory = unsafe { OwnedFd::from_raw_fd(libc::memfd_create(c"claim".as_ptr(), libc::MFD_ALLOW_SEALING)) };
    let mut file = std::fs::File::from(memory);
    let bytes = [0, 1, 4096, 100_000][random.below(4) as usize];
    std::io::Write::write_all(&mut file, &vec![7; bytes]).unwrap();
    match random.below(4) {
        // A length that the parent must not believe.
        0 => file.set_len(1 << random.below(46)).unwrap(),
        1 => file.set_len(bytes as u64 / 2).unwrap(),
        _ => {}
    }
    let seals = [libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW, random.below(32) as i32];
    // SAFETY: the call takes integers and touches no memory.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals[random.below(2) as usize]) };
    file.into()
}

/// There is no memory that is sent by its descriptor.
#[cfg(not(target_os = "linux"))]
fn send_descriptors(_random: &mut Random) -> [u64; 2] {
    [0; 2]
}

/// Sends descriptors, some at a time; returns the device and the node of the last.
#[cfg(target_os = "linux")]
fn send_descriptors(random: &mut Random) -> [u64; 2] {
    let mut identity = [0; 2];
    for _ in 0..random.below(12) {
        let descriptor = descriptor(random);
        let status = nix::sys::stat::fstat(&descriptor).unwrap();
        identity = [status.st_dev as u64, status.st_ino as u64];
        let many = vec![descriptor.as_raw_fd(); [1, 1, 2, 100][random.below(4) as usize]];
        for socket in 3..8 {
            let bytes = [0; 3];
            let slices = [std::io::IoSlice::new(&bytes[..1 + random.below(3) as usize])];
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            let _ = sendmsg::<()>(socket, &slices, &[ControlMessage::ScmRights(&many)], flags, None);
        }
        // It may still change what it has sent.
        let mut file = std::fs::File::from(descriptor);
        let _ = std::io::Write::write_all(&mut file, &[random.next() as u8; 10]);
        let _ = file.set_len(random.below(5000));
    }
    identity
}

thread_local! {
    /// The memory that was sent last.
    static SENT: std::cell::Cell<[u64; 2]> = const { std::cell::Cell::new([0; 2]) };
}

/// A result whose bytes claim what is not there.
#[derive(Deserialize)]
enum Claim {
    Nothing,
    Lists(Vec<Vec<u64>>, Vec<()>, Option<Box<Claim>>),
    Memory(SharedSlice<u8>),
}

impl Claim {
    /// How many elements it has, whatever they are.
    fn size(&self) -> usize {
        match self {
            Self::Nothing => 0,
            // All of it can be read.
            Self::Memory(bytes) => bytes.iter().filter(|&&byte| byte == 7).count(),
            Self::Lists(words, units, rest) => words.len() + units.len() + rest.as_ref().map_or(0, |rest| rest.size()),
        }
    }
}

impl Serialize for Claim {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [device, node] = SENT.get();
        let mut random = Random(u64::from(std::process::id()) ^ node << 32);
        if node > 0 {
            let place = match random.below(3) {
                0 => [0, random.below(100_000)],
                1 => [random.word(), random.word()],
                _ => [0, 0],
            };
            let claim = (3_u8, [device, node], place);
            return serializer.serialize_newtype_variant("Claim", 2, "Memory", &claim);
        }
        let words: Vec<u64> = (0..2 + random.below(30)).map(|_| random.word()).collect();
        serializer.serialize_newtype_variant("Claim", 1, "Lists", &words)
    }
}

/// Attacks for a moment, and then gives nonsense.
#[worker]
fn attack(seed: u64) -> Vec<Claim> {
    let mut random = Random(seed);
    let end = Instant::now() + Duration::from_millis(random.below(30));
    loop {
        SENT.set([0; 2]);
        match random.below(5) {
            4 => SENT.set(send_descriptors(&mut random)),
            0 => spoil_memory(&mut random),
            1 => send(&frame(&mut random)),
            2 => send(&(0..random.below(300)).map(|_| random.next() as u8).collect::<Vec<_>>()),
            _ => (0..random.below(200)).for_each(|_| send(&frame(&mut random))),
        }
        if Instant::now() >= end {
            return (0..random.below(4)).map(|_| Claim::Nothing).collect();
        }
    }
}

#[worker]
fn square(x: u64) -> u64 {
    x * x
}

/// The most memory that this process has had, in bytes.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
}

#[poolmap::test]
fn the_parent_of_a_hostile_worker_goes_on_within_its_memory() {
    let guard = common::guard();
    let seconds = common::asked("POOLMAP_HOSTILE_SECONDS", 4);
    guard.allow(Duration::from_secs(seconds));
    let honest = common::ready_pool(1);
    let squares: Vec<u64> = (0..1000).map(|x| x * x).collect();
    assert_eq!(pool_map!(in &honest, square, 0..1000).unwrap(), squares);
    let descriptors = common::descriptors().len();
    let (before, start) = (peak_bytes(), Instant::now());
    let (mut seed, mut given, mut failed, mut mapped) = (0, 0, 0, 0);
    while start.elapsed() < Duration::from_secs(seconds) {
        // What the attacked runtime panics with is nobody's to read.
        let builder = Pool::builder().workers(2).frame_bytes_max(FRAME_BYTES_MAX);
        let attacked = builder.output(Output::Captured).build().unwrap();
        seed += 10;
        match pool_try_map!(in &attacked, attack, seed - 10..seed; timeout = Duration::from_secs(1)) {
            Ok(outcomes) => {
                assert_eq!(outcomes.len(), 10);
                for claim in outcomes.iter().flatten().flatten() {
                    mapped += usize::from(matches!(claim, Claim::Memory(_)));
                }
                let ok = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
                let elements: usize = outcomes.iter().flatten().flatten().map(Claim::size).sum();
                assert!(elements < FRAME_BYTES_MAX * 10, "{elements}");
                (given, failed) = (given + ok, failed + 10 - ok);
            }
            // Workers that spoil their channel again and again before they give a result fail the call.
            Err(error) => {
                assert!(error.is_start_failure(), "{error}");
                failed += 10;
            }
        }
        assert_eq!(pool_map!(in &honest, square, 0..1000).unwrap(), squares);
        // Whatever was sent, few descriptors of it are ever here, and none is left.
        drop(attacked);
        let now = common::descriptors().len();
        assert!(now <= descriptors, "{now} descriptors are open, and {descriptors} were");
    }
    let grown = peak_bytes().saturating_sub(before);
    println!(
        "{given} attacks gave a result ({mapped} in memory), {failed} failed; the parent grew by {} MiB",
        grown >> 20
    );
    assert!(failed > 0, "no attack did anything");
    assert!(grown < GROWTH_BYTES_MAX, "the parent grew by {grown} bytes");
}

/// Sends descriptors, and gives memory that is one of them, or none, behind some that is honest: the parent looks for what was sent.
#[worker]
fn claim_memory(seed: u64) -> (SharedSlice<u64>, Claim) {
    let mut random = Random(seed);
    SENT.set(send_descriptors(&mut random));
    ((0..10_000).collect(), Claim::Nothing)
}

#[poolmap::test]
fn memory_that_a_hostile_worker_sends_is_whole_and_constant_or_refused() {
    let _guard = common::guard();
    if !common::shares_memory() {
        return;
    }
    let before = common::descriptors().len();
    let pool = common::ready_pool(2);
    let mut outputs = Vec::new();
    let mut refused = 0;
    for round in 0..20 {
        for outcome in pool_try_map!(in &pool, claim_memory, round * 50..round * 50 + 50).unwrap() {
            match outcome {
                Ok((honest, claim)) => {
                    assert!(honest.iter().copied().eq(0..10_000));
                    outputs.push(claim);
                }
                Err(error) => {
                    assert!(matches!(error.kind(), TaskErrorKind::Decode(_)), "{error:#}");
                    refused += 1;
                }
            }
        }
        // Those of the channels, and of memory that is held here.
        let most = before + 2 * 40 + outputs.len();
        assert!(common::descriptors().len() < most, "{} descriptors are open", common::descriptors().len());
    }
    let in_memory = outputs.iter().filter(|claim| matches!(claim, Claim::Memory(_))).count();
    assert!(in_memory > 20 && refused > 20, "{in_memory} were in memory, {refused} refused");
    // What was sent was changed behind that, or was to be.
    assert!(outputs.iter().all(|claim| !matches!(claim, Claim::Memory(bytes) if bytes.iter().any(|&byte| byte != 7))));
    assert_eq!(pool.stats().workers_started(), 2);
}

/// Writes a word wherever a worker counts how long its tasks wait and take.
#[worker]
fn claim_times(value: u64) -> u64 {
    for (start, bytes) in shared_memory() {
        (20 << 10..(24 << 10).min(bytes))
            .step_by(8)
            .for_each(|place| word(start + place).store(value, Ordering::SeqCst));
    }
    value
}

#[poolmap::test]
fn the_times_that_a_hostile_worker_claims_bend_nothing_but_their_distribution() {
    let _guard = common::guard();
    let start = Instant::now();
    let pool = common::ready_pool(1);
    let mut tasks = 0;
    for value in [u64::MAX, 1 << 63, 0, i64::MAX as u64, 12_345, 1 << 40] {
        assert_eq!(pool.apply(claim_times { value }).unwrap(), value);
        pool_map!(in &pool, square, 0..1000).unwrap();
        tasks += 1001;
        let stats = pool.stats();
        assert_eq!(stats.tasks_done() + stats.tasks_failed(), tasks);
        for times in [stats.running(), stats.waiting()] {
            assert_eq!(times.count(), tasks);
            assert!(times.sum() <= start.elapsed() * tasks as u32, "{times:?}");
            let longest = times.buckets().filter(|(_, count)| *count > 0).last().unwrap().0;
            assert!(longest <= 2 * start.elapsed(), "{times:?}");
        }
    }
}
