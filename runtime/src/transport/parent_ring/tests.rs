//! Both ends of the shared memory in one process: what goes through comes out whole, in order and once. `tests/hostile.rs` has
//! a worker that writes what it must not.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::*;
use crate::codec::{self, DirectOutput, Encoder, Sink, direct_output};
use crate::functions::{Flush, TaskCall};
use crate::shared::{self, Segment, SegmentHead};
use crate::sys::FromParent;
use crate::transport::private_arguments::PrivateArguments;
use crate::transport::sent_segments::SentMemory;
use crate::transport::{Arena, ChannelError, ChunkHead, Claimed, ClaimedTasks, LOOK_AFTER, WorkerRing};
use crate::wire::{OversizedResult, Status};

mod direct;
mod hostile;
mod recall;

/// Larger than any result here.
const BYTES_MAX: usize = 16 << 20;
/// Who waits for longer has missed a wake-up.
const DEADLINE: Duration = Duration::from_secs(60);

/// Both ends of a new worker's memory.
fn ends() -> (Arc<Arena>, ParentRing, WorkerRing) {
    let arena = Arc::new(Arena::shared().unwrap());
    let (parent_ring, memory) = ParentRing::new(&Arc::default(), BYTES_MAX).unwrap();
    let (arena_memory, bytes) = arena.memory().unwrap();
    let arena_memory = FromParent::in_test(arena_memory.try_clone().unwrap());
    let end = WorkerRing::new(&arena_memory, bytes, FromParent::in_test(memory), None).unwrap();
    (arena, parent_ring, end)
}

/// The same of a worker that has memory of its own for its arguments.
fn private_ends() -> (Arc<Arena>, ParentRing, WorkerRing, Option<PrivateArguments>) {
    let arena = Arc::new(Arena::for_copies().unwrap());
    let (parent_ring, memory) = ParentRing::new(&Arc::default(), BYTES_MAX).unwrap();
    let (private, arguments) = PrivateArguments::new().unwrap();
    let (words, bytes) = arena.memory().unwrap();
    let [words, own, arguments] = [words.try_clone().unwrap(), memory, arguments].map(FromParent::in_test);
    let end = WorkerRing::new(&words, bytes, own, Some(&arguments)).unwrap();
    (arena, parent_ring, end, Some(private))
}

/// A chunk of tasks with these arguments, in memory of its own or in the arena.
fn chunk(arena: &Arc<Arena>, arguments: &[u64], own: bool) -> Chunk {
    let mut tasks = Vec::new();
    for argument in arguments {
        tasks.extend(8u32.to_le_bytes());
        tasks.extend(argument.to_le_bytes());
    }
    let block = if own {
        arena.own_block(tasks.clone()).unwrap()
    } else {
        let mut room = arena.first_room().unwrap();
        room[..tasks.len()].copy_from_slice(&tasks);
        room.into_block(tasks.len())
    };
    let head = ChunkHead { function: 0, attempt: 1, first_index: 0 };
    Chunk::new(head, arguments.len() as u32, block, tasks.len()).direct(direct_output::<Vec<u8>>())
}

/// The arguments of a chunk's tasks.
fn arguments(chunk: &Chunk) -> Vec<u64> {
    let task = |bytes: &[u8]| u64::from_le_bytes(bytes[4..12].try_into().unwrap());
    chunk.tasks().chunks_exact(12).map(task).collect()
}

/// How many bytes the result of a task has: most are small, some need parts.
fn result_bytes(argument: u64) -> usize {
    let mixed = (argument + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let share = (mixed >> 32) as usize;
    match mixed % 20_000 {
        0..4 => share % (10 << 20),
        4..20 => share % (2 << 20),
        20..200 => share % (64 << 10),
        _ => share % 64,
    }
}

/// Runs a task: its output are bytes that tell of its argument.
fn run_task(argument: u64, sink: &mut Sink<'_>) {
    let output = vec![argument as u8; result_bytes(argument)];
    sink.write(&(output.len() as u64).to_le_bytes());
    sink.write(&output);
}

/// Runs claimed tasks as a worker does, by a function from their one argument to the bytes of their result.
fn run_claimed(
    end: &mut WorkerRing,
    claimed: &Claimed,
    run: impl FnMut(u64, &mut Sink<'_>),
) -> Result<Option<Box<OversizedResult>>, ChannelError> {
    end.run(claimed, |ClaimedTasks { tasks, room, progress }| {
        let tasks_bytes = tasks.rest().len();
        let mut spill = Vec::new();
        let results = Encoder::new(Sink::new(room, &mut spill), BYTES_MAX);
        let mut call = TaskCall::new(tasks, claimed.count, results, progress, Flush::Later);
        call.run_each(run);
        call.into_run(tasks_bytes)
    })
}

fn check_output(argument: u64, output: &[u8]) {
    assert_eq!(output.len(), result_bytes(argument));
    assert!(output.iter().all(|&byte| byte == argument as u8), "other bytes in the result of {argument}");
}

/// An output that has come into its own memory.
fn finished(output: Box<dyn DirectOutput>) -> Vec<u8> {
    *output.finish().unwrap().downcast().unwrap()
}

/// Numbers that look random, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % end
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Lets the other side come between, sometimes.
    fn delay(&mut self) {
        match self.below(400) {
            0 => std::thread::sleep(Duration::from_micros(self.below(100))),
            1..20 => std::thread::yield_now(),
            20..60 => (0..self.below(300)).for_each(|_| std::hint::spin_loop()),
            _ => {}
        }
    }
}

/// What goes over the socket.
enum Message {
    Bell,
    Segment(Arc<Segment>),
    Forget(u64),
}

/// A worker, as `worker::ring_server` is one.
struct Worker {
    end: WorkerRing,
    inbox: Receiver<Message>,
    bell: Sender<()>,
    random: Random,
}

impl Worker {
    fn serve(mut self) {
        let started = Instant::now();
        loop {
            let most = 1 << self.random.below(8);
            while let Some(claimed) = self.end.next(most) {
                if self.run(&claimed).is_err() {
                    return;
                }
                self.random.delay();
                if self.random.one_in(4) {
                    self.end.set_busy_nanos(started.elapsed().as_nanos() as u64);
                }
                if self.end.should_notify() || (self.random.one_in(4) && self.end.is_to_tell_at(sys::monotonic_nanos()))
                {
                    let _ = self.bell.send(());
                }
            }
            if self.end.must_wake_parent() {
                let _ = self.bell.send(());
            }
            self.end.park();
            let goes_on = self.end.has_tasks() || receive(&self.inbox, &mut self.end);
            self.end.unpark();
            if !goes_on {
                return;
            }
        }
    }

    fn run(&mut self, claimed: &Claimed) -> Result<(), ChannelError> {
        while !self.end.has_memory(claimed) {
            if !receive(&self.inbox, &mut self.end) {
                return Err(ChannelError::Closed);
            }
        }
        let outgrown = run_claimed(&mut self.end, claimed, run_task)?;
        let Some(outgrown) = outgrown else {
            return Ok(());
        };
        let Self { end, inbox, bell, random } = self;
        end.send_oversized(&outgrown, |end, bytes| {
            end.park();
            if end.must_wake_parent() {
                let _ = bell.send(());
            }
            random.delay();
            let received = end.has_room(bytes) || receive(inbox, end);
            end.unpark();
            if received { Ok(()) } else { Err(ChannelError::Closed) }
        })
    }
}

/// Waits for a message and takes it in; false at the end.
fn receive(inbox: &Receiver<Message>, end: &mut WorkerRing) -> bool {
    match inbox.recv_timeout(DEADLINE) {
        Ok(Message::Bell) => {}
        Ok(Message::Segment(segment)) => {
            let head =
                SegmentHead { id: segment.id, bytes: segment.bytes as u64, kind: segment.kind, runs: Vec::new() };
            let memory = FromParent::in_test(segment.memory.try_clone().unwrap());
            shared::add(&head, memory, end.segment_received()).unwrap();
        }
        Ok(Message::Forget(id)) => {
            shared::remove(id);
            end.segment_received();
        }
        Err(RecvTimeoutError::Disconnected) => return false,
        Err(RecvTimeoutError::Timeout) => panic!("the worker's wake-up is lost"),
    }
    true
}

/// The parent of one worker, as `ParentChannel` and the queue are one.
struct Parent {
    arena: Arc<Arena>,
    parent_ring: ParentRing,
    to_worker: Sender<Message>,
    bell: Receiver<()>,
    random: Random,
    /// Tasks that the worker is to be given, those that it has, and how many of the first chunk have a result.
    new: VecDeque<u64>,
    waiting: VecDeque<Chunk>,
    held: VecDeque<Chunk>,
    answered: usize,
    /// The worker begins nothing more until it has no task.
    revoked: bool,
    /// The same, and what it had not begun was recalled.
    is_recalled: bool,
    done: BTreeSet<u64>,
    memory: SentMemory,
    private: Option<PrivateArguments>,
}

impl Parent {
    fn drive(&mut self, tasks: usize) {
        while self.done.len() < tasks {
            match self.random.below(16) {
                0..6 => self.assign(),
                6 | 7 => self.take_back(),
                8 if self.random.one_in(50) => self.revoke(),
                8 => self.recall(),
                9..14 => {
                    self.take();
                }
                14 => self.sleep(),
                _ => self.random.delay(),
            }
        }
    }

    fn send(&self, message: Message) {
        self.to_worker.send(message).expect("the worker lives as long as its inbox has a sender");
    }

    fn assign(&mut self) {
        if self.held.len() >= 8 || self.revoked || self.is_recalled {
            return;
        }
        let next = self.waiting.pop_front().or_else(|| {
            let count = (1 + self.random.below(200) as usize).min(self.new.len());
            let arguments: Vec<u64> = self.new.drain(..count).collect();
            (count > 0).then(|| chunk(&self.arena, &arguments, self.random.one_in(20)))
        });
        let Some(next) = next else {
            return;
        };
        let copies = self.private.as_ref().map(|private| private.copies(&next).unwrap());
        for (segment, _) in self.memory.missing(&next, copies.as_deref()) {
            self.send(Message::Segment(segment));
        }
        let claim_batch = if self.random.one_in(3) { self.random.below(8) as u32 } else { 0 };
        let must_wake = self.parent_ring.assign(&next, copies, claim_batch, (self.memory.messages(), 0));
        self.held.push_back(next);
        if must_wake {
            self.send(Message::Bell);
        }
    }

    fn take_back(&mut self) {
        let most = if self.random.one_in(4) { u32::MAX } else { self.random.below(150) as u32 };
        let count = self.parent_ring.take_back(most).unwrap();
        self.lose_last(count);
    }

    /// The worker has no more the last tasks that it had: they wait.
    fn lose_last(&mut self, count: u32) {
        let mut left = count as usize;
        while left > 0 {
            let mut last = self.held.pop_back().expect("what is taken back was given");
            let first = if self.held.is_empty() { self.answered } else { 0 };
            let count = left.min(last.len() - first);
            left -= count;
            self.waiting.push_front(last.split_off(last.len() - count));
            if last.len() > first {
                self.held.push_back(last);
            } else if self.held.is_empty() {
                self.answered = 0;
            }
        }
    }

    fn recall(&mut self) {
        while self.parent_ring.load().unwrap().1 > 0 {
            self.take_back();
        }
        if !self.revoked
            && let Some(count) = self.parent_ring.recall().unwrap()
        {
            self.is_recalled = true;
            self.lose_last(count);
        }
    }

    fn revoke(&mut self) {
        if self.is_recalled {
            return;
        }
        while self.parent_ring.load().unwrap().1 > 0 {
            self.take_back();
        }
        self.parent_ring.revoke();
        self.revoked = !self.held.is_empty();
    }

    /// Takes results in; tells whether there were some.
    fn take(&mut self) -> bool {
        let Some((taken, must_wake)) = self.parent_ring.take().unwrap() else {
            return false;
        };
        for segment in self.memory.unused() {
            self.send(Message::Forget(segment));
        }
        if must_wake {
            self.send(Message::Bell);
        }
        let mut records = taken.records;
        for _ in 0..taken.count {
            let first = self.held.front().expect("results are of tasks that were given");
            let argument = arguments(first)[self.answered];
            let direct = records.take_direct();
            let (status, result) = if direct.is_some() { (Status::Output, &[][..]) } else { records.next().unwrap() };
            if status == Status::NotRun {
                assert!(self.revoked && result.is_empty(), "a task was not run");
                self.new.push_front(argument);
            } else {
                assert_eq!(status, Status::Output);
                check_output(argument, &direct.map_or_else(|| codec::decode(result).unwrap(), finished));
                assert!(self.done.insert(argument), "two results of {argument}");
            }
            self.answered += 1;
            if self.answered == first.len() {
                self.held.pop_front();
                self.answered = 0;
            }
        }
        assert_eq!(records.drop_rest(), 0, "more results than were told of");
        assert!(self.is_recalled || taken.not_run == 0 && !taken.ends_recall, "nothing was recalled");
        self.lose_last(taken.not_run);
        if taken.ends_recall {
            assert!(self.held.is_empty(), "a recall ends with the tasks that were kept");
            self.is_recalled = false;
        }
        self.revoked &= !self.held.is_empty();
        true
    }

    fn sleep(&mut self) {
        let (claimed, open) = self.parent_ring.load().unwrap();
        if claimed + open == 0 {
            return;
        }
        let several = claimed + open > 1;
        if several {
            self.parent_ring.notify_at_half().unwrap();
        }
        self.arena.park();
        if !self.parent_ring.has_results() {
            let timeout = if several { LOOK_AFTER } else { DEADLINE };
            if self.bell.recv_timeout(timeout).is_err() {
                assert!(several, "the parent's wake-up is lost");
            }
        }
        self.arena.unpark();
    }
}

fn drive(tasks: u64, seed: u64) {
    // Half of the workers share no memory with others.
    let (arena, parent_ring, end, private) = if seed.is_multiple_of(2) {
        let (arena, parent_ring, end) = ends();
        (arena, parent_ring, end, None)
    } else {
        private_ends()
    };
    let (to_worker, inbox) = channel();
    let (ring, bell) = channel();
    let worker = Worker { end, inbox, bell: ring, random: Random(seed * 77 + 5) };
    let worker = std::thread::spawn(move || worker.serve());
    let mut parent = Parent {
        arena,
        parent_ring,
        to_worker,
        bell,
        random: Random(seed * 1001 + 3),
        new: (seed * 1_000_000..seed * 1_000_000 + tasks).collect(),
        waiting: VecDeque::new(),
        held: VecDeque::new(),
        answered: 0,
        revoked: false,
        is_recalled: false,
        done: BTreeSet::new(),
        memory: SentMemory::default(),
        private,
    };
    parent.drive(tasks as usize);
    assert!(parent.held.is_empty() && parent.waiting.is_empty());
    drop(parent);
    worker.join().unwrap();
}

#[test]
fn every_result_comes_whole_and_once_whatever_the_two_sides_do_meanwhile() {
    std::thread::scope(|scope| {
        for seed in 1..=4 {
            scope.spawn(move || drive(50_000, seed));
        }
    });
}

#[test]
fn parts_behind_a_finished_result_are_kept_for_the_one_they_are_of() {
    let (arena, parent_ring, mut end) = ends();
    let parent_ring = RefCell::new(parent_ring);
    parent_ring.borrow_mut().assign(&chunk(&arena, &[0, 1], false), None, 2, (0, 0));
    let large: Vec<u8> = (0..10 << 20).map(|at: usize| (at % 251) as u8).collect();
    let results = RefCell::new(Vec::new());
    let take = || {
        let Some((taken, _)) = parent_ring.borrow_mut().take().unwrap() else {
            return;
        };
        let mut records = taken.records;
        results.borrow_mut().extend((0..taken.count).map(|_| records.next().unwrap().1.to_vec()));
        assert_eq!(records.drop_rest(), 0);
    };
    while let Some(claimed) = end.next(2) {
        let run = |argument, sink: &mut Sink<'_>| sink.write(if argument == 0 { b"small" } else { &large });
        let outgrown = run_claimed(&mut end, &claimed, run).unwrap();
        if let Some(outgrown) = outgrown {
            let carried = end.send_oversized(&outgrown, |_, _| {
                take();
                Ok(())
            });
            carried.unwrap();
        }
    }
    take();
    assert!(results.into_inner() == [b"small".to_vec(), large], "a result has lost its parts");
}

#[test]
fn a_worker_claims_no_more_of_a_chunk_than_its_grain_after_tasks_were_taken_back() {
    let (arena, mut parent_ring, mut end) = ends();
    let mut given = vec![chunk(&arena, &[0; 10], false)];
    parent_ring.assign(&given[0], None, 0, (0, 0));
    let claimed = end.next(1).unwrap();
    assert_eq!(claimed.count, 1);
    assert_eq!(parent_ring.take_back(u32::MAX).unwrap(), 9);
    run_claimed(&mut end, &claimed, |_, sink| sink.write(b"done")).unwrap();
    assert!(end.next(1000).is_none());
    given.push(chunk(&arena, &[0; 5], false));
    parent_ring.assign(&given[1], None, 1, (0, 0));
    assert_eq!(end.next(1000).unwrap().count, 1);
    assert_eq!(parent_ring.load().unwrap(), (2, 4), "what is claimed cannot be taken back");
}
