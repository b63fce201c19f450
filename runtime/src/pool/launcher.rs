//! How the supervisor makes the processes of workers: by executing the program for each, or by a fork server, which it keeps alive.

use std::time::{Duration, Instant};

use super::rules::{Settings, StartMethod};
use super::scheduler::Slot;
use super::state::{Phase, PoolShared};
use crate::child::{self, ForkServer, Particulars, ServerEnd, ServerOptions, StartError};
use crate::sys::{self, ChildProcess, Surroundings, Watch};
use crate::transport::ParentChannel;

/// Where the end of the server cannot be waited for by a descriptor, it is looked for this often.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Makes the processes.
pub(super) enum Launcher {
    Spawn,
    Server {
        server: Option<Box<ForkServer>>,
        /// Another is not started before this.
        not_before: Instant,
        /// Workers are not started before that moment, or before the server is ready.
        is_waited_for: bool,
    },
}

impl Launcher {
    pub(super) fn new(method: StartMethod) -> Self {
        match method {
            StartMethod::Spawn => Self::Spawn,
            StartMethod::ForkServer => Self::Server { server: None, not_before: Instant::now(), is_waited_for: false },
        }
    }

    /// Makes the process of a worker; none before the fork server is ready.
    pub(super) fn start(
        &mut self,
        shared: &PoolShared,
        surroundings: &Surroundings,
        slot: Slot,
    ) -> Result<Option<(ChildProcess, ParentChannel)>, StartError> {
        let settings = &shared.settings;
        let particulars = settings.per_worker.of(slot, settings.workers, &shared.environments);
        let started = match self {
            Self::Spawn => {
                child::start(&settings.entry, &settings.start, surroundings, Some(&shared.arena), &particulars)
            }
            Self::Server { server: Some(server), .. } if server.is_ready() => start_by(server, shared, &particulars),
            Self::Server { server: Some(_), .. } => return Ok(None),
            Self::Server { server, not_before, .. } => {
                if *not_before > Instant::now() {
                    return Ok(None);
                }
                let name = settings.per_worker.server_name();
                match ForkServer::start(options(settings), surroundings, name, shared.preload.clone()) {
                    Ok(started) => {
                        *server = Some(Box::new(started));
                        return Ok(None);
                    }
                    Err(error) => Err(error),
                }
            }
        };
        match started {
            // A server that died takes its requests with it, and is judged when it is reaped.
            Err(_) if self.has_lost_server() => Ok(None),
            started => started.map(Some),
        }
    }

    /// Whether there is a server that makes no more workers.
    fn has_lost_server(&self) -> bool {
        matches!(self, Self::Server { server: Some(server), .. } if !server.is_ready())
    }

    /// Takes in what has happened to the server, and ends it when the pool ends.
    pub(super) fn attend(&mut self, shared: &PoolShared) {
        let Self::Server { server, not_before, is_waited_for } = self else {
            return;
        };
        let now = Instant::now();
        if let Some(running) = server {
            if matches!(shared.lock().phase, Phase::Closing | Phase::Finishing) {
                running.end();
            }
            let was_ready = running.is_ready();
            let end = running.attend(now);
            if running.is_ready() && !was_ready {
                let inherited = sys::resident_bytes(running.pid());
                shared.lock().inherited_bytes = inherited.unwrap_or(0);
            }
            if let Some(end) = end {
                *server = None;
                let mut state = shared.lock();
                let wait = match end {
                    ServerEnd::InOrder => Duration::ZERO,
                    ServerEnd::Failed(message) => state.preload_failed(message),
                    ServerEnd::Died(message, origin) => state.server_died(message, origin),
                };
                *not_before = now + wait;
            }
        }
        *is_waited_for = match server {
            Some(server) => !server.is_ready(),
            None => *not_before > now,
        };
        shared.lock().waits_for_server = *is_waited_for;
    }

    /// Whether no server is left.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Spawn | Self::Server { server: None, .. })
    }

    /// What to wait for beside the workers.
    pub(super) fn watches(&self) -> impl Iterator<Item = Watch<'_>> {
        let server = match self {
            Self::Server { server: Some(server), .. } => Some(server),
            Self::Spawn | Self::Server { server: None, .. } => None,
        };
        server.into_iter().flat_map(|server| server.watches())
    }

    /// When it is to be attended to if nothing happens before.
    pub(super) fn next_look(&self, now: Instant) -> Option<Instant> {
        match self {
            Self::Spawn => None,
            Self::Server { server: None, not_before, is_waited_for } => is_waited_for.then_some(*not_before),
            Self::Server { server: Some(server), .. } => {
                server.deadline().into_iter().chain(server.is_blind().then(|| now + LOOK_INTERVAL)).min()
            }
        }
    }
}

fn options(settings: &Settings) -> ServerOptions<'_> {
    ServerOptions {
        entry: &settings.entry,
        start: &settings.start,
        startup_timeout: settings.startup_timeout,
        preload_timeout: settings.preload.timeout,
    }
}

fn start_by(
    server: &mut ForkServer,
    shared: &PoolShared,
    particulars: &Particulars,
) -> Result<(ChildProcess, ParentChannel), StartError> {
    let known: Vec<u32> = shared.lock().pids().collect();
    server.start_worker(options(&shared.settings), &shared.arena, particulars, |pid| known.contains(&pid))
}
