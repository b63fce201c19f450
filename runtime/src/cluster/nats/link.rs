//! The agent's side: it finds a session, pulls works, and writes letters. It may be there before any driver, and stays for the next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::agent_tasks::{self, LinkTasks};
use super::forms::{ControlForm, printable};
use super::lane::{Lane, Waited};
use super::membership::Membership;
use super::notices::{AgentNotice, FoundSession};
use super::options::NatsOptions;
use crate::cluster::driver::tell;
use crate::cluster::engine::{Arrival, Link};
use crate::cluster::messages::{FromAgent, Hello, ToAgent};
use crate::cluster::mpi::EXIT_REFUSED;
use crate::error::Result;

/// Without anything to do, an agent looks at its clock so often.
const TICK_MAX: Duration = Duration::from_secs(1);
/// At its end, an agent waits so long until the server has its letters.
const CLOSE_TIME: Duration = Duration::from_secs(3);
const FLUSH_TIME: Duration = Duration::from_secs(1);

/// An agent's link to drivers.
pub(in crate::cluster) struct NatsLink {
    lane: Lane<AgentNotice>,
    tasks: Arc<LinkTasks>,
    joined: Option<Membership>,
    /// A session that has said that it is over.
    stopped: Option<String>,
    arrivals: VecDeque<Arrival>,
    is_refused: bool,
    is_over: bool,
    idle_since: Instant,
}

impl NatsLink {
    /// Connects to the server, and begins to look for a driver.
    ///
    /// # Errors
    ///
    /// The server cannot be reached or used.
    pub(in crate::cluster) fn connect(options: NatsOptions, hello: Hello) -> Result<Self> {
        let lane = Lane::new()?;
        let tasks = lane.run(agent_tasks::begin(options, hello, lane.sender()))?;
        Ok(Self {
            lane,
            tasks,
            joined: None,
            stopped: None,
            arrivals: VecDeque::new(),
            is_refused: false,
            is_over: false,
            idle_since: Instant::now(),
        })
    }

    fn apply(&mut self, notice: AgentNotice, now: Instant) {
        match notice {
            AgentNotice::Session(found) => self.found(found),
            AgentNotice::Control { session, form } => self.control(&session, form),
            AgentNotice::Connected(is_connected) => {
                if is_connected {
                    self.tasks.nudge.notify_one();
                    self.in_session(|joined| joined.reconnected(now));
                }
            }
            AgentNotice::Refused(why) => {
                if self.joined.is_none() && !self.is_refused {
                    self.is_refused = true;
                    self.arrivals.push_back(Arrival::Message(ToAgent::Refused(printable(&why))));
                }
            }
            AgentNotice::Pulled { session, message } => {
                self.in_this(&session, |joined| joined.pulled(message, now));
            }
            AgentNotice::Body { session, work, send, is_poison, body } => {
                self.in_this(&session, |joined| joined.read(work, send, is_poison, body));
            }
            AgentNotice::SetUp { session, generation, settings } => {
                self.in_this(&session, |joined| joined.set_up(generation, settings));
            }
            AgentNotice::Segment { session, id, body } => {
                self.in_this(&session, |joined| joined.segment(id, body));
            }
            AgentNotice::Posted { letter } => self.in_session(|joined| joined.posted(letter)),
        }
    }

    fn in_session(&mut self, change: impl FnOnce(&mut Membership)) {
        let runtime = self.lane.handle();
        let _entered = runtime.enter();
        if let Some(joined) = &mut self.joined {
            change(joined);
            self.arrivals.extend(joined.arrivals.drain(..));
        }
    }

    /// The same, if it is in that session still.
    fn in_this(&mut self, session: &str, change: impl FnOnce(&mut Membership)) {
        if self.joined.as_ref().is_some_and(|joined| joined.names.session == session) {
            self.in_session(change);
        }
    }

    fn found(&mut self, found: Option<FoundSession>) {
        let current = self.joined.as_ref().map(|joined| joined.names.session.clone());
        match found {
            Some(found) if current.as_ref() == Some(&found.session) => {
                self.in_session(|joined| joined.changed(found.entry));
            }
            Some(found) if self.stopped.as_ref() == Some(&found.session) => {}
            found => {
                self.leave_session();
                if let Some(found) = found {
                    let runtime = self.lane.handle();
                    let _entered = runtime.enter();
                    self.joined = Some(Membership::new(found, Arc::clone(&self.tasks)));
                    self.in_session(|_| {});
                }
            }
        }
    }

    fn leave_session(&mut self) {
        if let Some(joined) = self.joined.take() {
            self.arrivals.extend(joined.over());
        }
    }

    fn control(&mut self, session: &str, form: ControlForm) {
        match form {
            ControlForm::Changed(()) => self.tasks.nudge.notify_one(),
            ControlForm::End(end) => self.in_this(session, |joined| joined.end(end)),
            ControlForm::Abort(task) => self.in_this(session, |joined| joined.abort(task)),
            ControlForm::Forget(ids) => self.in_this(session, |joined| joined.forget(ids)),
            ControlForm::Stop(()) => {
                if self.joined.as_ref().is_some_and(|joined| joined.names.session == session) {
                    self.stopped = Some(session.to_owned());
                    self.leave_session();
                }
                self.tasks.nudge.notify_one();
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        self.in_session(|joined| joined.tick(now));
        if self.joined.as_ref().is_some_and(Membership::is_busy) {
            self.idle_since = now;
        }
        if let Some(idle) = self.tasks.options.idle
            && !self.is_over
            && now.duration_since(self.idle_since) >= idle
        {
            self.is_over = true;
            let why = format!("this agent ends: there was no work for {} s (POOLMAP_IDLE)", idle.as_secs_f64());
            tell(&why);
            self.arrivals.push_back(Arrival::Message(ToAgent::Stop(())));
        }
    }
}

impl Link for NatsLink {
    fn poll(&mut self, wait: Duration) -> Option<Arrival> {
        let until = Instant::now() + wait;
        loop {
            let now = Instant::now();
            self.tick(now);
            if let Some(arrival) = self.arrivals.pop_front() {
                return Some(arrival);
            }
            let due = self.joined.as_ref().map_or(now + TICK_MAX, Membership::next_tick);
            let next = until.min(due).min(now + TICK_MAX);
            match self.lane.wait(next.saturating_duration_since(now)) {
                Waited::Notice(notice) => self.apply(notice, Instant::now()),
                Waited::Woken => return None,
                Waited::TimedOut if Instant::now() >= until => return None,
                Waited::TimedOut => {}
            }
        }
    }

    fn send(&mut self, message: FromAgent) {
        self.in_session(|joined| joined.answer(message));
    }

    fn waker(&self) -> Arc<dyn Fn() + Send + Sync> {
        self.lane.waker()
    }

    fn refused_code(&self) -> i32 {
        EXIT_REFUSED
    }

    fn close(mut self: Box<Self>, _code: i32) {
        let until = Instant::now() + CLOSE_TIME;
        self.send(FromAgent::Goodbye(()));
        while self.joined.as_ref().is_some_and(Membership::has_letters) && Instant::now() < until {
            if let Waited::Notice(notice) = self.lane.wait(until.saturating_duration_since(Instant::now())) {
                self.apply(notice, Instant::now());
            }
        }
        self.in_session(Membership::leave);
        // The server gives out again what it has not heard of.
        let _ = self.lane.run(async { tokio::time::timeout(FLUSH_TIME, self.tasks.courier.flush()).await });
    }
}
