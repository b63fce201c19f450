//! The agents of a session, by their signs of life. It asks no clock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::forms::AgentBeat;

/// An agent that says nothing for so long is lost.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// What an agent has sent before it left is read within this.
const LEAVE_TIME: Duration = Duration::from_millis(500);

/// The agents that are there.
#[derive(Default)]
pub(super) struct Agents(BTreeMap<u64, KnownAgent>);

struct KnownAgent {
    host: String,
    held: Vec<u64>,
    workers: u32,
    /// It is lost behind this.
    until: Instant,
    is_leaving: bool,
    /// It could not make its pool, or has lost it.
    is_out: bool,
}

/// An agent that is there no more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GoneAgent {
    pub(super) agent: u64,
    pub(super) host: String,
    /// What it had, by its last sign of life; nothing where it left in order.
    pub(super) held: Vec<u64>,
    pub(super) is_left: bool,
    /// It took no works any more.
    pub(super) is_out: bool,
}

impl Agents {
    /// Applies a sign of life; returns whether the agent is new, or has another number of workers, and is in service.
    pub(super) fn seen(&mut self, beat: AgentBeat, now: Instant) -> bool {
        let AgentBeat { agent, hello, held, is_leaving } = beat;
        if is_leaving {
            if let Some(known) = self.0.get_mut(&agent) {
                known.is_leaving = true;
                known.until = now + LEAVE_TIME;
            }
            return false;
        }
        let is_out = self.0.get(&agent).is_some_and(|known| known.is_out);
        let (workers, until) = (hello.workers, now + SILENCE_MAX);
        let before = self.0.insert(agent, KnownAgent { host: hello.host, held, workers, until, is_leaving, is_out });
        !is_out && before.is_none_or(|before| before.workers != workers)
    }

    /// Takes an agent out of service, of which there may have been no sign of life; returns whether it was in service.
    pub(super) fn take_out(&mut self, agent: u64, host: &str, now: Instant) -> bool {
        let unseen = || KnownAgent {
            host: host.to_owned(),
            held: Vec::new(),
            workers: 0,
            until: now + SILENCE_MAX,
            is_leaving: false,
            is_out: false,
        };
        let known = self.0.entry(agent).or_insert_with(unseen);
        !std::mem::replace(&mut known.is_out, true)
    }

    /// Forgets who is out of service: its next sign of life makes it new.
    pub(super) fn forget_out(&mut self) {
        self.0.retain(|_, known| !known.is_out);
    }

    /// Forgets an agent that has a pool again, if it is out of service.
    pub(super) fn forget_if_out(&mut self, agent: u64) {
        self.0.retain(|&other, known| other != agent || !known.is_out);
    }

    /// Takes out who is gone.
    pub(super) fn take_gone(&mut self, now: Instant) -> Vec<GoneAgent> {
        let gone: Vec<u64> = self.0.iter().filter(|(_, known)| known.until <= now).map(|(&agent, _)| agent).collect();
        gone.into_iter().filter_map(|agent| self.take(agent)).collect()
    }

    /// Takes out all of them.
    pub(super) fn take_all(&mut self) -> Vec<GoneAgent> {
        let all: Vec<u64> = self.0.keys().copied().collect();
        all.into_iter().filter_map(|agent| self.take(agent)).collect()
    }

    fn take(&mut self, agent: u64) -> Option<GoneAgent> {
        let KnownAgent { host, held, is_leaving, is_out, .. } = self.0.remove(&agent)?;
        Some(GoneAgent { agent, host, held: if is_leaving { Vec::new() } else { held }, is_left: is_leaving, is_out })
    }

    /// Gives all of them their time again: nothing could be heard of them.
    pub(super) fn excuse(&mut self, now: Instant) {
        for known in self.0.values_mut() {
            known.until = known.until.max(now + SILENCE_MAX);
        }
    }

    /// Whether an agent has a work, as far as is known.
    pub(super) fn has(&self, work: u64) -> bool {
        self.0.values().any(|known| known.held.contains(&work))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::messages::Hello;

    fn beat(agent: u64, held: &[u64]) -> AgentBeat {
        let hello =
            Hello { build: "b".into(), table: 1, host: format!("node{agent}"), program: "app".into(), workers: 2 };
        AgentBeat { agent, hello, held: held.to_vec(), is_leaving: false }
    }

    #[test]
    fn who_is_silent_is_gone_with_what_it_said_last() {
        let (mut agents, start) = (Agents::default(), Instant::now());
        assert!(agents.seen(beat(1, &[7]), start));
        assert!(agents.seen(beat(2, &[8]), start));
        assert!(!agents.seen(beat(1, &[9]), start + Duration::from_secs(3)));
        assert!(agents.has(9) && !agents.has(7));
        assert_eq!(agents.take_gone(start + Duration::from_millis(4999)), []);
        let gone = GoneAgent { agent: 2, host: "node2".into(), held: vec![8], is_left: false, is_out: false };
        assert_eq!(agents.take_gone(start + Duration::from_secs(5)), [gone]);
        agents.excuse(start + Duration::from_secs(60));
        assert_eq!(agents.take_gone(start + Duration::from_secs(64)), []);
        assert_eq!(agents.take_gone(start + Duration::from_secs(65)).len(), 1);
        assert!(agents.seen(beat(2, &[]), start), "it is back");
    }

    #[test]
    fn who_is_out_of_service_stays_so_until_it_is_forgotten() {
        let (mut agents, start) = (Agents::default(), Instant::now());
        assert!(agents.seen(beat(1, &[7]), start));
        assert!(agents.take_out(1, "node1", start) && !agents.take_out(1, "node1", start));
        assert!(!agents.seen(beat(1, &[]), start));
        assert!(agents.take_out(2, "node2", start), "its sign of life comes later");
        assert!(!agents.seen(beat(2, &[]), start));
        agents.forget_out();
        assert!(agents.seen(beat(1, &[]), start));
        assert!(agents.take_out(1, "node1", start));
        agents.forget_if_out(1);
        assert!(agents.seen(beat(1, &[]), start));
        agents.forget_if_out(1);
        assert!(!agents.seen(beat(1, &[]), start), "it was in service, and is");
        assert!(agents.take_out(1, "node1", start));
        let gone = GoneAgent { agent: 1, host: "node1".into(), held: Vec::new(), is_left: false, is_out: true };
        assert_eq!(agents.take_gone(start + SILENCE_MAX), [gone]);
    }

    #[test]
    fn another_number_of_workers_is_news_of_an_agent_in_service() {
        let (mut agents, start) = (Agents::default(), Instant::now());
        let with = |workers| {
            let beat = beat(1, &[]);
            AgentBeat { hello: Hello { workers, ..beat.hello }, ..beat }
        };
        assert!(agents.seen(with(2), start) && !agents.seen(with(2), start));
        assert!(agents.seen(with(5), start) && !agents.seen(with(5), start));
        agents.take_out(1, "node1", start);
        assert!(!agents.seen(with(2), start));
    }

    #[test]
    fn who_leaves_loses_nothing() {
        let (mut agents, start) = (Agents::default(), Instant::now());
        let leave = || AgentBeat { is_leaving: true, ..beat(1, &[7]) };
        assert!(!agents.seen(leave(), start), "nobody knew it");
        agents.seen(beat(1, &[7]), start);
        agents.seen(leave(), start);
        let gone = GoneAgent { agent: 1, host: "node1".into(), held: Vec::new(), is_left: true, is_out: false };
        assert_eq!(agents.take_gone(start + LEAVE_TIME), [gone]);
    }
}
