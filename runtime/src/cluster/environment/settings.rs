//! The variables `POOLMAP_...` of clusters, as typed settings. It knows no launcher.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::snapshot::EnvironmentSnapshot;
use super::value;
use crate::error::Result;

/// More workers than one machine can have.
const WORKERS_MAX: usize = 1 << 16;
/// A chunk that has taken so many agents with it is to blame, whatever the cluster.
const TRIES_MAX: usize = 1000;
/// A namespace stands in names of NATS.
const NAMESPACE_CHARS_MAX: usize = 64;

/// What the user has set, or the defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClusterSettings {
    /// `POOLMAP_LEASE`: how long a chunk is an agent's without a sign of life. 10 s.
    pub(crate) lease: Duration,
    /// `POOLMAP_TRIES`: how many agents a chunk may be lost with. 3.
    pub(crate) tries: usize,
    /// `POOLMAP_GRACE`: how long an agent that is to end may finish what it runs. 20 s.
    pub(crate) grace: Duration,
    /// `POOLMAP_DEAD`: how long an agent under MPI may be silent. 30 s.
    pub(crate) dead: Duration,
    /// `POOLMAP_ENGINE_WAIT`: how long the driver waits for an engine, or a first agent. 10 min.
    pub(crate) engine_wait: Duration,
    /// `POOLMAP_IDLE`: how long an agent may be without work before it leaves. It stays, by default.
    pub(crate) idle: Option<Duration>,
    /// `POOLMAP_MPI_LIB`: the MPI library.
    pub(crate) mpi_library: Option<OsString>,
    pub(crate) nats: NatsSettings,
    /// `POOLMAP_DRIVER_WORKERS`: how many workers the driver's node has; one for each CPU by default, none for 0.
    pub(crate) driver_workers: Option<usize>,
    /// `POOLMAP_BUILD`: what must be equal on all nodes.
    pub(crate) build: BuildRule,
    /// `POOLMAP_EXPLAIN`: whether the reasons of each choice are printed.
    pub(crate) explains: bool,
}

/// The settings of NATS alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NatsSettings {
    /// `POOLMAP_NATS_CREDS`, `POOLMAP_NATS_NKEY` and `POOLMAP_NATS_CA`: files.
    pub(crate) creds: Option<PathBuf>,
    pub(crate) nkey: Option<PathBuf>,
    pub(crate) ca: Option<PathBuf>,
    /// `POOLMAP_INSECURE`: whether a key may go to another machine in the clear.
    pub(crate) is_insecure: bool,
    /// `POOLMAP_NATS_STORAGE`: where streams are kept. Files, by default.
    pub(crate) storage: NatsStorage,
    /// `POOLMAP_NAMESPACE`: what all names in the server begin with. `pm`.
    pub(crate) namespace: String,
}

/// Where a NATS server keeps streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NatsStorage {
    File,
    Memory,
}

/// What must be equal on all nodes, so that an agent is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BuildRule {
    /// The file of the program.
    SameFile,
    /// The table of worker functions: for a build for each kind of processor.
    SameFunctions,
}

impl ClusterSettings {
    /// Reads the variables.
    ///
    /// # Errors
    ///
    /// A variable has a value that is not allowed.
    pub(crate) fn read(variables: &EnvironmentSnapshot) -> Result<Self> {
        let time = |name, default| value::duration(variables, name).map(|time| time.unwrap_or(default));
        let seconds = Duration::from_secs;
        let build = [("same-file", BuildRule::SameFile), ("same-functions", BuildRule::SameFunctions)];
        Ok(Self {
            lease: time("POOLMAP_LEASE", seconds(10))?,
            tries: value::number(variables, "POOLMAP_TRIES", 1..=TRIES_MAX)?.unwrap_or(3),
            grace: time("POOLMAP_GRACE", seconds(20))?,
            dead: time("POOLMAP_DEAD", seconds(30))?,
            engine_wait: time("POOLMAP_ENGINE_WAIT", seconds(600))?,
            idle: value::duration(variables, "POOLMAP_IDLE")?,
            mpi_library: value::raw(variables, "POOLMAP_MPI_LIB"),
            nats: NatsSettings::read(variables)?,
            driver_workers: value::number(variables, "POOLMAP_DRIVER_WORKERS", 0..=WORKERS_MAX)?,
            build: value::choice(variables, "POOLMAP_BUILD", &build)?.unwrap_or(BuildRule::SameFile),
            explains: value::choice(variables, "POOLMAP_EXPLAIN", &[("1", true), ("0", false)])?.unwrap_or(false),
        })
    }
}

impl NatsSettings {
    fn read(variables: &EnvironmentSnapshot) -> Result<Self> {
        let storage = [("file", NatsStorage::File), ("memory", NatsStorage::Memory)];
        Ok(Self {
            creds: value::path(variables, "POOLMAP_NATS_CREDS"),
            nkey: value::path(variables, "POOLMAP_NATS_NKEY"),
            ca: value::path(variables, "POOLMAP_NATS_CA"),
            is_insecure: value::choice(variables, "POOLMAP_INSECURE", &[("1", true), ("0", false)])?.unwrap_or(false),
            storage: value::choice(variables, "POOLMAP_NATS_STORAGE", &storage)?.unwrap_or(NatsStorage::File),
            namespace: namespace(variables)?.unwrap_or_else(|| "pm".to_owned()),
        })
    }
}

/// A namespace must do as a part of a subject, of a stream's name and of a bucket's.
fn namespace(variables: &EnvironmentSnapshot) -> Result<Option<String>> {
    const NAME: &str = "POOLMAP_NAMESPACE";
    let allowed = format!("1 to {NAMESPACE_CHARS_MAX} letters of ASCII, digits, `-` and `_`");
    let Some(text) = value::text(variables, NAME, &allowed)? else { return Ok(None) };
    let is_allowed = |char: char| char.is_ascii_alphanumeric() || "-_".contains(char);
    if text.len() <= NAMESPACE_CHARS_MAX && text.chars().all(is_allowed) {
        return Ok(Some(text));
    }
    Err(value::refused(NAME, &allowed, &text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<ClusterSettings> {
        ClusterSettings::read(&EnvironmentSnapshot::of(variables))
    }

    #[test]
    fn the_defaults_are_those_of_the_documentation() {
        let settings = read(&[]).unwrap();
        assert_eq!((settings.lease, settings.dead), (Duration::from_secs(10), Duration::from_secs(30)));
        assert_eq!((settings.grace, settings.tries), (Duration::from_secs(20), 3));
        assert_eq!((settings.engine_wait, settings.idle), (Duration::from_secs(600), None));
        assert_eq!((settings.build, settings.driver_workers), (BuildRule::SameFile, None));
        assert_eq!((settings.nats.namespace.as_str(), settings.nats.storage), ("pm", NatsStorage::File));
        assert!(!settings.explains && settings.mpi_library.is_none());
    }

    #[test]
    fn each_variable_is_read() {
        let settings = read(&[
            ("POOLMAP_LEASE", "500ms"),
            ("POOLMAP_TRIES", "5"),
            ("POOLMAP_GRACE", "1m"),
            ("POOLMAP_DEAD", "7"),
            ("POOLMAP_ENGINE_WAIT", "2s"),
            ("POOLMAP_IDLE", "5m"),
            ("POOLMAP_MPI_LIB", "/opt/libmpi.so"),
            ("POOLMAP_NATS_CREDS", "/c"),
            ("POOLMAP_NATS_NKEY", "/n"),
            ("POOLMAP_NATS_CA", "/ca"),
            ("POOLMAP_INSECURE", "1"),
            ("POOLMAP_NATS_STORAGE", "memory"),
            ("POOLMAP_NAMESPACE", "team-7_x"),
            ("POOLMAP_DRIVER_WORKERS", "0"),
            ("POOLMAP_BUILD", "same-functions"),
            ("POOLMAP_EXPLAIN", "1"),
        ])
        .unwrap();
        assert_eq!((settings.lease, settings.tries), (Duration::from_millis(500), 5));
        assert_eq!((settings.grace, settings.dead), (Duration::from_secs(60), Duration::from_secs(7)));
        assert_eq!((settings.engine_wait, settings.idle), (Duration::from_secs(2), Some(Duration::from_secs(300))));
        assert_eq!(settings.mpi_library.as_deref(), Some("/opt/libmpi.so".as_ref()));
        let files = [&settings.nats.creds, &settings.nats.nkey, &settings.nats.ca].map(|file| file.clone().unwrap());
        assert_eq!(files, ["/c", "/n", "/ca"].map(PathBuf::from));
        assert_eq!((settings.nats.storage, settings.nats.namespace.as_str()), (NatsStorage::Memory, "team-7_x"));
        assert_eq!((settings.driver_workers, settings.build), (Some(0), BuildRule::SameFunctions));
        assert!(settings.explains && settings.nats.is_insecure);
    }

    #[test]
    fn a_value_that_is_not_allowed_is_an_error_that_names_it() {
        let long = "x".repeat(65);
        let bad = [
            ("POOLMAP_LEASE", "10 minutes"),
            ("POOLMAP_TRIES", "0"),
            ("POOLMAP_GRACE", "-1s"),
            ("POOLMAP_DEAD", "0"),
            ("POOLMAP_ENGINE_WAIT", "forever"),
            ("POOLMAP_IDLE", "none"),
            ("POOLMAP_NATS_STORAGE", "disk"),
            ("POOLMAP_NAMESPACE", "a.b"),
            ("POOLMAP_NAMESPACE", &long),
            ("POOLMAP_DRIVER_WORKERS", "all"),
            ("POOLMAP_BUILD", "any"),
            ("POOLMAP_EXPLAIN", "yes"),
        ];
        for (name, value) in bad {
            let error = read(&[(name, value)]).unwrap_err();
            let said = error.to_string();
            assert!(error.is_invalid_option(), "{said}");
            assert!(said.contains(&format!("`{name}` must be")) && said.contains(value), "{said}");
        }
    }
}
