//! The ends of a channel: who can send, and who can receive, in any process.
//!
//! 1. An end is a handle of one process on a role, shared by all senders (or receivers) of that process, and by the calls under
//!    way that have one among their arguments. Each process counts its own in its slot, so a dead one's count for nothing.
//! 2. An end is opened only while another of its role is: by a clone, or by a task, whose call holds one. So once none is found,
//!    there will never be one.
//! 3. A process that opens an end counts it, and then counts the openings. A process that looks for ends looks once more if that count
//!    has changed: if not, an end could be opened and another dropped behind its back.
//! 4. The process that drops the last end shuts the socket down, which wakes the waiters at the other side. A waiter looks for ends too:
//!    a dead process shuts nothing down, so a sender does it for the last receiver that died.

use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use super::handle_serde::{not_here, refused};
use super::segment::{Check, LIVENESS_CHECK_INTERVAL, OPENED, SyncKind, SyncSegment};
use crate::codec;
use crate::error::Result;
use crate::shared::{self, Anchor, Name, Right, Segment, WriteAs};
use crate::sys;

/// The direction of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndRole {
    Send = 0,
    Receive = 1,
}

impl EndRole {
    /// The number of its socket's kind in a grant, where no [`SyncKind`] has it.
    fn kind(self) -> u32 {
        0x100 + self as u32
    }

    /// As users know it.
    fn name(self) -> &'static str {
        match self {
            Self::Send => "a Sender",
            Self::Receive => "a Receiver",
        }
    }
}

/// A channel, as one process has it.
pub(super) struct Endpoints {
    pub(super) segment: Arc<SyncSegment>,
    open: [Mutex<Weak<ChannelEnd>>; 2],
}

/// An end of this process's.
pub(super) struct ChannelEnd {
    role: EndRole,
    pub(super) ends: Arc<Endpoints>,
    pub(super) socket: Arc<OwnedFd>,
    /// The segment by which workers get it, as long as a call holds it.
    segment: Mutex<Weak<Segment>>,
    made: Instant,
    /// When it was looked closely for others last, in milliseconds since it was made.
    looked_millis: AtomicU64,
}

impl Endpoints {
    /// A new channel.
    pub(super) fn new() -> Result<Arc<Self>> {
        SyncSegment::new(SyncKind::Channel, 0, |_| ()).map(Self::of)
    }

    fn of(segment: Arc<SyncSegment>) -> Arc<Self> {
        let new = Arc::new(Self { segment, open: [const { Mutex::new(Weak::new()) }; 2] });
        let noted: Arc<Anchor> = Arc::<Self>::clone(&new);
        new.segment.segment().note_made(Arc::downgrade(&noted));
        new
    }

    /// The end of this process for a role, with a socket for it if it has none.
    pub(super) fn open(self: &Arc<Self>, role: EndRole, socket: Arc<OwnedFd>) -> Arc<ChannelEnd> {
        let mut open = self.open[role as usize].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(end) = open.upgrade() {
            return end;
        }
        // Rule 3.
        self.segment.ends(role as usize).fetch_add(1, Ordering::SeqCst);
        self.segment.word(OPENED).fetch_add(1, Ordering::SeqCst);
        let end = Arc::new(ChannelEnd {
            role,
            ends: Arc::clone(self),
            socket,
            segment: Mutex::default(),
            made: Instant::now(),
            looked_millis: AtomicU64::new(0),
        });
        *open = Arc::downgrade(&end);
        end
    }
}

/// Which ends there are at the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PeerStatus {
    Some,
    /// None, and there will never be one.
    None,
    /// None, and a process died with one.
    NoneByDeath,
}

impl ChannelEnd {
    /// Looks for ends of the other role.
    pub(super) fn find_others(&self, look: Check) -> PeerStatus {
        let other = match self.role {
            EndRole::Send => EndRole::Receive,
            EndRole::Receive => EndRole::Send,
        };
        let found = self.ends.find(other, look);
        if found != PeerStatus::Some && self.role == EndRole::Send {
            // The dead shut nothing down; who sends next is told at once.
            sys::shut_down_packets(self.socket.as_fd(), Shutdown::Write);
        }
        found
    }

    /// How closely to look before the next value: closely once a slice.
    pub(super) fn check_due(&self) -> Check {
        let now = u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX);
        if now.saturating_sub(self.looked_millis.load(Ordering::Relaxed)) < LIVENESS_CHECK_INTERVAL.as_millis() as u64 {
            return Check::Quick;
        }
        self.looked_millis.store(now, Ordering::Relaxed);
        Check::Close
    }

    fn segment(self: &Arc<Self>) -> Arc<Segment> {
        let mut segment = self.segment.lock().unwrap_or_else(PoisonError::into_inner);
        segment.upgrade().unwrap_or_else(|| {
            let new = Segment::open(Arc::clone(&self.socket), Some(Arc::clone(self) as _));
            *segment = Arc::downgrade(&new);
            new
        })
    }

    /// Notes the channel and the end for the worker, and writes their names.
    pub(super) fn serialize<S: Serializer>(self: &Arc<Self>, serializer: S) -> Result<S::Ok, S::Error> {
        let name = self.role.name();
        match shared::form_for::<S>() {
            WriteAs::Name => {
                let segment = self.segment();
                let grant =
                    |segment, kind| shared::grant(segment, Right::Open, kind, (0, 0)).map_err(ser::Error::custom);
                let channel = grant(self.ends.segment.segment(), SyncKind::Channel as u32)?;
                (channel, grant(&segment, self.role.kind())?).serialize(serializer)
            }
            WriteAs::KeptName => Err(ser::Error::custom(format!(
                "{name} in shared(…) would stay open in the workers after the call: pass std::iter::repeat(&it)"
            ))),
            WriteAs::Value | WriteAs::Output | WriteAs::Refused => Err(refused(name)),
        }
    }

    /// Finds the end that names stand for.
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        role: EndRole,
        deserializer: D,
    ) -> Result<Arc<Self>, D::Error> {
        let missing = || not_here(role.name());
        if !codec::is_own_deserializer::<D>() {
            return Err(missing());
        }
        let (channel, end) = <(Name, Name)>::deserialize(deserializer)?;
        let granted = |name, kind| shared::granted(name, Right::Open, kind).map(|grant| grant.segment);
        let channel = granted(channel, SyncKind::Channel as u32).ok_or_else(missing)?;
        let end = granted(end, role.kind()).ok_or_else(missing)?;
        let ends = shared::find_made(channel, |descriptor| {
            SyncSegment::join(SyncKind::Channel, descriptor).map(Endpoints::of)
        });
        let ends = ends.ok_or_else(missing)?.map_err(de::Error::custom)?;
        Ok(ends.open(role, shared::find_open(end).ok_or_else(missing)?))
    }
}

impl Endpoints {
    /// Looks for ends of a role in any process.
    fn find(&self, role: EndRole, look: Check) -> PeerStatus {
        /// A process that opens ends faster than this looks for them writes nonsense, or is found the next time.
        const ROUNDS: u32 = 100;

        for _ in 0..ROUNDS {
            let opened = self.segment.word(OPENED).load(Ordering::SeqCst);
            let (found, died) = self.segment.find_ends(role as usize, look);
            if found {
                break;
            }
            // Rule 3.
            if self.segment.word(OPENED).load(Ordering::SeqCst) == opened {
                return if died { PeerStatus::NoneByDeath } else { PeerStatus::None };
            }
        }
        PeerStatus::Some
    }
}

impl Drop for ChannelEnd {
    fn drop(&mut self) {
        if !self.ends.segment.is_here() {
            // A fork's copy of an end is none.
            return;
        }
        self.ends.segment.ends(self.role as usize).fetch_sub(1, Ordering::SeqCst);
        // Rule 4.
        if self.ends.find(self.role, Check::Quick) != PeerStatus::Some {
            let direction = match self.role {
                EndRole::Send => Shutdown::Write,
                EndRole::Receive => Shutdown::Read,
            };
            sys::shut_down_packets(self.socket.as_fd(), direction);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_end_is_counted_once_for_each_process_until_all_have_dropped_it() {
        let (sending, receiving) = sys::packet_pair(1 << 16, Duration::from_millis(1)).unwrap();
        let ends = Endpoints::new().unwrap();
        let receive = ends.open(EndRole::Receive, Arc::new(receiving));
        assert_eq!(receive.find_others(Check::Close), PeerStatus::None);
        let send = ends.open(EndRole::Send, Arc::new(sending));
        let again = ends.open(EndRole::Send, Arc::clone(&receive.socket));
        assert!(Arc::ptr_eq(&send, &again) && ends.segment.ends(0).load(Ordering::SeqCst) == 1);
        let segment = send.segment();
        assert_eq!(send.segment().id, segment.id);
        drop((send, again));
        assert_eq!(receive.find_others(Check::Close), PeerStatus::Some);
        drop(segment);
        assert_eq!(receive.find_others(Check::Close), PeerStatus::None);
    }

    #[test]
    fn ends_of_no_process_are_those_of_the_dead() {
        let (_, receiving) = sys::packet_pair(1 << 16, Duration::from_millis(1)).unwrap();
        let ends = Endpoints::new().unwrap();
        let receive = ends.open(EndRole::Receive, Arc::new(receiving));
        // Another slot's, which nobody has, and a number of slots that cannot be.
        ends.segment.word(24).store(u64::MAX, Ordering::SeqCst);
        ends.segment.word(4096 + 32 * 7 + 8).store(u64::MAX, Ordering::SeqCst);
        assert_eq!(receive.find_others(Check::Quick), PeerStatus::Some);
        assert_eq!(receive.find_others(Check::Close), PeerStatus::NoneByDeath);
    }
}
