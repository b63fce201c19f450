//! Memory that a worker has made, and that comes to its parent as an output: by its descriptor, so that nothing is copied.
//!
//! 1. A worker seals the memory of a `SharedSlice` against all writers, itself included, when it has filled it. Only such memory is
//!    sent, and only whole: the kernel has pages for all of its bytes.
//! 2. The worker sends the descriptor while the output is encoded, before the result is published, and writes the memory's identity
//!    (device and node) into the output. Where the descriptor cannot be sent, or too many are under way, it writes the numbers.
//! 3. The parent keeps the descriptors of a worker in a table, no more than [`HELD_MAX`], and closes what comes beyond. A batch of
//!    results holds the table; it is open while outputs of the batch are decoded. An identity is found once.
//! 4. The parent believes nothing: before it maps the memory, it asks the kernel whether the memory is sealed against all writers and
//!    for ever, how many bytes it has, and whether all of them are there. So a `&[T]` of it never changes, and reading it neither ends
//!    this process by a signal nor makes it take pages. A worker that names what it has not sent gets a decode error, as it does with
//!    memory of another worker.
//! 5. Descriptors that no result names are closed with the table: it is replaced whenever the worker has no task without a result.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::segment::{Anchor, Memory};
use crate::locks::{Lock, Rank, Ranked};
use crate::sys::{self, FileIdentity, ForkMark, Pages, Words};

/// A worker writes the numbers where so many descriptors of it are under way or in its parent.
pub(crate) const IN_FLIGHT_MAX: u32 = 16;
/// The parent closes what a worker sends beyond this. It is more than an honest worker sends, which may not have seen the last of the
/// parent's count.
const HELD_MAX: u32 = 2 * IN_FLIGHT_MAX;
/// Those of all workers, and those that stay open, are to take no more of the numbers that this process may have: a fourth. Beyond that
/// the workers write the numbers.
const SHARE_OF_DESCRIPTORS: usize = 4;
/// So many descriptors of decoded outputs stay open, so that their slices can be passed on without a copy.
const KEPT_MAX: usize = 256;

/// Counts the descriptors of one worker that are open here, where the worker sees it.
pub(crate) struct HeldOutputs {
    words: Arc<Words>,
    place: usize,
    count: AtomicU32,
    /// How many the worker had sent when it was last counted.
    seen: AtomicU32,
    /// A fork of this process must not write the word.
    made_by: ForkMark,
}

impl HeldOutputs {
    /// None so far. The count is published in the word at `place`.
    pub(crate) fn new(words: Arc<Words>, place: usize) -> Arc<Self> {
        let (count, seen) = (AtomicU32::new(0), AtomicU32::new(0));
        let held = Self { words, place, count, seen, made_by: ForkMark::here() };
        held.publish();
        Arc::new(held)
    }

    /// Notes how many descriptors the worker says that it has sent.
    pub(crate) fn has_seen(&self, sent: u32) {
        self.seen.store(sent, Ordering::Relaxed);
        self.publish();
    }

    fn publish(&self) {
        if !self.made_by.is_here() {
            return;
        }
        // Two threads may publish in the wrong order. Then the worker sees one too many until the next descriptor.
        let (seen, count) = (self.seen.load(Ordering::Relaxed), self.count.load(Ordering::Relaxed));
        let in_all = HELD_IN_ALL.load(Ordering::Relaxed) + KEPT.load(Ordering::Relaxed);
        let count = count_to_publish(count, in_all, sys::descriptors_max);
        self.words.word(self.place).store(u64::from(seen) << 32 | u64::from(count), Ordering::Release);
    }
}

/// All that are open here and that no output has claimed.
static HELD_IN_ALL: AtomicUsize = AtomicUsize::new(0);

/// How many descriptors of a worker are said to be here, of which so many are: where this process has many in all, of as many as it may
/// have, as many as keep the worker from sending more.
fn count_to_publish(own: u32, in_all: usize, descriptors_max: impl FnOnce() -> usize) -> u32 {
    // Few are no matter, and the system need not be asked.
    let are_many = in_all >= IN_FLIGHT_MAX as usize && in_all >= descriptors_max() / SHARE_OF_DESCRIPTORS;
    if are_many { own.max(IN_FLIGHT_MAX) } else { own }
}

/// How many descriptors are under way or in the parent, by the word that [`HeldOutputs`] publishes.
pub(crate) fn in_flight(sent: u32, word: u64) -> u32 {
    sent.wrapping_sub((word >> 32) as u32).saturating_add(word as u32)
}

/// A descriptor that a worker has sent, which may be anything.
struct OutputDescriptor {
    descriptor: OwnedFd,
    identity: FileIdentity,
    _held: HeldOutput,
}

/// One that is counted.
struct HeldOutput(Arc<HeldOutputs>);

impl HeldOutput {
    /// One more; none where there are many.
    fn new(held: &Arc<HeldOutputs>) -> Option<Self> {
        let more = |count| (count < HELD_MAX).then_some(count + 1);
        held.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        HELD_IN_ALL.fetch_add(1, Ordering::Relaxed);
        Some(Self(Arc::clone(held)))
    }
}

impl Drop for HeldOutput {
    fn drop(&mut self) {
        HELD_IN_ALL.fetch_sub(1, Ordering::Relaxed);
        self.0.count.fetch_sub(1, Ordering::Relaxed);
        self.0.publish();
    }
}

#[derive(Default)]
struct OutputDescriptors(Vec<OutputDescriptor>);

impl Ranked for OutputDescriptors {
    const RANK: Rank = Rank::Outputs;
}

/// The descriptors of a worker that no output has claimed yet.
#[derive(Default)]
pub(crate) struct OutputTable(Lock<OutputDescriptors>);

impl OutputTable {
    /// Adds what the worker has sent, or closes it.
    pub(crate) fn add(&self, descriptor: OwnedFd, held: &Arc<HeldOutputs>) {
        if let (Ok(identity), Some(held)) = (sys::identity(&descriptor), HeldOutput::new(held)) {
            self.0.lock().0.push(OutputDescriptor { descriptor, identity, _held: held });
        }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().0.is_empty()
    }

    fn take(&self, identity: [u64; 2]) -> Option<OutputDescriptor> {
        let mut descriptors = self.0.lock();
        let place = descriptors.0.iter().position(|one| one.identity.words() == identity)?;
        Some(descriptors.0.swap_remove(place))
    }
}

thread_local! {
    static OPEN: RefCell<Option<Arc<OutputTable>>> = const { RefCell::new(None) };
}

/// Until what it returns is dropped, outputs that this thread decodes find their memory in this table.
pub(crate) fn open_outputs(table: Arc<OutputTable>) -> impl Drop {
    OpenTable { before: OPEN.replace(Some(table)) }
}

struct OpenTable {
    before: Option<Arc<OutputTable>>,
}

impl Drop for OpenTable {
    fn drop(&mut self) {
        drop(OPEN.replace(self.before.take()));
    }
}

/// Takes the memory of this identity, which the worker of the output that is being decoded has sent.
pub(super) fn take_output(identity: [u64; 2]) -> Result<Arc<Memory>, String> {
    let table = OPEN.with_borrow(Clone::clone);
    let sent = table.and_then(|table| table.take(identity)).ok_or_else(|| {
        "the memory of a shared slice has not come: it is no output of the worker, or this process has no descriptor left (ulimit -n)"
            .to_owned()
    })?;
    let (pages, descriptor) = map(sent).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => "the memory of a shared slice can still be changed".to_owned(),
        _ => format!("the memory of a shared slice could not be mapped: {error}"),
    })?;
    Ok(Arc::new(Memory::of_output(
        pages,
        KeptDescriptor::new().map(|kept| (descriptor, Arc::new(kept) as Arc<Anchor>)),
    )))
}

/// Rule 4.
fn map(sent: OutputDescriptor) -> io::Result<(Pages, OwnedFd)> {
    let OutputDescriptor { descriptor, .. } = sent;
    let bytes = sys::memory_bytes(&descriptor)?;
    let pages = Pages::sealed(&descriptor, bytes)?;
    // Sealed memory loses no pages, so they are counted behind that.
    if sys::filled_bytes(&descriptor)? < bytes || !sys::is_filled(&descriptor, bytes)? {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it has holes"));
    }
    Ok((pages, descriptor))
}

static KEPT: AtomicUsize = AtomicUsize::new(0);

/// Says that the descriptor of a decoded output stays open.
#[derive(Debug)]
struct KeptDescriptor(());

impl KeptDescriptor {
    /// One more; none where there are many.
    fn new() -> Option<Self> {
        let more = |kept| (kept < KEPT_MAX).then_some(kept + 1);
        // One that is made and dropped would count down.
        KEPT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self(()))
    }
}

impl Drop for KeptDescriptor {
    fn drop(&mut self) {
        KEPT.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[cfg(poolmap_linux)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::sys::seals_in_test::{
        F_SEAL_FUTURE_WRITE, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE, memory, memory_with_pages_behind,
    };

    const PLACE: usize = 64;

    fn held() -> Arc<HeldOutputs> {
        let words = Words::new(sys::raced_memory(4096).unwrap(), 4096).unwrap();
        HeldOutputs::new(Arc::new(words), PLACE)
    }

    fn count(held: &HeldOutputs) -> u64 {
        held.words.word(PLACE).load(Ordering::Relaxed)
    }

    /// What an honest worker sends.
    fn whole(numbers: &[u64]) -> OwnedFd {
        let (mut pages, memory) = Pages::shared(size_of_val(numbers)).unwrap();
        pages.numbers_mut(0, numbers.len()).unwrap().copy_from_slice(numbers);
        pages.into_sealed(&memory).unwrap();
        memory
    }

    /// Sends a descriptor, and names it.
    fn sent(table: &Arc<OutputTable>, held: &Arc<HeldOutputs>, descriptor: OwnedFd) -> Result<Arc<Memory>, String> {
        let identity = sys::identity(&descriptor).unwrap().words();
        table.add(descriptor, held);
        let _open = open_outputs(Arc::clone(table));
        take_output(identity)
    }

    #[test]
    fn sealed_memory_is_found_once_while_outputs_are_decoded() {
        let (table, held) = (Arc::<OutputTable>::default(), held());
        let memory = whole(&[1, 2, 3]);
        let identity = sys::identity(&memory).unwrap().words();
        table.add(memory, &held);
        held.has_seen(1);
        assert_eq!(count(&held), 1 << 32 | 1);
        assert!(take_output(identity).is_err());
        {
            let _open = open_outputs(Arc::clone(&table));
            assert!(take_output([identity[0], identity[1] + 1]).is_err());
            {
                let _other = open_outputs(Arc::default());
                assert!(take_output(identity).is_err());
            }
            let taken = take_output(identity).unwrap();
            assert_eq!(taken.pages().numbers::<u64>(0, 3), Some(&[1, 2, 3][..]));
            assert!(taken.segment().is_some());
            assert!(take_output(identity).is_err());
        }
        assert!(table.is_empty());
        assert_eq!(count(&held), 1 << 32);
    }

    #[test]
    fn what_could_change_or_has_holes_or_is_no_memory_is_refused() {
        let (table, held) = (Arc::<OutputTable>::default(), held());
        let size = F_SEAL_SHRINK | F_SEAL_GROW;
        for seals in [size, F_SEAL_WRITE, size | F_SEAL_FUTURE_WRITE, size | F_SEAL_SEAL] {
            let refused = sent(&table, &held, memory(8 * 4096, seals)).err().unwrap();
            assert!(refused.contains("can still be changed"), "{seals:x}: {refused}");
        }
        let holes = sent(&table, &held, memory(8 * 4096, size | F_SEAL_WRITE)).err().unwrap();
        assert!(holes.contains("has holes"), "{holes}");
        // Pages behind the end, which are counted, and none of its own.
        let behind = memory_with_pages_behind(8 * 4096, size | F_SEAL_WRITE);
        let holes = sent(&table, &held, behind).err().unwrap();
        assert!(holes.contains("has holes"), "{holes}");
        let (socket, _other) = sys::pair().unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        for other in [socket.into(), null.into(), crate::sys::unnamed_file().unwrap().into()] {
            assert!(sent(&table, &held, other).is_err());
        }
        // Nor can the kernel be asked for pages of no bytes.
        let empty = memory(0, size | F_SEAL_WRITE);
        assert!(sent(&table, &held, empty).is_err());
        assert_eq!(count(&held) as u32, 0);
    }

    #[test]
    fn a_process_with_few_numbers_left_has_its_workers_send_none() {
        assert_eq!([0, 5, 20].map(|own| count_to_publish(own, 255, || 1024)), [0, 5, 20]);
        assert_eq!([0, 5, 20].map(|own| count_to_publish(own, 256, || 1024)), [IN_FLIGHT_MAX, IN_FLIGHT_MAX, 20]);
        assert_eq!(count_to_publish(3, 15, || 8), 3);
        assert_eq!(in_flight(7, u64::from(7u32) << 32 | u64::from(IN_FLIGHT_MAX)), IN_FLIGHT_MAX);
    }

    #[test]
    fn what_comes_beyond_the_limit_is_closed_at_once() {
        let (table, held) = (Arc::<OutputTable>::default(), held());
        let one = whole(&[1]);
        let (watched, end) = sys::pair().unwrap();
        for _ in 0..HELD_MAX {
            table.add(one.try_clone().unwrap(), &held);
        }
        table.add(end.into(), &held);
        let mut byte = [0];
        assert_eq!(sys::receive(&watched, &mut byte, sys::Wait::No).unwrap(), 0);
        held.has_seen(40);
        assert_eq!(in_flight(45, count(&held)), 5 + HELD_MAX);
        drop(table);
        assert_eq!(in_flight(45, count(&held)), 5);
    }

    #[test]
    fn a_mapping_that_can_be_written_keeps_memory_from_being_an_output() {
        let (table, held) = (Arc::<OutputTable>::default(), held());
        let (mut pages, memory) = Pages::shared(4096).unwrap();
        let (mut other, _) = sys::Lease::new(&sys::FromParent::in_test(memory.try_clone().unwrap()), 0, 4096)
            .unwrap()
            .take(0, 4096)
            .unwrap();
        pages.numbers_mut::<u8>(0, 4096).unwrap().fill(1);
        let pages = pages.into_sealed(&memory).unwrap();
        assert_eq!(pages.numbers::<u8>(0, 1), Some(&[1][..]));
        other.numbers_mut::<u8>(0, 1).unwrap()[0] = 2;
        let refused = sent(&table, &held, memory.as_fd().try_clone_to_owned().unwrap()).err().unwrap();
        assert!(refused.contains("can still be changed"), "{refused}");
    }
}
