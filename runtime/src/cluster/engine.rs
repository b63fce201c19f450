//! What an engine for clusters is to the dispatcher: it carries work to nodes and their messages back. It knows nothing of calls.

use std::sync::Arc;
use std::time::Duration;

use crate::shared::Segment;

use super::messages::{CallTask, Done, FromAgent, Setup, ToAgent, Work};

/// An agent is not believed to have more workers.
pub(super) const WORKERS_MAX: usize = 1 << 16;

/// A node, by the number that its engine gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub(crate) u64);

/// How much more an engine takes, and what it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Capacity {
    /// How many parcels it takes now.
    pub(super) room: usize,
    pub(super) nodes: usize,
    pub(super) workers: usize,
}

/// What has become of work that was given to an engine.
#[derive(Debug)]
pub(super) enum SendOutcome {
    /// It is on its way, to this node where the engine says which.
    To(Option<NodeId>),
    /// It has no room.
    Full,
}

/// What an engine tells.
#[derive(Debug)]
pub(super) enum EngineEvent {
    /// A node takes work; or one that did has another number of workers.
    Up { node: NodeId, workers: usize },
    /// A node is gone, and what it had with it: all that was sent to it, where the engine does not say what it held.
    Down { node: NodeId, host: String, why: String, held: Option<Vec<u64>> },
    /// A node cannot run tasks, and is given no more of them. It gives back by itself what it has.
    OutOfService { node: NodeId, host: String, why: String },
    /// A node may not take part.
    Refused { why: String },
    /// A node has outcomes.
    Done(Done),
    /// A node gives work back that it has not begun.
    Returned { works: Vec<u64> },
    #[cfg_attr(not(feature = "nats"), allow(dead_code, reason = "no other engine looks for what it has lost"))]
    /// The engine has lost what carries its messages, and looks for it.
    Lost { why: String },
    #[cfg_attr(not(feature = "nats"), allow(dead_code, reason = "no other engine looks for what it has lost"))]
    /// It has found it again.
    Back,
}

/// Carries work to nodes. One thread owns it.
pub(super) trait ClusterEngine {
    /// What it takes now.
    fn capacity(&self) -> Capacity;

    /// Whether nodes may come that are not there.
    fn may_grow(&self) -> bool;

    /// Sends work to a node that has room for it, behind the segments that it names, where the node does not have them. It holds a
    /// segment no longer than anyone else does, and has the nodes forget it then.
    fn try_send(&mut self, work: Work, segments: &[Arc<Segment>]) -> SendOutcome;

    /// Has all nodes, present and later ones, make their pools with these options. A node that is out of service takes work again, until it
    /// reports that it cannot make this pool either.
    fn set_up(&mut self, setup: Setup);

    /// A call has ended: its work is dropped, and what runs of it is killed or finished.
    fn end_call(&mut self, call: u64, kills: bool);

    /// A task has ended of which a node has the work.
    fn abort(&mut self, task: CallTask);

    /// Returns what has happened, and waits for it for so long, or until it is woken.
    fn poll(&mut self, wait: Duration) -> Option<EngineEvent>;

    /// Wakes [`poll`](Self::poll), from any thread.
    fn waker(&self) -> Arc<dyn Fn() + Send + Sync>;

    /// Ends the session of a program that ends with this code: the nodes may go.
    fn close(self: Box<Self>, code: i32);
}

/// What has come to an agent.
#[derive(Debug)]
pub(super) enum Arrival {
    Message(ToAgent),
    /// The driver or the engine is gone for good.
    Gone {
        why: String,
    },
}

/// Carries an agent's messages to its driver and back. One thread owns it.
pub(super) trait Link {
    /// Returns what has come, and waits for it for so long, or until it is woken.
    fn poll(&mut self, wait: Duration) -> Option<Arrival>;

    /// Sends a message. It does not wait.
    fn send(&mut self, message: FromAgent);

    /// Wakes [`poll`](Self::poll), from any thread.
    fn waker(&self) -> Arc<dyn Fn() + Send + Sync>;

    /// The exit code of an agent that may not take part.
    fn refused_code(&self) -> i32;

    /// Sends what waits, and ends. The process ends with this code.
    fn close(self: Box<Self>, code: i32);
}
