//! The session of this process, if it is one of a cluster: begun by `init()`, ended with the program.
//!
//! 1. An agent never leaves `begin`: it serves its driver, and ends.
//! 2. A driver's MPI starts before anything else of the program's, as a launcher waits for all ranks to do so.
//! 3. At the end of the program, however it ends, the session is closed: agents that wait for work would wait for ever.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::agent;
use super::binding::widen_lone_rank;
use super::driver::{DriverRules, Known, Session, tell};
#[cfg(feature = "nats")]
use super::environment::NatsAddress;
use super::environment::{ClusterPlan, ClusterRole, ClusterSettings, EngineChoice, EnvironmentSnapshot};
use super::identity::ProgramIdentity;
use super::messages::{Hello, Setup};
use super::mpi::{EXIT_REFUSED, Fabric, MpiEngine, MpiLink};
#[cfg(feature = "nats")]
use super::nats::{NatsEngine, NatsLink, NatsOptions};
use crate::error::{Error, Kind, Result};
use crate::pool::{self, Cluster, PoolShared, cpu_count};
use crate::progress::ServingNodes;
use crate::sys::{self, ForkMark};

/// What the program knows of its session.
struct Joined {
    session: Arc<Session>,
    engine: String,
    /// How many workers the driver's own node has, by `POOLMAP_DRIVER_WORKERS`.
    driver_workers: Option<usize>,
    /// How many it has where neither that nor the program says it.
    share: usize,
    generation: AtomicU64,
    /// The process whose session it is.
    owner: ForkMark,
}

static JOINED: OnceLock<Joined> = OnceLock::new();

/// Begins the session that the environment asks for. It never returns in an agent, and returns at once where there is no engine.
pub(crate) fn begin() {
    let plan = ClusterPlan::new(&EnvironmentSnapshot::capture()).unwrap_or_else(|error| refuse(&error.to_string()));
    if plan.settings.explains {
        plan.explanations.iter().for_each(|why| tell(why));
    }
    let begun = match plan.engine {
        EngineChoice::Local => return,
        EngineChoice::Mpi => begin_mpi(plan),
        #[cfg(feature = "nats")]
        EngineChoice::Nats(ref address) => {
            let address = address.clone();
            begin_nats(plan, &address)
        }
        #[cfg(not(feature = "nats"))]
        EngineChoice::Nats(_) => Err(
            "POOLMAP_ENGINE names a NATS server, and this program was built without the feature `nats` of poolmap: add it in Cargo.toml"
                .to_owned(),
        ),
    };
    begun.unwrap_or_else(|why| refuse(&why));
}

/// Prints why this process cannot be what it was started for, and ends it: at once, as MPI may be half begun.
fn refuse(why: &str) -> ! {
    tell(why);
    sys::exit_now(EXIT_REFUSED)
}

fn begin_mpi(plan: ClusterPlan) -> std::result::Result<(), String> {
    let identity = ProgramIdentity::own()?;
    let shown_build = identity.shown_build();
    let widened = widen_lone_rank(&plan.launch);
    let workers = workers_of_rank(&plan)?;
    let ClusterPlan { role, launch, settings, .. } = plan;
    widened.filter(|_| settings.explains).iter().for_each(|why| tell(why));
    let named = settings.mpi_library.clone();
    if role == ClusterRole::Agent {
        sys::watch_termination();
        let fabric = Fabric::start(&launch, named)?;
        agent::serve(Box::new(MpiLink::new(fabric)), Hello::new(identity, workers), settings.grace);
    }
    let (dead, rule) = (settings.dead, settings.build);
    let (tell_engine, told_engine) = std::sync::mpsc::channel();
    let size = launch.size;
    let session = Session::start(driver_rules(&settings), move || {
        let fabric = Fabric::start(&launch, named).map_err(Error::start)?;
        let library = fabric.library();
        let engine = format!("MPI ({}, {})", library.version(), library.name());
        let _ = tell_engine.send((engine, fabric.size()));
        let judge = move |hello: &Hello| identity.check(&hello.identity(), ClusterRole::Driver, rule).err();
        Ok(MpiEngine::new(fabric, Box::new(judge), dead))
    });
    let session = started(session)?;
    let (engine, size) = told_engine.recv().unwrap_or_else(|_| ("MPI".to_owned(), size.unwrap_or(0)));
    join(session, engine, &settings, workers);
    announce(size, &shown_build);
    Ok(())
}

/// Begins the session of a driver or an agent of a NATS server.
#[cfg(feature = "nats")]
fn begin_nats(plan: ClusterPlan, address: &NatsAddress) -> std::result::Result<(), String> {
    let identity = ProgramIdentity::own()?;
    let (shown_build, shown_program) = (identity.shown_build(), identity.program.clone());
    let workers = workers_of_rank(&plan)?;
    let ClusterPlan { role, settings, .. } = plan;
    let options = NatsOptions::new(address, &settings, identity);
    if role == ClusterRole::Agent {
        sys::watch_termination();
        let hello = Hello::new(options.identity.clone(), workers);
        let link = NatsLink::connect(options, hello.clone()).map_err(|error| error.to_string())?;
        agent::serve(Box::new(link), hello, settings.grace);
    }
    let (tell_engine, told_engine) = std::sync::mpsc::channel();
    let session = Session::start(driver_rules(&settings), move || {
        let engine = NatsEngine::connect(options)?;
        let _ = tell_engine.send(engine.description());
        Ok(engine)
    });
    let session = started(session)?;
    let engine = told_engine.recv().unwrap_or_else(|_| "NATS".to_owned());
    tell(&format!(
        "{engine}, build {shown_build}; this adds a node: POOLMAP_ENGINE={address} POOLMAP_ROLE=agent {shown_program}"
    ));
    join(session, engine, &settings, workers);
    Ok(())
}

fn driver_rules(settings: &ClusterSettings) -> DriverRules {
    DriverRules {
        losses_max: u32::try_from(settings.tries).unwrap_or(u32::MAX),
        node_wait: settings.engine_wait,
        has_own_workers: settings.driver_workers != Some(0),
    }
}

/// The session, or why it could not be started.
fn started(session: std::io::Result<Result<Arc<Session>>>) -> std::result::Result<Arc<Session>, String> {
    match session {
        Ok(Ok(session)) => Ok(session),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(sys::start_error("the thread of the cluster", &error)),
    }
}

/// Makes it the session of the program.
fn join(session: Arc<Session>, engine: String, settings: &ClusterSettings, share: usize) {
    let joined = Joined {
        session,
        engine,
        driver_workers: settings.driver_workers,
        share,
        generation: AtomicU64::new(0),
        owner: ForkMark::here(),
    };
    if JOINED.set(joined).is_ok() {
        pool::join_cluster(Arc::new(Program));
        sys::at_exit(close);
    }
}

/// How many workers a rank has.
fn workers_of_rank(plan: &ClusterPlan) -> std::result::Result<usize, String> {
    match pool::workers_from_environment() {
        Ok(Some(workers)) => Ok(workers),
        Ok(None) => Ok((cpu_count() / plan.launch.local_size.unwrap_or(1).max(1)).max(1)),
        Err(error) => Err(error.to_string()),
    }
}

/// Says in one line what the program runs on.
fn announce(processes: usize, build: &str) {
    let Some(joined) = joined() else {
        return;
    };
    tell(&format!("{}, {processes} processes, build {build}", joined.engine));
}

/// Ends the session of a program that ends with this code. The agents end with it.
fn close(code: i32) {
    if let Some(joined) = joined() {
        joined.session.close(code);
    }
}

/// The session, in the process whose it is.
fn joined() -> Option<&'static Joined> {
    JOINED.get().filter(|joined| joined.owner.is_here())
}

/// What the global pool of this program gives its tasks to.
struct Program;

impl Cluster for Program {
    fn own_workers(&self, asked: Option<usize>) -> Option<usize> {
        let joined = joined()?;
        Some(joined.driver_workers.or(asked).unwrap_or(joined.share))
    }

    fn made(&self, pool: &Arc<PoolShared>, options: Vec<u8>) {
        if let Some(joined) = joined() {
            let generation = joined.generation.fetch_add(1, Ordering::Relaxed) + 1;
            let setup = Setup { generation, options };
            joined.session.attach(pool, setup);
        }
    }

    fn ended(&self) {
        close(0);
    }
}

/// Describes the cluster that this program is the driver of. [`cluster`] returns it.
#[derive(Clone, Debug)]
pub struct ClusterInfo {
    engine: String,
    known: Known,
    own_workers: usize,
}

impl ClusterInfo {
    /// Returns the engine that carries the tasks, as text: `MPI (Open MPI 4.1.4, libmpi.so.40)`.
    pub fn engine(&self) -> &str {
        &self.engine
    }

    /// Returns the number of nodes that take tasks: the agents that were welcome, and the node of the driver where it computes.
    pub fn nodes(&self) -> usize {
        self.known.nodes.len() + usize::from(self.own_workers > 0)
    }

    /// Returns the number of workers of these nodes.
    pub fn workers(&self) -> usize {
        self.known.nodes.values().sum::<usize>() + self.own_workers
    }

    /// Returns how often a task had an outcome already when another came, because it had run twice. The other was dropped.
    pub fn duplicates(&self) -> u64 {
        self.known.duplicates
    }
}

impl fmt::Display for ClusterInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} nodes, {} workers", self.engine, self.nodes(), self.workers())
    }
}

/// Returns the cluster that runs the calls that name no pool. `None` on one machine, in workers, and once the session has ended.
///
/// The numbers are those of this moment: agents come one by one, and may be lost.
pub fn cluster() -> Option<ClusterInfo> {
    let joined = joined()?;
    let known = joined.session.known();
    let own_workers = joined.driver_workers.unwrap_or_else(|| match pool::global_workers() {
        0 => joined.share,
        workers => workers,
    });
    (!known.is_over).then(|| ClusterInfo { engine: joined.engine.clone(), known, own_workers })
}

/// Who serves the calls that name no pool, for their progress.
pub(crate) fn serving_nodes() -> Option<ServingNodes> {
    cluster().map(|cluster| ServingNodes { nodes: cluster.nodes(), workers: cluster.workers() })
}

/// Waits until so many nodes take tasks, the node of this process among them where it computes.
///
/// A program need not call it: tasks begin with the first worker, and nodes that come later take their share.
///
/// # Errors
///
/// There are fewer nodes at the end of the time ([`Error::is_deadline`]): the error names how many there are, and why others were refused.
/// On one machine, there is one node.
pub fn wait_for_nodes(count: usize, timeout: Duration) -> Result<()> {
    let until = Instant::now().checked_add(timeout);
    let own = joined().map_or(1, |joined| usize::from(joined.driver_workers != Some(0)));
    let is_enough = |known: &Known| known.nodes.len() + own >= count;
    let known = match joined() {
        None if count <= 1 => return Ok(()),
        None => Known::default(),
        Some(joined) if joined.session.wait(until, is_enough) => return Ok(()),
        Some(joined) => joined.session.known(),
    };
    let refused = known.lost.iter().map(|why| format!("; {why}")).collect::<String>();
    let there = known.nodes.len() + own;
    Err(Error::new(Kind::TooFewNodes(format!("{there} of {count} nodes were there after {timeout:?}{refused}"))))
}
