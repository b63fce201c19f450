//! Which engine connects the processes, and which of them this one is: decided by the environment alone, so that the same program
//! runs on a laptop and on a cluster.
//!
//! 1. `POOLMAP_ENGINE` decides. With `auto`, the default, MPI is the engine of a job that a launcher has started as more than one
//!    process, and there is none otherwise.
//! 2. Under `POOLMAP_ENGINE=local` each process of a job is a program of its own.
//! 3. `POOLMAP_ROLE` decides what this process is. With `auto`, the default, it is an agent if its rank is above 0.
//! 4. Under MPI the driver is rank 0, as that is where the agents look for it.

mod launch;
mod settings;
mod snapshot;
mod value;

#[cfg(test)]
mod tests;

pub(crate) use launch::{Launch, LaunchedBy};
pub(crate) use settings::{BuildRule, ClusterSettings};
#[cfg(feature = "nats")]
pub(crate) use settings::{NatsSettings, NatsStorage};
pub(crate) use snapshot::EnvironmentSnapshot;

use crate::error::{Error, Result};

/// What connects the processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EngineChoice {
    /// Nothing: this process has its own pools only.
    Local,
    Mpi,
    Nats(NatsAddress),
}

/// The address of a NATS server, which may hold a password. `Display` leaves that out.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct NatsAddress(String);

/// What this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClusterRole {
    Driver,
    Agent,
}

/// What the environment says.
#[derive(Clone, Debug)]
pub(crate) struct ClusterPlan {
    pub(crate) engine: EngineChoice,
    pub(crate) role: ClusterRole,
    pub(crate) launch: Launch,
    pub(crate) settings: ClusterSettings,
    /// Why, in whole sentences, for `POOLMAP_EXPLAIN=1`.
    pub(crate) explanations: Vec<String>,
}

impl ClusterPlan {
    /// Decides by the environment.
    ///
    /// # Errors
    ///
    /// A variable has a value that is not allowed, the variables contradict each other, or the launcher has not set up what MPI needs.
    pub(crate) fn new(variables: &EnvironmentSnapshot) -> Result<Self> {
        let asked = asked_engine(variables)?;
        let settings = ClusterSettings::read(variables)?;
        let asked_role =
            value::choice(variables, ROLE, &[("auto", None), ("driver", Some(Driver)), ("agent", Some(Agent))])?
                .flatten();
        if asked == Some(EngineChoice::Local) {
            return Self::independent(settings, asked_role);
        }
        let launch = Launch::read(variables).map_err(|error| {
            Error::invalid_option(format!("{error}; {ENGINE}=local ignores the variables of launchers"))
        })?;
        let mut explanations = vec![launch.explanation()];
        let is_automatic = asked.is_none();
        let engine = match asked {
            Some(engine) => {
                explanations.push(format!("The engine is {engine}, as {ENGINE} says."));
                engine
            }
            None => {
                let engine = if launch.is_mpi_job() { EngineChoice::Mpi } else { EngineChoice::Local };
                explanations.push(automatic_engine(&engine));
                engine
            }
        };
        let needs_manager = is_automatic || engine == EngineChoice::Mpi;
        if needs_manager && launch.by == LaunchedBy::SlurmStep && launch.size != Some(1) {
            return Err(no_process_manager(launch.size.unwrap_or(0)));
        }
        let role = role(&engine, asked_role, &launch, &mut explanations)?;
        Ok(Self { engine, role, launch, settings, explanations })
    }

    fn independent(settings: ClusterSettings, asked: Option<ClusterRole>) -> Result<Self> {
        let launch = Launch { by: LaunchedBy::Nothing, rank: 0, size: Some(1), local_size: Some(1) };
        let mut explanations =
            vec![format!("There is no engine, as {ENGINE}=local says, so this process is a program of its own.")];
        let role = role(&EngineChoice::Local, asked, &launch, &mut explanations)?;
        Ok(Self { engine: EngineChoice::Local, role, launch, settings, explanations })
    }
}

use ClusterRole::{Agent, Driver};

const ENGINE: &str = "POOLMAP_ENGINE";
const ROLE: &str = "POOLMAP_ROLE";

/// What `POOLMAP_ENGINE` asks for; `None` for `auto`.
fn asked_engine(variables: &EnvironmentSnapshot) -> Result<Option<EngineChoice>> {
    const ALLOWED: &str = "auto, local, mpi, nats://HOST:PORT or tls://HOST:PORT";
    let Some(text) = value::text(variables, ENGINE, ALLOWED)? else { return Ok(None) };
    match text.as_str() {
        "auto" => return Ok(None),
        "local" => return Ok(Some(EngineChoice::Local)),
        "mpi" => return Ok(Some(EngineChoice::Mpi)),
        _ => {}
    }
    let rest = ["nats://", "tls://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let host = rest.map(|rest| rest.rsplit('@').next().unwrap_or_default());
    match host.filter(|host| !host.is_empty() && !host.starts_with([':', '/']) && !text.contains(char::is_whitespace)) {
        Some(_) => Ok(Some(EngineChoice::Nats(NatsAddress(text)))),
        None => Err(value::refused(ENGINE, ALLOWED, &text)),
    }
}

fn automatic_engine(engine: &EngineChoice) -> String {
    match engine {
        EngineChoice::Local => {
            format!("There is no engine, as no launcher has started several processes ({ENGINE}=auto).")
        }
        _ => format!("The engine is MPI, as a launcher has started several processes ({ENGINE}=auto)."),
    }
}

fn role(
    engine: &EngineChoice,
    asked: Option<ClusterRole>,
    launch: &Launch,
    explanations: &mut Vec<String>,
) -> Result<ClusterRole> {
    let by_rank = if launch.rank > 0 && *engine != EngineChoice::Local { Agent } else { Driver };
    let Some(asked) = asked else {
        explanations.push(format!("It is {by_rank}, as its rank is {} ({ROLE}=auto).", launch.rank));
        return Ok(by_rank);
    };
    let refused = |why: &str| Err(Error::invalid_option(format!("`{ROLE}` must be auto, got {}: {why}", asked.word())));
    match engine {
        EngineChoice::Local if asked == Agent => {
            refused(&format!("without an engine there is no driver to work for; set {ENGINE} too"))
        }
        EngineChoice::Mpi if asked != by_rank => {
            refused(&format!("under MPI rank 0 is the driver, and this is rank {}", launch.rank))
        }
        _ => {
            explanations.push(format!("It is {asked}, as {ROLE} says."));
            Ok(asked)
        }
    }
}

fn no_process_manager(tasks: usize) -> Error {
    Error::invalid_option(format!(
        "srun has started {tasks} tasks without a process manager, so MPI cannot connect them: use `srun --mpi=pmix` (Open MPI) or \
         `srun --mpi=pmi2` (MPICH, Intel MPI, Cray MPICH), or set {ENGINE}=local if each task is a program of its own"
    ))
}

impl NatsAddress {
    /// The whole address, with what it holds of secrets: for the client alone.
    #[cfg(any(feature = "nats", test))]
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for NatsAddress {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str(&value::without_secrets(&self.0))
    }
}

impl std::fmt::Debug for NatsAddress {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, to)
    }
}

impl std::fmt::Display for EngineChoice {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local => to.write_str("none"),
            Self::Mpi => to.write_str("MPI"),
            Self::Nats(address) => write!(to, "NATS at {address}"),
        }
    }
}

impl ClusterRole {
    fn word(self) -> &'static str {
        match self {
            Driver => "driver",
            Agent => "agent",
        }
    }
}

impl std::fmt::Display for ClusterRole {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str(match self {
            Driver => "the driver",
            Agent => "an agent",
        })
    }
}
