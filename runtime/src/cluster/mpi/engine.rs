//! The driver's engine over MPI: rank 0, which gives work to the agents on the other ranks.
//!
//! 1. An agent is a node once it has said hello and was welcome. It has one piece of work more than its pool has workers, so that none of
//!    them waits for a message.
//! 2. An agent that is silent for `POOLMAP_DEAD` is lost, whatever MPI says of it.
//! 3. Where an agent was lost, the end of the job is an abort with the driver's exit code: the launcher may wait for the lost one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::fabric::{Fabric, FabricEvent};
use super::waiting::PollingThread;
use crate::cluster::engine::{Capacity, ClusterEngine, EngineEvent, NodeId, SendOutcome, WORKERS_MAX};
use crate::cluster::messages::{self, Beat, CallEnd, CallTask, FromAgent, Hello, SegmentForm, Setup, ToAgent, Work};
use crate::shared::Segment;

/// An agent is given no more work while so many bytes are on their way to it.
const BYTES_UNDER_WAY_MAX: usize = 64 << 20;

/// At the end, the agents have so long to end their workers. Then the job is aborted.
const END_TIME_MAX: Duration = Duration::from_secs(30);
/// The agents are looked after this often.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Says why an agent may not take part, if it may not.
pub(in crate::cluster) type Judge = Box<dyn Fn(&Hello) -> Option<String>>;

/// The engine.
pub(in crate::cluster) struct MpiEngine {
    fabric: Fabric,
    judge: Judge,
    /// How long an agent may be silent.
    dead: Duration,
    ranks: BTreeMap<usize, RankState>,
    setup: Option<Setup>,
    events: VecDeque<EngineEvent>,
    looked: Instant,
    thread: PollingThread,
}

/// A rank other than the driver's.
struct RankState {
    heard: Instant,
    /// None before it was welcome, and once it was refused.
    agent: Option<RankAgent>,
}

struct RankAgent {
    host: String,
    workers: usize,
    /// It could not make its pool, or has lost it.
    is_out: bool,
    /// The work that it has, and the call of each.
    held: BTreeMap<u64, u64>,
    /// The segments that it has.
    segments: BTreeMap<u64, Weak<Segment>>,
}

impl MpiEngine {
    pub(in crate::cluster) fn new(fabric: Fabric, judge: Judge, dead: Duration) -> Self {
        let now = Instant::now();
        let ranks = (1..fabric.size()).map(|rank| (rank, RankState { heard: now, agent: None }));
        Self {
            ranks: ranks.collect(),
            fabric,
            judge,
            dead,
            setup: None,
            events: VecDeque::new(),
            looked: now,
            thread: PollingThread::current(),
        }
    }

    fn send(&mut self, rank: usize, message: &ToAgent) {
        self.send_all(vec![rank], message);
    }

    /// Sends a message to each of some ranks. Where it is not sent, the loss of the rank is an event.
    fn send_all(&mut self, ranks: Vec<usize>, message: &ToAgent) {
        let Some((&last, others)) = ranks.split_last() else {
            return;
        };
        let body = messages::encode(message);
        for &rank in others {
            self.fabric.send(rank, body.clone());
        }
        self.fabric.send(last, body);
    }

    fn agents(&self) -> impl Iterator<Item = (usize, &RankAgent)> {
        self.ranks.iter().filter_map(|(&rank, known)| Some((rank, known.agent.as_ref()?)))
    }

    fn agent_mut(&mut self, rank: usize) -> Option<&mut RankAgent> {
        self.ranks.get_mut(&rank)?.agent.as_mut()
    }

    /// The agents that take work.
    fn serving(&self) -> impl Iterator<Item = (usize, &RankAgent)> {
        self.agents().filter(|(_, agent)| !agent.is_out)
    }

    /// How much more work an agent takes.
    fn room(&self, rank: usize, agent: &RankAgent) -> usize {
        let is_full = self.fabric.bytes_under_way(rank) >= BYTES_UNDER_WAY_MAX;
        if is_full { 0 } else { (agent.workers + 1).saturating_sub(agent.held.len()) }
    }

    fn apply(&mut self, event: FabricEvent) {
        match event {
            FabricEvent::Message { from, body } => {
                if let Some(known) = self.ranks.get_mut(&from) {
                    known.heard = Instant::now();
                }
                match messages::decode::<FromAgent>(&body) {
                    Ok(message) => self.hear(from, message),
                    Err(error) => {
                        self.fabric.declare_lost(from);
                        self.lose(from, format!("it sent what is no message: {error}"));
                    }
                }
            }
            FabricEvent::Ended { rank } => self.lose(rank, "its process has ended".to_owned()),
            FabricEvent::Lost { rank, why } => {
                self.lose(rank, why);
            }
        }
    }

    fn hear(&mut self, from: usize, message: FromAgent) {
        match message {
            FromAgent::Hello(hello) => self.judge(from, hello),
            FromAgent::Done(done) => {
                let Some(agent) = self.ranks.get_mut(&from).and_then(|known| known.agent.as_mut()) else {
                    return;
                };
                if done.is_last {
                    agent.held.remove(&done.work);
                }
                self.events.push_back(EngineEvent::Done(done));
            }
            FromAgent::Returned(works) => {
                let Some(agent) = self.ranks.get_mut(&from).and_then(|known| known.agent.as_mut()) else {
                    return;
                };
                let known = works.into_iter().filter(|id| agent.held.remove(id).is_some());
                let works = known.collect();
                self.events.push_back(EngineEvent::Returned { works });
            }
            FromAgent::Failed(why) => self.take_out(from, why),
            FromAgent::Goodbye(()) => self.lose(from, "it was asked to end".to_owned()),
            FromAgent::Ready(workers) => self.ready(from, workers),
            FromAgent::Beat(Beat { .. }) => self.fabric.heard_sign_of_life(),
        }
    }

    fn judge(&mut self, from: usize, hello: Hello) {
        if self.ranks.get(&from).is_none_or(|known| known.agent.is_some()) {
            return;
        }
        if let Some(why) = (self.judge)(&hello) {
            self.send(from, &ToAgent::Refused(why.clone()));
            self.ranks.remove(&from);
            self.events.push_back(EngineEvent::Refused { why });
            return;
        }
        let Hello { host, workers, .. } = hello;
        let workers = (workers as usize).clamp(1, WORKERS_MAX);
        let driver = self.fabric.host().to_owned();
        self.send(from, &ToAgent::Welcome(driver));
        if let Some(setup) = self.setup.clone() {
            self.send(from, &ToAgent::Setup(setup));
        }
        if let Some(known) = self.ranks.get_mut(&from) {
            known.agent =
                Some(RankAgent { host, workers, is_out: false, held: BTreeMap::new(), segments: BTreeMap::new() });
            self.events.push_back(EngineEvent::Up { node: NodeId(from as u64), workers });
        }
    }

    /// Applies that an agent has a pool, with so many workers. The failure of an earlier pool arrived before, so the agent is in service.
    fn ready(&mut self, rank: usize, workers: u32) {
        let workers = (workers as usize).clamp(1, WORKERS_MAX);
        if let Some(agent) = self.agent_mut(rank) {
            (agent.is_out, agent.workers) = (false, workers);
            self.events.push_back(EngineEvent::Up { node: NodeId(rank as u64), workers });
        }
    }

    /// An agent has no pool: it is given no more work.
    fn take_out(&mut self, rank: usize, why: String) {
        if let Some(agent) = self.agent_mut(rank).filter(|agent| !agent.is_out) {
            agent.is_out = true;
            let host = agent.host.clone();
            self.events.push_back(EngineEvent::OutOfService { node: NodeId(rank as u64), host, why });
        }
    }

    /// A rank sends nothing more.
    fn lose(&mut self, rank: usize, why: String) {
        let Some(agent) = self.ranks.remove(&rank).and_then(|known| known.agent) else {
            return;
        };
        let RankAgent { host, held, .. } = agent;
        let held = Some(held.into_keys().collect());
        self.events.push_back(EngineEvent::Down { node: NodeId(rank as u64), host, why, held });
    }

    /// Sends a segment to an agent that does not have it.
    fn share(&mut self, rank: usize, segment: &Arc<Segment>) {
        let Some(agent) = self.agent_mut(rank) else {
            return;
        };
        if agent.segments.contains_key(&segment.id) {
            return;
        }
        // Where there is no memory for a copy, the agent gives the work back, and says why.
        if let Ok(bytes) = segment.copy() {
            agent.segments.insert(segment.id, Arc::downgrade(segment));
            self.send(rank, &ToAgent::Segment(SegmentForm { id: segment.id, bytes }));
        }
    }

    /// Has agents forget segments that nobody holds any more.
    fn forget_segments(&mut self) {
        let mut gone = Vec::new();
        for (&rank, known) in &mut self.ranks {
            let segments = known.agent.iter_mut().flat_map(|agent| {
                agent.segments.extract_if(.., |_, segment| segment.strong_count() == 0).map(|(id, _)| id)
            });
            let ids: Vec<u64> = segments.collect();
            if !ids.is_empty() {
                gone.push((rank, ids));
            }
        }
        for (rank, ids) in gone {
            self.send(rank, &ToAgent::Forget(ids));
        }
    }

    /// Looks now and then for segments that nobody holds any more, and for agents that are silent.
    fn look_after_ranks(&mut self) {
        let now = Instant::now();
        if now.duration_since(self.looked) >= LOOK_INTERVAL.min(self.dead / 10) {
            self.forget_segments();
            self.give_up_silent(now);
        }
    }

    /// Gives up agents that are silent (rule 2).
    fn give_up_silent(&mut self, now: Instant) {
        // A driver that was stopped itself has not listened meanwhile.
        let was_stopped = now.duration_since(self.looked) > self.dead;
        self.looked = now;
        let is_silent = |known: &RankState| known.agent.is_some() && now.duration_since(known.heard) > self.dead;
        let silent: Vec<usize> =
            self.ranks.iter().filter(|(_, known)| is_silent(known)).map(|(&rank, _)| rank).collect();
        for rank in silent {
            if was_stopped {
                self.ranks.entry(rank).and_modify(|known| known.heard = now);
                continue;
            }
            self.fabric.declare_lost(rank);
            self.lose(rank, format!("it has been silent for {:?} (POOLMAP_DEAD)", self.dead));
        }
    }
}

impl ClusterEngine for MpiEngine {
    fn capacity(&self) -> Capacity {
        self.serving().fold(Capacity::default(), |sum, (rank, agent)| Capacity {
            room: sum.room + self.room(rank, agent),
            nodes: sum.nodes + 1,
            workers: sum.workers + agent.workers,
        })
    }

    fn may_grow(&self) -> bool {
        self.ranks.values().any(|known| known.agent.is_none())
    }

    fn try_send(&mut self, work: Work, segments: &[Arc<Segment>]) -> SendOutcome {
        // The one with the most room for each of its workers.
        let share = |rank: usize, agent: &RankAgent| (self.room(rank, agent) << 20) / agent.workers;
        let with_room = self.serving().filter(|&(rank, agent)| self.room(rank, agent) > 0);
        let Some(rank) = with_room.max_by_key(|&(rank, agent)| share(rank, agent)).map(|(rank, _)| rank) else {
            return SendOutcome::Full;
        };
        let (id, call) = (work.id, work.call);
        segments.iter().for_each(|segment| self.share(rank, segment));
        // Where it is not sent, the loss of the agent is an event by now, and returns what it has: this too.
        self.send(rank, &ToAgent::Work(work));
        if let Some(agent) = self.agent_mut(rank) {
            agent.held.insert(id, call);
        }
        SendOutcome::To(Some(NodeId(rank as u64)))
    }

    fn set_up(&mut self, setup: Setup) {
        let ranks = self.agents().map(|(rank, _)| rank).collect();
        self.send_all(ranks, &ToAgent::Setup(setup.clone()));
        for (&rank, known) in &mut self.ranks {
            let Some(agent) = &mut known.agent else {
                continue;
            };
            agent.held.clear();
            if std::mem::take(&mut agent.is_out) {
                self.events.push_back(EngineEvent::Up { node: NodeId(rank as u64), workers: agent.workers });
            }
        }
        self.setup = Some(setup);
    }

    fn end_call(&mut self, call: u64, kills: bool) {
        let ranks = self.agents().map(|(rank, _)| rank).collect();
        self.send_all(ranks, &ToAgent::End(CallEnd { call, kills }));
        for agent in self.ranks.values_mut().filter_map(|known| known.agent.as_mut()) {
            agent.held.retain(|_, of| *of != call);
        }
    }

    fn abort(&mut self, task: CallTask) {
        // Whoever does not have it ignores it.
        let with_call = self.agents().filter(|(_, agent)| agent.held.values().any(|of| *of == task.call));
        let ranks = with_call.map(|(rank, _)| rank).collect();
        self.send_all(ranks, &ToAgent::Abort(task));
    }

    fn poll(&mut self, wait: Duration) -> Option<EngineEvent> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        let until = Instant::now() + wait;
        loop {
            self.look_after_ranks();
            match self.fabric.receive() {
                Ok(Some(event)) => self.apply(event),
                Ok(None) => {}
                Err(why) => {
                    let ranks: Vec<usize> = self.ranks.keys().copied().collect();
                    ranks.into_iter().for_each(|rank| self.lose(rank, why.clone()));
                }
            }
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if !self.thread.wait(&mut self.fabric, until) {
                return None;
            }
        }
    }

    fn waker(&self) -> Arc<dyn Fn() + Send + Sync> {
        self.thread.waker()
    }

    fn close(mut self: Box<Self>, code: i32) {
        let ranks = self.ranks.keys().copied().collect();
        self.send_all(ranks, &ToAgent::Stop(()));
        self.fabric.finish(code, END_TIME_MAX);
    }
}
