//! An agent's part in a session: the works that it pulls, holds and answers, and what its pool is made with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{Message, StatusCode, jetstream};
use bytes::Bytes;

use super::agent_tasks::LinkTasks;
use super::bodies::{Bodies, OBJECT_HEADER};
use super::forms::{AgentBeat, AgentLetter, SessionEntry, SetupForm};
use super::held::{Delivered, HeldWorks};
use super::names::{CONSUMER, MESSAGE_ID, SessionNames};
use super::notices::{AgentNotice, FoundSession};
use super::poster::{Poster, StreamLetter};
use super::pulls::{PULL_TIME, PullRequest, Pulls};
use super::shares::object_name;
use crate::cluster::dispatcher::GENERATION_SHIFT;
use crate::cluster::engine::Arrival;
use crate::cluster::forms::OutcomeForm;
use crate::cluster::messages::{self, CallEnd, CallTask, Done, FromAgent, Hello, SegmentForm, Setup, ToAgent, Work};

const BEAT_INTERVAL: Duration = Duration::from_secs(1);
/// What has come is in a sign of life after this.
const BEAT_DELAY: Duration = Duration::from_millis(50);
const ACKNOWLEDGE: &[u8] = b"+ACK";
const GIVE_BACK: &[u8] = b"-NAK";
const EXTEND: &[u8] = b"+WPI";
/// What tasks share is looked for so often, and so long.
const SEGMENT_ATTEMPTS: u32 = 100;
const SEGMENT_RETRY: Duration = Duration::from_millis(100);
/// Ended calls are known by their numbers, so many of them.
const ENDED_MAX: usize = 65536;

/// An agent's part in a session.
pub(super) struct Membership {
    pub(super) names: SessionNames,
    entry: SessionEntry,
    tasks: Arc<LinkTasks>,
    poster: Poster,
    bodies: Arc<Bodies>,
    held: HeldWorks,
    pulls: Pulls,
    /// The calls of what was begun here, and those that have ended.
    calls: BTreeMap<u64, u64>,
    ended: BTreeSet<u64>,
    /// What the pool is made with here.
    generation: u64,
    /// Works of a pool that is not made yet.
    early: Vec<Work>,
    /// What tasks share: what is here, what is asked for, and the works that wait for it.
    segments: BTreeSet<u64>,
    asked: BTreeSet<u64>,
    unshared: Vec<Work>,
    /// How many its pool has; before there is one, how many it would have.
    workers: u32,
    next_letter: u64,
    next_beat: Instant,
    next_extension: Instant,
    is_leaving: bool,
    /// It could not make its pool, or has lost it: it pulls nothing until there is another.
    is_out: bool,
    /// The driver was informed of that, and not of a pool since.
    is_known_out: bool,
    pub(super) arrivals: Vec<Arrival>,
}

impl Membership {
    /// Joins a session. It runs in the runtime.
    pub(super) fn new(found: FoundSession, tasks: Arc<LinkTasks>) -> Self {
        let names = tasks.program.session(&found.session);
        let bodies = Arc::new(Bodies::new(tasks.context.clone(), &names, tasks.options.storage));
        let posted = tasks.notices.clone();
        let on_posted = Box::new(move |letter, _| drop(posted.send(AgentNotice::Posted { letter })));
        let poster = Poster::start(tasks.context.clone(), Arc::clone(&bodies), Arc::default(), on_posted);
        let now = Instant::now();
        let workers = tasks.hello.workers;
        let mut joined = Self {
            names,
            workers,
            entry: SessionEntry::default(),
            tasks,
            poster,
            bodies,
            held: HeldWorks::default(),
            pulls: Pulls::new(),
            calls: BTreeMap::new(),
            ended: BTreeSet::new(),
            generation: 0,
            early: Vec::new(),
            segments: BTreeSet::new(),
            asked: BTreeSet::new(),
            unshared: Vec::new(),
            next_letter: 0,
            next_beat: now,
            next_extension: now,
            is_leaving: false,
            is_out: false,
            is_known_out: false,
            arrivals: vec![Arrival::Message(ToAgent::Welcome(found.entry.host.clone()))],
        };
        joined.changed(found.entry);
        joined
    }

    pub(super) fn is_busy(&self) -> bool {
        self.held.len() > 0
    }

    pub(super) fn has_letters(&self) -> bool {
        self.held.has_letters()
    }

    /// The session's entry has changed, or is new.
    pub(super) fn changed(&mut self, entry: SessionEntry) {
        if entry.outages != self.entry.outages {
            // The streams may be others, which know nothing of what was asked of the last.
            self.pulls.lost();
            self.poster.again();
        }
        let is_new = entry.generation > self.generation && entry.generation != self.entry.generation;
        self.entry = entry;
        if !is_new {
            return;
        }
        let (session, generation) = (self.names.session.clone(), self.entry.generation);
        match self.entry.setup.clone() {
            SetupForm::Here(settings) => self.set_up(generation, settings),
            SetupForm::Stored(name) => {
                let (bodies, notices) = (Arc::clone(&self.bodies), self.tasks.notices.clone());
                tokio::spawn(async move {
                    // The driver stores it at once, and its entry may be faster.
                    let settings = loop {
                        match bodies.get(&name).await {
                            Ok(settings) => break settings.to_vec(),
                            Err(_) if notices.is_closed() => return,
                            Err(_) => tokio::time::sleep(BEAT_DELAY).await,
                        }
                    };
                    let _ = notices.send(AgentNotice::SetUp { session, generation, settings });
                });
            }
        }
    }

    /// What the pool is made with is here.
    pub(super) fn set_up(&mut self, generation: u64, settings: Vec<u8>) {
        if generation != self.entry.generation || generation <= self.generation {
            return;
        }
        (self.generation, self.is_out) = (generation, false);
        let setup = Setup { generation, options: settings };
        self.arrivals.push(Arrival::Message(ToAgent::Setup(setup)));
        for work in std::mem::take(&mut self.early) {
            self.begin(work);
        }
    }

    /// A work has come, or the end of a request for works.
    pub(super) fn pulled(&mut self, message: Message, now: Instant) {
        if let Some(status) = message.status {
            let is_over = status == StatusCode::TIMEOUT || status == StatusCode::NOT_FOUND;
            // The subject is the one that was asked on.
            let request = message.subject.rsplit('.').next().and_then(|request| request.parse().ok());
            return request.into_iter().for_each(|request| self.pulls.ended(request, is_over, now));
        }
        self.pulls.came();
        let Some(reply) = message.reply.clone() else { return };
        let headers = message.headers.as_ref();
        let id =
            headers.and_then(|headers| headers.get(MESSAGE_ID)).and_then(|id| self.names.read_work_id(id.as_str()));
        let is_stored = headers.is_some_and(|headers| headers.get(OBJECT_HEADER).is_some());
        let message = jetstream::Message { message, context: self.tasks.context.clone() };
        let delivered = message.info().map_or(1, |info| info.delivered);
        let Some((work, send)) = id else {
            // It is no work of ours, and nobody can do anything with it.
            return self.tasks.courier.send(reply.as_str(), ACKNOWLEDGE);
        };
        match self.held.take(work, send, reply.to_string()) {
            Delivered::Again => return,
            Delivered::Finished => return self.tasks.courier.send(reply.as_str(), ACKNOWLEDGE),
            Delivered::New => {}
        }
        if self.is_leaving {
            self.held.forget(work);
            return self.tasks.courier.send(reply.as_str(), GIVE_BACK);
        }
        self.next_beat = self.next_beat.min(now + BEAT_DELAY);
        let lost = i64::from(self.tasks.options.tries) + i64::from(self.entry.outages);
        let is_poison = delivered > lost;
        if !is_stored {
            return self.read(work, send, is_poison, Ok(message.payload.clone()));
        }
        let (bodies, notices) = (Arc::clone(&self.bodies), self.tasks.notices.clone());
        let session = self.names.session.clone();
        tokio::spawn(async move {
            let body = bodies.read(message.headers.as_ref(), Bytes::new()).await;
            let _ = notices.send(AgentNotice::Body { session, work, send, is_poison, body });
        });
    }

    /// The body of a work is here.
    pub(super) fn read(&mut self, id: u64, send: u64, is_poison: bool, body: Result<Bytes, String>) {
        if self.held.send_of(id) != Some(send) {
            return;
        }
        let read = body.ok().and_then(|body| messages::decode::<Work>(&body).ok()).filter(|work| work.id == id);
        match read {
            // The driver sends it anew, with a body of its own.
            None => self.answer(FromAgent::Returned(vec![id])),
            Some(work) if self.ended.contains(&work.call) => self.drop_work(id),
            Some(work) if is_poison => {
                let done = self.poison(&work);
                self.answer(FromAgent::Done(done));
            }
            Some(work) => {
                self.calls.insert(id, work.call);
                self.begin(work);
            }
        }
    }

    /// Gives a work to the pool, once that is made, and what its tasks share is here.
    fn begin(&mut self, work: Work) {
        if work.call >> GENERATION_SHIFT > self.generation {
            self.tasks.nudge.notify_one();
            return self.early.push(work);
        }
        let named = work.chunks.iter().flat_map(|chunk| &chunk.sharing.segments).copied();
        let missing: BTreeSet<u64> = named.filter(|id| !self.segments.contains(id)).collect();
        if missing.is_empty() {
            return self.arrivals.push(Arrival::Message(ToAgent::Work(work)));
        }
        self.unshared.push(work);
        missing.into_iter().for_each(|id| self.ask_for(id));
    }

    /// Reads memory that tasks share.
    fn ask_for(&mut self, id: u64) {
        if !self.asked.insert(id) {
            return;
        }
        let (bodies, notices) = (Arc::clone(&self.bodies), self.tasks.notices.clone());
        let session = self.names.session.clone();
        tokio::spawn(async move {
            let mut body = bodies.get(&object_name(id)).await;
            for _ in 0..SEGMENT_ATTEMPTS {
                if body.is_ok() || notices.is_closed() {
                    break;
                }
                // The driver stores it while the work is on its way.
                tokio::time::sleep(SEGMENT_RETRY).await;
                body = bodies.get(&object_name(id)).await;
            }
            let _ = notices.send(AgentNotice::Segment { session, id, body });
        });
    }

    /// Memory that tasks share is here, or nowhere.
    pub(super) fn segment(&mut self, id: u64, body: Result<Bytes, String>) {
        self.asked.remove(&id);
        match body {
            Ok(body) => {
                self.segments.insert(id);
                let segment = SegmentForm { id, bytes: body.into() };
                self.arrivals.push(Arrival::Message(ToAgent::Segment(segment)));
                std::mem::take(&mut self.unshared).into_iter().for_each(|work| self.begin(work));
            }
            Err(_) => {
                let names = |work: &Work| work.chunks.iter().any(|chunk| chunk.sharing.segments.contains(&id));
                let back: Vec<u64> = self.unshared.extract_if(.., |work| names(work)).map(|work| work.id).collect();
                if !back.is_empty() {
                    self.answer(FromAgent::Returned(back));
                }
            }
        }
    }

    /// No task will name these any more.
    pub(super) fn forget(&mut self, ids: Vec<u64>) {
        self.segments.retain(|id| !ids.contains(id));
        self.arrivals.push(Arrival::Message(ToAgent::Forget(ids)));
    }

    /// A task has ended.
    pub(super) fn abort(&mut self, task: CallTask) {
        self.arrivals.push(Arrival::Message(ToAgent::Abort(task)));
    }

    /// The outcomes of a work with which too many agents were lost.
    fn poison(&self, work: &Work) -> Done {
        let note = format!(
            "{} agents that were given the task were lost before it ended: it may be what ends them, by the memory that it takes, for \
             example; POOLMAP_TRIES sets how many may be",
            self.tasks.options.tries,
        );
        let failed = |first, count| OutcomeForm::failed(first, count, note.clone());
        let outcomes = work.chunks.iter().map(|chunk| failed(chunk.first_index, u64::from(chunk.count))).collect();
        Done { work: work.id, call: work.call, per_task: None, outcomes, is_last: true }
    }

    /// Sends a message of the agent's that must not be lost.
    pub(super) fn answer(&mut self, message: FromAgent) {
        match message {
            FromAgent::Done(done) => {
                let (work, is_last) = (done.work, done.is_last);
                if self.held.send_of(work).is_some() {
                    self.pulls.finished();
                    self.write(Some((work, is_last)), FromAgent::Done(done));
                }
            }
            FromAgent::Returned(works) => {
                self.pulls.returned(Instant::now());
                for work in works {
                    if self.held.send_of(work).is_some() {
                        self.write(Some((work, true)), FromAgent::Returned(vec![work]));
                    }
                }
            }
            FromAgent::Failed(why) => {
                (self.is_out, self.is_known_out) = (true, true);
                self.write(None, FromAgent::Failed(why));
            }
            FromAgent::Ready(workers) => {
                // The driver learns it from the next sign of life.
                (self.workers, self.next_beat, self.is_out) = (workers, Instant::now(), false);
                if std::mem::take(&mut self.is_known_out) {
                    self.write(None, FromAgent::Ready(workers));
                }
            }
            FromAgent::Goodbye(()) => self.is_leaving = true,
            // It says both by itself, each second.
            FromAgent::Hello(_) | FromAgent::Beat(_) => {}
        }
    }

    fn write(&mut self, of: Option<(u64, bool)>, message: FromAgent) {
        self.next_letter += 1;
        let letter = self.next_letter;
        let (agent, host) = (self.tasks.agent, self.tasks.options.identity.host.clone());
        let written = AgentLetter { agent, host, message };
        let body = messages::encode(&written);
        if let Some((work, is_last)) = of {
            self.held.writing(work, letter, is_last);
            if is_last {
                self.calls.remove(&work);
            }
        }
        let message_id = format!("{}.{agent:016x}.{letter}", self.names.session);
        self.poster.post(StreamLetter { key: letter, subject: self.names.results(), message_id, body: body.into() });
    }

    /// A letter is in the stream.
    pub(super) fn posted(&mut self, letter: u64) {
        if let Some(reply) = self.held.written(letter) {
            self.tasks.courier.send(reply, ACKNOWLEDGE);
        }
    }

    /// A call has ended: its works are nobody's any more.
    pub(super) fn end(&mut self, end: CallEnd) {
        self.ended.insert(end.call);
        if self.ended.len() > ENDED_MAX {
            self.ended.pop_first();
        }
        self.early.retain(|work| work.call != end.call);
        self.unshared.retain(|work| work.call != end.call);
        let of_call: Vec<u64> =
            self.calls.iter().filter(|(_, call)| **call == end.call).map(|(&work, _)| work).collect();
        of_call.into_iter().for_each(|work| self.drop_work(work));
        self.arrivals.push(Arrival::Message(ToAgent::End(end)));
    }

    fn drop_work(&mut self, work: u64) {
        self.calls.remove(&work);
        if let Some(reply) = self.held.forget(work) {
            self.tasks.courier.send(reply, ACKNOWLEDGE);
        }
    }

    /// The connection stands again.
    pub(super) fn reconnected(&mut self, now: Instant) {
        self.pulls.lost();
        self.poster.again();
        (self.next_beat, self.next_extension) = (now, now);
    }

    /// What is due by the clock.
    pub(super) fn tick(&mut self, now: Instant) {
        if now >= self.next_extension {
            self.next_extension = now + Duration::from_millis(self.entry.lease.max(3)) / 3;
            self.held.replies().for_each(|reply| self.tasks.courier.send(reply, EXTEND));
        }
        if now >= self.next_beat {
            self.next_beat = now + BEAT_INTERVAL;
            self.beat(false);
        }
        let workers = usize::try_from(self.workers).unwrap_or(usize::MAX);
        let room = if self.generation == 0 || self.is_leaving || self.is_out { 0 } else { workers.saturating_add(1) };
        if let Some(request) = self.pulls.request(room.saturating_sub(self.held.busy()), now) {
            self.pull(&request);
        }
    }

    /// When something is due again.
    pub(super) fn next_tick(&self) -> Instant {
        let due = self.next_beat.min(self.next_extension);
        self.pulls.paused_until().map_or(due, |until| due.min(until))
    }

    fn pull(&self, request: &PullRequest) {
        let stream = self.names.work_stream();
        let body = format!(r#"{{"batch":{},"expires":{}}}"#, request.batch, PULL_TIME.as_nanos());
        let reply = format!("{}.{}.{}", self.tasks.inbox, self.names.session, request.number);
        self.tasks.courier.request(format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{CONSUMER}"), reply, body);
    }

    fn beat(&self, is_leaving: bool) {
        let hello = Hello { workers: self.workers, ..self.tasks.hello.clone() };
        let beat = AgentBeat { agent: self.tasks.agent, hello, held: self.held.works(), is_leaving };
        self.tasks.courier.send(self.names.beats(), messages::encode(&beat));
    }

    /// Leaves in order: what it still has goes to others at once.
    pub(super) fn leave(&mut self) {
        self.is_leaving = true;
        self.held.replies().for_each(|reply| self.tasks.courier.send(reply, GIVE_BACK));
        self.beat(true);
    }

    /// The session is over: what the pool has of it is for nobody.
    pub(super) fn over(mut self) -> Vec<Arrival> {
        let calls: BTreeSet<u64> = self.calls.values().copied().collect();
        let end = |call| Arrival::Message(ToAgent::End(CallEnd { call, kills: true }));
        let mut arrivals = std::mem::take(&mut self.arrivals);
        arrivals.extend(calls.into_iter().map(end));
        arrivals.push(Arrival::Message(ToAgent::Forget(self.segments.into_iter().collect())));
        arrivals
    }
}
