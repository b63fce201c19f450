//! The driver's side: works go into a stream, agents' letters come out of another, and signs of life say who is there.
//!
//! 1. The dispatcher is told of a lost agent with the works that its last sign of life named; these are taken back from the server, as the
//!    dispatcher sends them anew. A work that no sign of life named is given out again by the server when its lease ends.
//! 2. While the server is away nobody is lost. When it is back, every work is published again under its old message id.
//! 3. A work without a sign of life for two leases is looked for in the stream, and is sent anew if it is not there.
//! 4. Where no agent is left the dispatcher has taken everything back, so nothing is outstanding.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, watch};

use super::agents::{Agents, GoneAgent};
use super::chores::Chore;
use super::forms::{AgentBeat, AgentLetter, ControlForm, SessionEntry, SetupForm, printable};
use super::lane::{Lane, Waited};
use super::notices::DriverNotice;
use super::options::NatsOptions;
use super::outstanding::{Outstanding, Publication};
use super::poster::StreamLetter;
use super::session::{self, DriverTasks};
use super::shares::{Shares, object_name};
use crate::cluster::engine::{Capacity, ClusterEngine, EngineEvent, NodeId, SendOutcome, WORKERS_MAX};
use crate::cluster::environment::ClusterRole;
use crate::cluster::forms::OutcomeForm;
use crate::cluster::messages::{CallEnd, CallTask, Done, FromAgent, Setup, Work, encode};
use crate::error::Result;
use crate::shared::Segment;

/// So many works are with the server at least, if there are so many.
const WINDOW_MIN: usize = 64;
const WINDOW_BYTES: usize = 256 << 20;
/// What pools are made with is in the bucket up to this.
const SETUP_BYTES_MAX: usize = 32 << 10;
/// The driver looks after its agents so often.
const TICK: Duration = Duration::from_millis(500);
/// A driver that was kept from looking for so long has heard nothing of its agents meanwhile.
const TICK_MAX: Duration = Duration::from_secs(2);
const PURGE_INTERVAL: Duration = Duration::from_secs(1);
/// Letters that wait in the server are read first, before works are published again.
const REPUBLISH_DELAY: Duration = Duration::from_secs(1);

/// A driver's engine.
pub(in crate::cluster) struct NatsEngine {
    lane: Lane<DriverNotice>,
    options: NatsOptions,
    tasks: DriverTasks,
    chores: UnboundedSender<Chore>,
    entry: watch::Sender<SessionEntry>,
    /// Wakes the reader of letters.
    again: Arc<Notify>,
    agents: Agents,
    /// The nodes and their workers, as far as events have told.
    nodes: BTreeMap<NodeId, usize>,
    /// Agents that were refused.
    refused: BTreeSet<u64>,
    works: Outstanding,
    shares: Shares,
    ready: VecDeque<EngineEvent>,
    /// The server is away, since when, and whether its agents are given up.
    lost: Option<(Instant, bool)>,
    republish: Option<Instant>,
    ticked: Instant,
    /// When the last letter came, and when works were last looked for.
    heard: Instant,
    checked: Instant,
    /// The last letter that was read, and the last that is removed.
    read: u64,
    purged: (u64, Instant),
}

impl NatsEngine {
    /// Begins a session.
    ///
    /// # Errors
    ///
    /// The server cannot be reached or used.
    pub(in crate::cluster) fn connect(options: NatsOptions) -> Result<Self> {
        let lane = Lane::new()?;
        let again = Arc::new(Notify::new());
        let entry = SessionEntry {
            host: options.identity.host.clone(),
            table: options.identity.table,
            lease: u64::try_from(options.lease.as_millis()).unwrap_or(u64::MAX),
            ..SessionEntry::default()
        };
        let (entry, written) = watch::channel(entry);
        let begun = session::begin(&options, written, Arc::clone(&again), lane.sender());
        let (tasks, chores) = lane.run(begun)?;
        let now = Instant::now();
        Ok(Self {
            lane,
            options,
            tasks,
            chores,
            entry,
            again,
            agents: Agents::default(),
            nodes: BTreeMap::new(),
            refused: BTreeSet::new(),
            works: Outstanding::default(),
            shares: Shares::default(),
            ready: VecDeque::new(),
            lost: None,
            republish: None,
            ticked: now,
            heard: now,
            checked: now,
            read: 0,
            purged: (0, now),
        })
    }

    /// The server, without secrets, and the session's name.
    pub(in crate::cluster) fn description(&self) -> String {
        format!("NATS {}, session {}", self.tasks.address, self.tasks.names.session)
    }

    fn window(&self) -> usize {
        WINDOW_MIN.max(2 * self.nodes.values().sum::<usize>())
    }

    /// Publishes a work.
    fn publish(&self, Publication { work, send, body }: Publication) {
        let names = &self.tasks.names;
        let letter = StreamLetter { key: send, subject: names.works(), message_id: names.work_id(work, send), body };
        self.tasks.poster.post(letter);
    }

    /// Stores what the tasks of a work share, where that is new.
    fn share(&mut self, segments: &[Arc<Segment>]) -> std::result::Result<(), String> {
        for segment in segments.iter().filter(|segment| !self.shares.has(segment.id)).collect::<Vec<_>>() {
            let bytes = segment.copy().map_err(|error| format!("what the tasks share could not be read: {error}"))?;
            self.chore(Chore::StoreObject { name: object_name(segment.id), body: Bytes::from(bytes) });
            self.shares.insert(segment);
        }
        Ok(())
    }

    /// Takes a work back from the server.
    fn forget(&mut self, work: u64) {
        if let Some((publication, sequence)) = self.works.remove(work) {
            self.tasks.poster.forget(publication.send);
            // Where it is not known yet, the notice of it finds nobody, and removes it then.
            if let Some(sequence) = sequence {
                self.chore(Chore::DeleteWork { sequence });
            }
            self.remove_object(&publication);
        }
    }

    fn remove_object(&self, publication: &Publication) {
        if !self.tasks.bodies.is_inline(publication.body.len()) {
            self.chore(Chore::RemoveObject(self.tasks.names.work_id(publication.work, publication.send)));
        }
    }

    fn chore(&self, chore: Chore) {
        let _ = self.chores.send(chore);
    }

    fn control(&self, form: &ControlForm) {
        self.tasks.courier.send(self.tasks.names.control(), encode(form));
    }

    fn apply(&mut self, notice: DriverNotice, now: Instant) {
        match notice {
            DriverNotice::Letter { sequence, object, letter } => {
                (self.read, self.heard) = (sequence, now);
                if let Some(name) = object {
                    self.chore(Chore::RemoveObject(name));
                }
                if let Some(letter) = letter {
                    self.letter(letter, now);
                }
            }
            DriverNotice::Beat(beat) => self.beat(beat, now),
            DriverNotice::Stranger(beat) => self.stranger(&beat),
            DriverNotice::Posted { send, sequence } => {
                if !self.works.posted(send, sequence) {
                    self.chore(Chore::DeleteWork { sequence });
                }
            }
            DriverNotice::Lost if self.lost.is_none() => {
                self.lost = Some((now, false));
                let why = format!("the NATS server at {} is away", self.tasks.address);
                self.ready.push_back(EngineEvent::Lost { why });
            }
            DriverNotice::Lost => {}
            DriverNotice::Back => self.back(now),
            DriverNotice::Remade => {
                self.outage();
                self.store_again();
                self.republish = Some(now + REPUBLISH_DELAY);
            }
            DriverNotice::Missing(missing) => {
                for sent in missing {
                    if let Some(publication) = self.works.resend(sent, now) {
                        self.publish(publication);
                    }
                }
            }
        }
    }

    fn back(&mut self, now: Instant) {
        if self.lost.take().is_some() {
            self.outage();
            self.ready.push_back(EngineEvent::Back);
        }
        self.agents.excuse(now);
        (self.heard, self.republish) = (now, Some(now + REPUBLISH_DELAY));
        self.store_again();
        self.tasks.poster.again();
        self.again.notify_one();
    }

    /// Stores what tasks share once more, as the server may have lost it.
    fn store_again(&self) {
        for segment in self.shares.living() {
            if let Ok(bytes) = segment.copy() {
                self.chore(Chore::StoreObject { name: object_name(segment.id), body: Bytes::from(bytes) });
            }
        }
    }

    /// The server has forgotten something: the agents are told so, in case it was of theirs.
    fn outage(&self) {
        self.entry.send_modify(|entry| entry.outages = entry.outages.saturating_add(1));
    }

    fn letter(&mut self, AgentLetter { agent, host, message }: AgentLetter, now: Instant) {
        let host = printable(&host);
        match message {
            FromAgent::Done(done) => {
                if let Some((publication, _)) = self.works.outcomes(&done) {
                    self.tasks.poster.forget(publication.send);
                    self.remove_object(&publication);
                }
                self.ready.push_back(EngineEvent::Done(done));
            }
            FromAgent::Returned(works) => {
                // The dispatcher sends them anew, and they count for nothing there.
                let known = works.into_iter().filter(|work| self.works.contains(*work));
                let works: Vec<u64> = known.collect();
                works.iter().for_each(|work| self.forget(*work));
                self.ready.push_back(EngineEvent::Returned { works });
            }
            FromAgent::Failed(why) => {
                if self.agents.take_out(agent, &host, now) {
                    let why = printable(&why);
                    self.ready.push_back(EngineEvent::OutOfService { node: NodeId(agent), host, why });
                }
            }
            // The failure of an earlier pool may arrive after the next setup was sent.
            FromAgent::Ready(_) => self.agents.forget_if_out(agent),
            FromAgent::Hello(_) | FromAgent::Beat(_) | FromAgent::Goodbye(()) => {}
        }
    }

    fn beat(&mut self, mut beat: AgentBeat, now: Instant) {
        beat.hello.host = printable(&beat.hello.host);
        if beat.hello.table != self.options.identity.table {
            return self.stranger(&beat);
        }
        let node = NodeId(beat.agent);
        let workers = usize::try_from(beat.hello.workers).unwrap_or(usize::MAX).clamp(1, WORKERS_MAX);
        if self.agents.seen(beat, now) {
            self.ready.push_back(EngineEvent::Up { node, workers });
        }
    }

    /// Refuses an agent of another build. One of this build is about to find the session.
    fn stranger(&mut self, beat: &AgentBeat) {
        let AgentBeat { agent, hello, .. } = beat;
        let Err(why) = self.options.identity.check(&hello.identity(), ClusterRole::Driver, self.options.rule) else {
            return;
        };
        self.tasks.courier.send(self.tasks.names.program.refusal(*agent), Bytes::from(why.clone().into_bytes()));
        if self.refused.len() < session::REFUSED_MAX && self.refused.insert(*agent) {
            self.ready.push_back(EngineEvent::Refused { why });
        }
    }

    /// What is due by the clock.
    fn tick(&mut self, now: Instant) {
        if now < self.ticked + TICK {
            return;
        }
        if now > self.ticked + TICK_MAX {
            self.agents.excuse(now);
        }
        self.ticked = now;
        let engine_wait = self.options.engine_wait;
        let gone = match &mut self.lost {
            None => self.agents.take_gone(now),
            Some((since, is_given_up)) if !*is_given_up && now.duration_since(*since) >= engine_wait => {
                *is_given_up = true;
                self.agents.take_all()
            }
            Some(_) => Vec::new(),
        };
        let is_news = |gone: &GoneAgent| !gone.is_out || !gone.held.is_empty();
        self.ready.extend(gone.into_iter().filter(is_news).map(down));
        if self.lost.is_some() {
            return;
        }
        if self.republish.is_some_and(|due| due <= now) {
            self.republish = None;
            self.works.publications().into_iter().for_each(|publication| self.publish(publication));
        }
        if self.read != self.purged.0 && now.duration_since(self.purged.1) >= PURGE_INTERVAL {
            self.purged = (self.read, now);
            self.chore(Chore::PurgeResults { sequence: self.read });
        }
        let dead = self.shares.take_dead();
        if !dead.is_empty() {
            dead.iter().for_each(|id| self.chore(Chore::RemoveObject(object_name(*id))));
            self.control(&ControlForm::Forget(dead));
        }
        self.look_for_works(now);
    }

    /// Rule 3.
    fn look_for_works(&mut self, now: Instant) {
        let patience = 2 * self.options.lease;
        let Some(before) = now.checked_sub(patience).filter(|before| self.checked <= *before) else {
            return;
        };
        self.checked = now;
        let mut works = self.works.posted_before(before);
        works.retain(|sent| !self.agents.has(sent.work));
        if !works.is_empty() {
            let is_thorough = self.heard <= before;
            self.chore(Chore::Check { works, outstanding: self.works.len(), is_thorough });
        }
    }

    /// A node takes no works any more (rule 4).
    fn remove_node(&mut self, node: NodeId) {
        self.nodes.remove(&node);
        if self.nodes.is_empty() {
            self.works.all().into_iter().for_each(|work| self.forget(work));
        }
    }

    /// Applies what an event says, in the moment that it is told.
    fn told(&mut self, event: &mut EngineEvent) {
        match event {
            EngineEvent::Up { node, workers } => drop(self.nodes.insert(*node, *workers)),
            EngineEvent::Down { node, held, .. } => {
                if let Some(held) = held {
                    held.retain(|work| self.works.contains(*work));
                    held.iter().for_each(|work| self.forget(*work));
                }
                self.remove_node(*node);
            }
            EngineEvent::OutOfService { node, .. } => self.remove_node(*node),
            _ => {}
        }
    }
}

/// The event of an agent that is gone (rule 1).
fn down(gone: GoneAgent) -> EngineEvent {
    let why = if gone.is_left { "it has left" } else { "it says nothing" };
    EngineEvent::Down { node: NodeId(gone.agent), host: gone.host, why: why.to_owned(), held: Some(gone.held) }
}

impl ClusterEngine for NatsEngine {
    fn capacity(&self) -> Capacity {
        let is_open = self.lost.is_none() && self.works.bytes() < WINDOW_BYTES;
        let room = if is_open { self.window().saturating_sub(self.works.len()) } else { 0 };
        Capacity { room, nodes: self.nodes.len(), workers: self.nodes.values().sum() }
    }

    fn may_grow(&self) -> bool {
        true
    }

    fn try_send(&mut self, work: Work, segments: &[Arc<Segment>]) -> SendOutcome {
        if self.capacity().room == 0 {
            return SendOutcome::Full;
        }
        match self.share(segments) {
            Ok(()) => {
                let publication = self.works.insert(&work, Bytes::from(encode(&work)), Instant::now());
                self.publish(publication);
            }
            Err(why) => {
                let failed = |first, count| OutcomeForm::failed(first, u64::from(count), why.clone());
                let outcomes = work.chunks.iter().map(|chunk| failed(chunk.first_index, chunk.count)).collect();
                let done = Done { work: work.id, call: work.call, per_task: None, outcomes, is_last: true };
                self.ready.push_back(EngineEvent::Done(done));
            }
        }
        SendOutcome::To(None)
    }

    fn set_up(&mut self, Setup { generation, options: settings }: Setup) {
        // What is left is of an earlier pool.
        self.works.all().into_iter().for_each(|work| self.forget(work));
        self.agents.forget_out();
        let setup = if settings.len() <= SETUP_BYTES_MAX {
            SetupForm::Here(settings)
        } else {
            let name = format!("setup.{generation}");
            self.chore(Chore::StoreObject { name: name.clone(), body: Bytes::from(settings) });
            SetupForm::Stored(name)
        };
        self.entry.send_modify(|entry| {
            entry.generation = generation;
            entry.setup = setup;
        });
    }

    fn end_call(&mut self, call: u64, kills: bool) {
        self.works.of_call(call).into_iter().for_each(|work| self.forget(work));
        self.control(&ControlForm::End(CallEnd { call, kills }));
    }

    fn abort(&mut self, task: CallTask) {
        self.works.abort(&task).into_iter().for_each(|work| self.forget(work));
        self.control(&ControlForm::Abort(task));
    }

    fn poll(&mut self, wait: Duration) -> Option<EngineEvent> {
        let until = Instant::now() + wait;
        loop {
            let now = Instant::now();
            self.tick(now);
            if let Some(mut event) = self.ready.pop_front() {
                self.told(&mut event);
                return Some(event);
            }
            let next = until.min(self.ticked + TICK);
            match self.lane.wait(next.saturating_duration_since(now)) {
                Waited::Notice(notice) => self.apply(notice, Instant::now()),
                Waited::Woken => return None,
                Waited::TimedOut if Instant::now() >= until => return None,
                Waited::TimedOut => {}
            }
        }
    }

    fn waker(&self) -> Arc<dyn Fn() + Send + Sync> {
        self.lane.waker()
    }

    fn close(mut self: Box<Self>, _code: i32) {
        // Its agents stay for the next driver, whatever this one has ended with.
        self.control(&ControlForm::Stop(()));
        let is_connected = self.lost.is_none();
        self.lane.run(self.tasks.end(is_connected));
    }
}
