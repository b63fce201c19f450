//! The connection of this process to the others of an MPI job: sends, receives, and notices who is lost. The rules are in `mpi`.

use std::collections::VecDeque;
use std::time::Duration;

use super::backoff::{Pending, PollBackoff};
use super::intake::{FabricLimits, Intake};
use super::outgoing::OutgoingMessages;
use crate::sys::{MpiArrival, MpiError, MpiLibrary, MpiReceiving, MpiSession};

/// The connection of this process to the others of its job. It stays on the thread that started it.
pub(crate) struct Fabric {
    pub(super) session: MpiSession,
    limits: FabricLimits,
    pub(super) peers: Vec<Partner>,
    receiving: Option<Receiving>,
    probing: Probing,
    events: VecDeque<FabricEvent>,
    backoff: PollBackoff,
    /// Nothing is under way from here but signs of life.
    sends_signs_alone: bool,
}

/// What has happened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FabricEvent {
    /// A rank has sent this.
    Message { from: usize, body: Vec<u8> },
    /// A rank has ended by itself, and sends nothing more.
    Ended { rank: usize },
    /// A rank is lost: nothing more comes from it, and what was on its way to it may not have arrived.
    Lost { rank: usize, why: String },
}

/// Another rank, as this process has it.
#[derive(Default)]
pub(super) struct Partner {
    pub(super) state: PartnerState,
    pub(super) outgoing: OutgoingMessages,
    /// What has arrived of a body that is not whole.
    partial: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum PartnerState {
    #[default]
    Open,
    Ended,
    Lost,
}

/// For whose messages a poll asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probing {
    /// Those of any rank, by one call.
    Any,
    /// Those of each open rank, by a call each: a rank that is not has sent one, which nobody receives. (It cannot be thrown away: Open MPI
    /// 4.1 crashes where a large message is received into less memory.)
    Each,
}

/// The message that is being received.
struct Receiving {
    message: MpiReceiving,
    from: usize,
    intake: Intake,
}

impl Fabric {
    pub(super) fn new(session: MpiSession, limits: FabricLimits) -> Self {
        let peers = (0..session.size()).map(|_| Partner::default()).collect();
        Self {
            session,
            limits,
            peers,
            receiving: None,
            probing: Probing::Any,
            events: VecDeque::new(),
            backoff: PollBackoff::default(),
            sends_signs_alone: false,
        }
    }

    /// This process's number; 0 is the driver's.
    pub(crate) fn rank(&self) -> usize {
        self.session.rank()
    }

    /// How many processes the job has.
    pub(crate) fn size(&self) -> usize {
        self.session.size()
    }

    /// This machine's name, as MPI has it.
    pub(crate) fn host(&self) -> &str {
        self.session.host()
    }

    /// The MPI library.
    pub(crate) fn library(&self) -> &MpiLibrary {
        self.session.library()
    }

    /// Begins to send a body, and returns at once; false if the rank has ended or is lost, or is none to which this process sends.
    pub(crate) fn send(&mut self, to: usize, body: Vec<u8>) -> bool {
        let is_partner = to != self.rank() && (to == 0 || self.rank() == 0);
        let Some(peer) = self.peers.get_mut(to).filter(|peer| is_partner && peer.state == PartnerState::Open) else {
            return false;
        };
        self.backoff.reset();
        self.sends_signs_alone = false;
        match peer.outgoing.send_body(&self.session, to, body, self.limits.segment_bytes) {
            Ok(()) => true,
            Err(error) => {
                self.lose(to, format!("a message to it could not be sent: {error}"));
                false
            }
        }
    }

    /// Begins to send a sign of life, to which no answer is expected.
    pub(crate) fn send_sign_of_life(&mut self, to: usize, body: Vec<u8>) -> bool {
        let is_alone = self.sends_signs_alone || !self.is_sending();
        let is_sent = self.send(to, body);
        if is_alone {
            self.backoff.resume();
            self.sends_signs_alone = true;
        }
        is_sent
    }

    /// The message that was received last was a sign of life, which nothing follows.
    pub(crate) fn heard_sign_of_life(&mut self) {
        self.backoff.resume();
    }

    /// How many bytes are on their way to a rank.
    pub(crate) fn bytes_under_way(&self, to: usize) -> usize {
        self.peers.get(to).map_or(0, |peer| peer.outgoing.bytes())
    }

    /// Moves everything on that is under way, and returns what has happened, if something has. It does not wait.
    ///
    /// # Errors
    ///
    /// MPI has failed as a whole, and the job with it.
    pub(crate) fn receive(&mut self) -> Result<Option<FabricEvent>, String> {
        self.advance_sends();
        if self.events.is_empty() {
            self.advance_receive()?;
        }
        let event = self.events.pop_front();
        if event.is_some() {
            self.backoff.reset();
        }
        Ok(event)
    }

    /// How long to wait before the next `receive`, after one that returned nothing; zero is a yield. It becomes longer, up to 10 ms,
    /// until there is traffic.
    pub(crate) fn pause(&mut self) -> Duration {
        let pending = if self.is_sending() || self.receiving.is_some() { Pending::Transfer } else { Pending::Nothing };
        self.backoff.next(pending)
    }

    fn is_sending(&self) -> bool {
        self.peers.iter().any(|peer| !peer.outgoing.is_empty() && peer.state == PartnerState::Open)
    }

    /// Waits for that long, or yields.
    pub(crate) fn wait(&mut self) {
        match self.pause() {
            Duration::ZERO => std::thread::yield_now(),
            time => std::thread::sleep(time),
        }
    }

    /// Gives up a rank that has been silent for too long. There is no event for it.
    pub(crate) fn declare_lost(&mut self, rank: usize) {
        if let Some(peer) = self.peers.get_mut(rank) {
            peer.state = PartnerState::Lost;
            peer.partial = Vec::new();
        }
        if self.receiving.as_ref().is_some_and(|receiving| receiving.from == rank) {
            // MPI may still write to its memory, which is leaked by this.
            self.receiving = None;
        }
    }

    /// Moves on what is sent.
    fn advance_sends(&mut self) {
        for rank in 0..self.peers.len() {
            let peer = &mut self.peers[rank];
            match peer.outgoing.advance(&self.session) {
                Ok(0) => {}
                Ok(_) if self.sends_signs_alone => {}
                Ok(_) => self.backoff.reset(),
                Err(error) => self.lose(rank, format!("a message to it could not be sent: {error}")),
            }
        }
    }

    /// Moves on the message that is received, or finds the next.
    fn advance_receive(&mut self) -> Result<(), String> {
        if self.receiving.is_none() {
            match self.probe() {
                Ok(Some(arrival)) => self.begin(arrival),
                Ok(None) => return Ok(()),
                Err(error) if error.is_process_failed() => self.on_death(&error),
                Err(error) => return Err(format!("MPI has failed: {error}")),
            }
        }
        let Some(receiving) = &mut self.receiving else { return Ok(()) };
        match self.session.received(&mut receiving.message) {
            Ok(None) => {}
            Ok(Some(body)) => {
                let (from, intake) = (receiving.from, receiving.intake);
                self.receiving = None;
                self.backoff.reset();
                self.take(from, intake, body);
            }
            Err(error) => {
                let from = receiving.from;
                self.receiving = None;
                self.lose(from, format!("a message of it could not be received: {error}"));
            }
        }
        Ok(())
    }

    /// Finds the next message of an open rank.
    fn probe(&mut self) -> Result<Option<MpiArrival>, MpiError> {
        if self.rank() != 0 {
            return if self.is_open(0) { self.session.probe(Some(0), None) } else { Ok(None) };
        }
        if self.probing == Probing::Any {
            match self.session.probe(None, None)? {
                Some(arrival) if !self.is_open(arrival.from) => self.probing = Probing::Each,
                found => return Ok(found),
            }
        }
        for rank in (1..self.size()).filter(|&rank| self.is_open(rank)) {
            if let Some(arrival) = self.session.probe(Some(rank), None)? {
                return Ok(Some(arrival));
            }
        }
        Ok(None)
    }

    /// Whether messages of a rank are received. Nothing is sent to oneself.
    fn is_open(&self, rank: usize) -> bool {
        rank != self.rank() && self.peers.get(rank).is_some_and(|peer| peer.state == PartnerState::Open)
    }

    /// Begins to receive a message of an open rank, if it may send that.
    fn begin(&mut self, arrival: MpiArrival) {
        let MpiArrival { from, tag, bytes } = arrival;
        let partial = std::mem::take(&mut self.peers[from].partial);
        let begun = self.limits.judge(tag, bytes, partial.len()).and_then(|intake| {
            let message = self.session.receive(arrival, partial).map_err(|error| error.to_string())?;
            Ok(Receiving { message, from, intake })
        });
        match begun {
            Ok(receiving) => self.receiving = Some(receiving),
            Err(why) => self.lose(from, why),
        }
    }

    fn take(&mut self, from: usize, intake: Intake, body: Vec<u8>) {
        let peer = &mut self.peers[from];
        match intake {
            Intake::Last => self.events.push_back(FabricEvent::Message { from, body }),
            Intake::More => peer.partial = body,
            Intake::End => {
                peer.state = PartnerState::Ended;
                self.events.push_back(FabricEvent::Ended { rank: from });
            }
        }
    }

    /// The library has detected the death of some ranks.
    fn on_death(&mut self, error: &MpiError) {
        let dead = self.session.acknowledge_failures();
        // An agent depends on rank 0, which is all that it probes.
        let dead = if self.rank() == 0 { dead } else { vec![0] };
        for rank in dead {
            self.lose(rank, format!("its process has died ({error})"));
        }
    }

    fn lose(&mut self, rank: usize, why: String) {
        if self.peers.get(rank).is_some_and(|peer| peer.state == PartnerState::Open) {
            self.declare_lost(rank);
            self.events.push_back(FabricEvent::Lost { rank, why });
        }
    }
}
