//! An agent: a process of the program that runs none of it, and gives the work of a driver to a pool of its own machine.
//!
//! 1. It has the pool that the driver's program has asked for, made anew with each generation.
//! 2. Asked to end by SIGTERM, it takes nothing more, gives back what no worker has begun, and goes on with the rest for `POOLMAP_GRACE`.
//! 3. Whatever happens, the workers end with it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::engine::{Arrival, Link};
use super::messages::{Beat, CallEnd, FromAgent, Hello, SegmentForm, Setup, ToAgent};
use super::node::{Node, Outbox, Segments};
use crate::error::Result;
use crate::locks::{Lock, Rank, Ranked};
use crate::output;
use crate::pool::{self, Pool};
use crate::sys;

/// An agent reports its work this often.
const BEAT_INTERVAL: Duration = Duration::from_secs(1);

/// The exit code of an agent whose driver is gone.
const EXIT_ALONE: i32 = 1;
/// The exit code of a process that a SIGTERM has ended, as shells tell it.
const EXIT_TERMINATED: i32 = 128 + 15;

/// How an agent ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AgentEnd {
    /// The session is over, or it has given back all that it had.
    InOrder,
    /// It may not take part.
    Refused,
    /// The driver is gone.
    Alone,
    /// It was asked to end, and could not finish what it had in time.
    Terminated,
}

/// Messages to the driver that wait to be sent.
#[derive(Default)]
struct WaitingMessages(VecDeque<FromAgent>);

impl Ranked for WaitingMessages {
    const RANK: Rank = Rank::NodeOutbox;
}

struct AgentServer {
    link: Box<dyn Link>,
    outgoing: Arc<Lock<WaitingMessages>>,
    outbox: Outbox,
    workers: usize,
    share: Option<Share>,
    segments: Segments,
    /// When it was asked to end, and how long it may take.
    ending: Option<Instant>,
    grace: Duration,
}

/// The pool of one generation, and the work that it runs.
struct Share {
    pool: Pool,
    node: Node,
}

/// Serves the driver at the other end of a link until one of both ends, and ends the process.
pub(super) fn serve(mut link: Box<dyn Link>, hello: Hello, grace: Duration) -> ! {
    let outgoing: Arc<Lock<WaitingMessages>> = Arc::default();
    let (queue, waker) = (Arc::clone(&outgoing), link.waker());
    let outbox: Outbox = Arc::new(move |message| {
        queue.lock().0.push_back(message);
        waker();
    });
    let workers = (hello.workers as usize).max(1);
    output::set_node(hello.host.clone());
    link.send(FromAgent::Hello(hello));
    let mut agent =
        AgentServer { link, outgoing, outbox, workers, share: None, segments: Segments::new(), ending: None, grace };
    let code = match agent.run() {
        AgentEnd::InOrder => 0,
        AgentEnd::Refused => agent.link.refused_code(),
        AgentEnd::Alone => EXIT_ALONE,
        AgentEnd::Terminated => EXIT_TERMINATED,
    };
    agent.drop_share();
    agent.link.close(code);
    std::process::exit(code)
}

impl AgentServer {
    fn run(&mut self) -> AgentEnd {
        let mut beat_at = Instant::now() + BEAT_INTERVAL;
        loop {
            let now = Instant::now();
            if now >= beat_at {
                beat_at = now + BEAT_INTERVAL;
                let held = self.share.as_ref().map(|share| share.node.held()).unwrap_or_default();
                self.link.send(FromAgent::Beat(Beat { held }));
            }
            if let Some(end) = self.attend_ending(now) {
                return end;
            }
            if let Some(arrival) = self.link.poll(beat_at.saturating_duration_since(now))
                && let Some(end) = self.apply(arrival)
            {
                return end;
            }
            self.flush();
        }
    }

    /// Sends what waits.
    fn flush(&mut self) {
        loop {
            let next = self.outgoing.lock().0.pop_front();
            let Some(message) = next else {
                return;
            };
            self.link.send(message);
        }
    }

    /// Goes on with its end, once it was asked for (rule 2).
    fn attend_ending(&mut self, now: Instant) -> Option<AgentEnd> {
        if self.ending.is_none() && sys::is_asked_to_end() {
            self.ending = Some(now + self.grace);
        }
        let until = self.ending?;
        let is_left = self.share.as_mut().is_some_and(|share| share.node.give_back());
        self.flush();
        if !is_left || until <= now {
            self.link.send(FromAgent::Goodbye(()));
            return Some(if is_left { AgentEnd::Terminated } else { AgentEnd::InOrder });
        }
        None
    }

    fn apply(&mut self, arrival: Arrival) -> Option<AgentEnd> {
        match arrival {
            Arrival::Message(ToAgent::Welcome(_)) => {}
            Arrival::Message(ToAgent::Refused(why)) => {
                super::driver::tell(&why);
                return Some(AgentEnd::Refused);
            }
            Arrival::Message(ToAgent::Setup(setup)) => {
                self.drop_share();
                match self.make_share(&setup) {
                    Ok(share) => {
                        let workers = share.node.workers();
                        (self.outbox)(FromAgent::Ready(u32::try_from(workers).unwrap_or(u32::MAX)));
                        self.share = Some(share);
                    }
                    Err(error) => (self.outbox)(FromAgent::Failed(error.to_string())),
                }
            }
            Arrival::Message(ToAgent::Work(work)) => match &mut self.share {
                Some(share) if self.ending.is_none() => share.node.begin(work, &self.segments),
                _ => (self.outbox)(FromAgent::Returned(vec![work.id])),
            },
            Arrival::Message(ToAgent::End(CallEnd { call, kills })) => {
                if let Some(share) = &mut self.share {
                    share.node.end(call, kills);
                }
            }
            Arrival::Message(ToAgent::Abort(task)) => {
                if let Some(share) = &self.share {
                    share.node.abort(&task);
                }
            }
            Arrival::Message(ToAgent::Segment(SegmentForm { id, bytes })) => {
                match self.share.as_ref().map(|share| share.node.segment(bytes)) {
                    Some(Ok(segment)) => drop(self.segments.insert(id, segment)),
                    Some(Err(error)) => (self.outbox)(FromAgent::Failed(error.to_string())),
                    None => {}
                }
            }
            Arrival::Message(ToAgent::Forget(ids)) => self.segments.retain(|id, _| !ids.contains(id)),
            Arrival::Message(ToAgent::Stop(())) => return Some(AgentEnd::InOrder),
            Arrival::Gone { why } => {
                super::driver::tell(&why);
                return Some(AgentEnd::Alone);
            }
        }
        None
    }

    fn make_share(&self, setup: &Setup) -> Result<Share> {
        let pool = pool::of_node(&setup.options, self.workers)?;
        let node = Node::new(pool.shared()?, Arc::clone(&self.outbox));
        Ok(Share { pool, node })
    }

    fn drop_share(&mut self) {
        if let Some(Share { pool, node }) = self.share.take() {
            node.close();
            pool.terminate();
        }
    }
}
