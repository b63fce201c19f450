//! The worker's end: what it writes packets to, and which task they are of.
//!
//! 1. The descriptor comes before the first chunk of a call that somebody listens to, and stays. Each run of tasks says by its word which
//!    call it is of, and the level that is wanted; 0 is none, and then nothing is made.
//! 2. A packet is written with the lock of the link, so what several threads of a task make is whole and in an order. Its values are
//!    encoded before: their `Debug` is the program's, and may log. A write waits for the parent alone, whose end ends the wait.
//! 3. Which task runs is looked up when something is written, so a task that writes nothing costs nothing. A task that has written something
//!    says when it ends, before its result is there.
//! 4. A fork of a worker writes nothing.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing::Metadata;
use tracing::callsite::Identifier;

use super::call_sites::level_number;
use super::record::{PacketWriter, Site, TICKET_SHIFT};
use crate::sys::{self, FileIdentity, Watch};

static LINK: OnceLock<Mutex<LogLink>> = OnceLock::new();
/// Returns the index of the task that runs.
static TASK_INDEX: OnceLock<fn() -> Option<u64>> = OnceLock::new();
/// The word of the tasks that run.
static WORD: AtomicU64 = AtomicU64::new(0);
/// The level that is wanted: 0 is none, and 5 all.
static WANTED: AtomicU8 = AtomicU8::new(0);
/// The index, and 1, of the task that has said last that it ended; 0 if none of this run has.
static ENDED: AtomicU64 = AtomicU64::new(0);
/// Something of a task is written, and not its end.
static IS_TASK_OPEN: AtomicBool = AtomicBool::new(false);

/// The place that packets are written to.
pub(super) struct LogLink {
    socket: OwnedFd,
    /// A task may close the descriptor, and open something else in its place.
    identity: Option<FileIdentity>,
    /// The numbers of the call sites that are described.
    sites: HashMap<Identifier, u32>,
    records: BTreeMap<Site, u32>,
    /// What the parent takes the next part to be of.
    of: Option<Of>,
    is_broken: bool,
}

/// The task that something is of, or none.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Task { ticket: u64, index: u64 },
    NoTask,
}

/// Takes the descriptor that packets are written to. `task_index` returns the index of the task that runs, if one does.
pub(crate) fn connect(socket: OwnedFd, task_index: fn() -> Option<u64>) {
    let identity = sys::identity(&socket).ok();
    let (sites, records) = (HashMap::new(), BTreeMap::new());
    // It is sent once.
    let _ = TASK_INDEX.set(task_index);
    let _ = LINK.set(Mutex::new(LogLink { socket, identity, sites, records, of: None, is_broken: false }));
}

/// The word of the tasks that run.
#[inline]
pub(super) fn word() -> u64 {
    WORD.load(Ordering::Relaxed)
}

/// Sets it, for tasks of which none has ended.
pub(super) fn set_word(word: u64) {
    ENDED.store(0, Ordering::Relaxed);
    WORD.store(word, Ordering::Relaxed);
}

/// Sets the level that is wanted; returns whether it was another.
pub(super) fn set_wanted(level: u8) -> bool {
    WANTED.swap(level, Ordering::Relaxed) != level
}

/// Whether what the running tasks make is written.
#[inline]
pub(crate) fn is_forwarding() -> bool {
    word() != 0
}

/// The running task has ended. Its result comes behind.
#[inline]
pub(crate) fn end_task() {
    if IS_TASK_OPEN.load(Ordering::Relaxed) {
        write_task_end();
    }
}

#[cold]
fn write_task_end() {
    with_link(|link| {
        IS_TASK_OPEN.store(false, Ordering::Relaxed);
        if let Some(Of::Task { index, .. }) = link.of.take() {
            ENDED.store(index.wrapping_add(1), Ordering::Relaxed);
            let mut packet = PacketWriter::default();
            packet.task_end();
            link.write(&packet);
        }
    });
}

/// Whether something of this level is wanted.
#[inline]
pub(super) fn is_wanted(level: u8) -> bool {
    level <= WANTED.load(Ordering::Relaxed)
}

/// The level that is wanted.
pub(super) fn wanted() -> u8 {
    WANTED.load(Ordering::Relaxed)
}

/// Writes what is built, as one packet.
pub(super) fn write(build: impl FnOnce(&mut LogLink, &mut PacketWriter)) {
    with_link(|link| {
        let mut packet = PacketWriter::default();
        link.begin(&mut packet);
        build(link, &mut packet);
        link.write(&packet);
    });
}

fn with_link(then: impl FnOnce(&mut LogLink)) {
    // Rule 4. Another thread may have held the lock when the process was forked.
    if sys::is_fork() {
        return;
    }
    if let Some(link) = LINK.get() {
        let mut link = link.lock().unwrap_or_else(PoisonError::into_inner);
        if !link.is_broken {
            then(&mut link);
        }
    }
}

/// The task that runs now, if one does.
fn running() -> Of {
    let word = word();
    let index = TASK_INDEX.get().and_then(|index| index());
    match index {
        Some(index) if word != 0 && ENDED.load(Ordering::Relaxed) != index.wrapping_add(1) => {
            Of::Task { ticket: word >> TICKET_SHIFT, index }
        }
        _ => Of::NoTask,
    }
}

impl LogLink {
    /// Says which task the packet is of, if that is another than before.
    fn begin(&mut self, packet: &mut PacketWriter) {
        let of = running();
        if self.of == Some(of) {
            return;
        }
        self.of = Some(of);
        match of {
            Of::Task { ticket, index } => packet.task(ticket, index),
            Of::NoTask => packet.no_task(),
        }
        IS_TASK_OPEN.store(matches!(of, Of::Task { .. }), Ordering::Relaxed);
    }

    /// The number of a call site of tracing's. The packet describes it where that was not done before.
    pub(super) fn site(&mut self, metadata: &'static Metadata<'static>, packet: &mut PacketWriter) -> u32 {
        let next = self.next_site();
        *self.sites.entry(metadata.callsite()).or_insert_with(|| {
            packet.site(&Site {
                is_span: metadata.is_span(),
                level: level_number(metadata.level()),
                line: metadata.line(),
                name: metadata.name().to_owned(),
                target: metadata.target().to_owned(),
                file: metadata.file().map(str::to_owned),
                module: metadata.module_path().map(str::to_owned),
                fields: metadata.fields().iter().map(|field| field.name().to_owned()).collect(),
            });
            next
        })
    }

    /// The same of records of the crate log.
    pub(super) fn record_site(&mut self, site: Site, packet: &mut PacketWriter) -> u32 {
        let next = self.next_site();
        *self.records.entry(site).or_insert_with_key(|site| {
            packet.site(site);
            next
        })
    }

    fn next_site(&self) -> u32 {
        (self.sites.len() + self.records.len()) as u32
    }

    /// Writes a packet, and waits for room (rule 2).
    fn write(&mut self, packet: &PacketWriter) {
        let Self { socket, identity, is_broken, .. } = self;
        loop {
            if sys::identity(&*socket).ok() != *identity {
                *is_broken = true;
                return;
            }
            match sys::send_packet(socket.as_fd(), &packet.0, None) {
                Ok(()) => return,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    let watch = Watch { write: true, ..Watch::hang_up(socket.as_fd()) };
                    *is_broken = sys::poll(&mut [watch], None).is_err();
                    if *is_broken {
                        return;
                    }
                }
                Err(_) => {
                    // The parent listens no more.
                    *is_broken = true;
                    return;
                }
            }
        }
    }
}
