//! How the supervisor makes the processes of workers: by executing the program for each, or by a fork server, which it keeps alive.

use std::time::{Duration, Instant};

use super::rules::{Settings, StartMethod};
use super::scheduler::Slot;
use super::state::{Phase, PoolShared};
use crate::child::{self, ForkServer, Particulars, ServerEnd, ServerOptions, ServerTimes, StartError};
use crate::sys::{self, ChildProcess, Surroundings, Watch};
use crate::task::Origin;
use crate::transport::ParentChannel;

/// Where the end of a process cannot be waited for by a descriptor, it is looked for this often.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// After a server that failed the next waits this long, and twice as long each time, up to 30 s: a preload takes long.
const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// Makes the processes.
pub(super) enum Launcher {
    Spawn,
    Server(ServerKeeper),
}

/// Keeps a fork server alive.
pub(super) struct ServerKeeper {
    server: Option<Box<ForkServer>>,
    /// Another is not started before this.
    not_before: Instant,
    /// So many servers in a row have not got ready.
    failures: u32,
    /// Servers that could not be ended; and workers that were killed: those that a dead server had made and not named, and those that
    /// are to follow no other any more.
    servers_left: Vec<ForkServer>,
    workers_left: Vec<ChildProcess>,
    standbys_max: usize,
}

impl Launcher {
    pub(super) fn new(method: StartMethod) -> Self {
        match method {
            StartMethod::Spawn => Self::Spawn,
            StartMethod::ForkServer => Self::Server(ServerKeeper {
                server: None,
                not_before: Instant::now(),
                failures: 0,
                servers_left: Vec::new(),
                workers_left: Vec::new(),
                standbys_max: sys::cpu_count(),
            }),
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
        let particulars = Particulars {
            sandbox: settings.sandbox(),
            notes: settings.notes(),
            namespaces: settings.namespaces(),
            is_initialized: settings.initializer.call.is_some(),
            ..settings.per_worker.of(slot, settings.workers, &shared.environments)
        };
        match self {
            Self::Spawn => {
                let arena = Some(&*shared.arena);
                child::start(&settings.entry, &settings.start, surroundings, arena, &particulars).map(Some)
            }
            Self::Server(keeper) => keeper.start(shared, surroundings, &particulars),
        }
    }

    /// Takes in what has happened to the server, and ends it when the pool ends.
    pub(super) fn attend(&mut self, shared: &PoolShared) {
        if let Self::Server(keeper) = self {
            keeper.attend(shared);
        }
    }

    /// How many processes are made ahead at most: see `standby`.
    pub(super) fn standbys_max(&self) -> usize {
        match self {
            Self::Spawn => 0,
            Self::Server(keeper) => keeper.standbys_max,
        }
    }

    /// Whether no server is left, nor what it has made for nothing.
    pub(super) fn is_gone(&self) -> bool {
        match self {
            Self::Spawn => true,
            Self::Server(keeper) => keeper.server.is_none() && keeper.workers_left.is_empty(),
        }
    }

    /// What to wait for beside the workers.
    pub(super) fn watches(&self) -> impl Iterator<Item = Watch<'_>> {
        let keeper = match self {
            Self::Server(keeper) => Some(keeper),
            Self::Spawn => None,
        };
        let server = keeper.and_then(|keeper| keeper.server.as_ref());
        let left = keeper.into_iter().flat_map(|keeper| &keeper.workers_left);
        let left = left.filter_map(ChildProcess::borrowed_descriptor).map(Watch::read);
        server.into_iter().flat_map(|server| server.watches()).chain(left)
    }

    /// When it is to be attended to if nothing happens before.
    pub(super) fn next_look(&self, shared: &PoolShared, now: Instant) -> Option<Instant> {
        let Self::Server(keeper) = self else {
            return None;
        };
        let is_blind = keeper.server.as_ref().is_some_and(|server| server.is_blind());
        let mut left = keeper.workers_left.iter();
        let is_blind = is_blind || left.any(|worker| worker.borrowed_descriptor().is_none());
        let blind = is_blind.then(|| now + LOOK_INTERVAL);
        let left = keeper.workers_left.iter().filter_map(ChildProcess::reach_deadline);
        let deadline = match &keeper.server {
            None => shared.lock().waits_for_server.then_some(keeper.not_before),
            Some(server) => server.deadline(),
        };
        deadline.into_iter().chain(blind).chain(left).min()
    }
}

impl ServerKeeper {
    fn start(
        &mut self,
        shared: &PoolShared,
        surroundings: &Surroundings,
        particulars: &Particulars,
    ) -> Result<Option<(ChildProcess, ParentChannel)>, StartError> {
        let Some(server) = &mut self.server else {
            if self.not_before <= Instant::now() {
                let settings = &shared.settings;
                // It does not enter the sandbox, and prepares what its copies need there.
                let particulars = Particulars {
                    name: settings.per_worker.server_name(),
                    sandbox: settings.sandbox(),
                    ..Particulars::default()
                };
                let times = ServerTimes { startup: settings.startup_timeout, preload: settings.preload.timeout };
                let server =
                    ForkServer::start(options(settings), times, surroundings, particulars, shared.preload.clone())?;
                self.server = Some(Box::new(server));
            }
            return Ok(None);
        };
        if !server.is_ready() {
            return Ok(None);
        }
        let known: Vec<u32> = shared.lock().pids().collect();
        let is_ending = || shared.lock().phase != Phase::Running;
        let is_known = |pid| known.contains(&pid);
        match server.start_worker(options(&shared.settings), &shared.arena, particulars, is_known, is_ending) {
            // A server that died takes its requests with it, and is judged when it is reaped.
            Err(_) if !server.is_ready() => Ok(None),
            started => started.map(Some),
        }
    }

    fn attend(&mut self, shared: &PoolShared) {
        let now = Instant::now();
        self.servers_left.retain_mut(|server| !server.is_gone());
        self.workers_left.extend(shared.lock().take_surplus_standbys());
        self.workers_left.retain_mut(|worker| worker.try_reap().is_none() && worker.out_of_reach().is_none());
        if let Some(server) = &mut self.server {
            if matches!(shared.lock().phase, Phase::Closing | Phase::Finishing) {
                server.end();
            }
            let was_ready = server.is_ready();
            let end = server.attend(now);
            if server.is_ready() && !was_ready {
                self.failures = 0;
                let inherited = sys::anonymous_bytes(server.pid());
                shared.lock().inherited_bytes = inherited.unwrap_or(0);
            }
            if let Some(end) = end {
                self.ended(shared, end, now);
            }
        }
        let waits_for_server = match &self.server {
            Some(server) => !server.is_ready(),
            None => self.not_before > now,
        };
        shared.lock().waits_for_server = waits_for_server;
    }

    /// Applies the end of the server.
    fn ended(&mut self, shared: &PoolShared, end: ServerEnd, now: Instant) {
        let Some(server) = self.server.take() else {
            return;
        };
        if server.is_asked() {
            self.end_unnamed(shared);
        }
        if matches!(end, ServerEnd::OutOfReach(_)) {
            self.servers_left.push(*server);
        }
        let before = self.failures;
        self.failures = before.saturating_add(1);
        let mut state = shared.lock();
        match end {
            ServerEnd::InOrder => return,
            ServerEnd::Failed(message) => state.preload_failed(message),
            ServerEnd::Died { message, origin: Origin::Outside, moment } => state.server_killed(&message, moment),
            ServerEnd::Died { message, origin: Origin::Itself, .. } | ServerEnd::OutOfReach(message) => {
                state.server_died(message);
            }
        }
        let wait = BACKOFF_MIN.saturating_mul(2u32.saturating_pow(before.min(20))).min(BACKOFF_MAX);
        self.not_before = now + wait;
    }

    /// Ends what a dead server had made and not named: a child of this thread that is no worker of the pool's.
    fn end_unnamed(&mut self, shared: &PoolShared) {
        let known: Vec<u32> = shared.lock().pids().collect();
        for pid in sys::children_of_this_thread() {
            if !known.contains(&pid)
                && let Ok(mut unnamed) = ChildProcess::adopt(pid)
            {
                let _ = unnamed.kill();
                self.workers_left.push(unnamed);
            }
        }
    }
}

fn options(settings: &Settings) -> ServerOptions<'_> {
    ServerOptions { entry: &settings.entry, start: &settings.start }
}
