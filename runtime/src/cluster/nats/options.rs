//! What an engine over NATS is told: where its server is, how to speak to it, and what this program is. It reads no variable.

use std::path::PathBuf;
use std::time::Duration;

use async_nats::jetstream::stream::StorageType;

use crate::cluster::environment::{BuildRule, ClusterSettings, NatsAddress, NatsSettings, NatsStorage};
use crate::cluster::identity::ProgramIdentity;

/// The settings of a driver or an agent. They hold secrets, so they cannot be printed.
#[derive(Clone)]
pub(in crate::cluster) struct NatsOptions {
    /// `nats://` or `tls://`, a host, and a port. It may hold a user and a password.
    pub(in crate::cluster) url: String,
    /// A file with a token and a key.
    pub(in crate::cluster) creds: Option<PathBuf>,
    /// A file with the seed of a key.
    pub(in crate::cluster) nkey: Option<PathBuf>,
    /// A file with the certificates that the server's must be signed by, where they are not the system's.
    pub(in crate::cluster) ca: Option<PathBuf>,
    /// A key may go to another machine in the clear.
    pub(in crate::cluster) is_insecure: bool,
    pub(in crate::cluster) storage: NatsStorage,
    /// What all names in the server begin with: ASCII letters, digits, `-` and `_`.
    pub(in crate::cluster) namespace: String,
    /// How long a work is an agent's without a sign of life.
    pub(in crate::cluster) lease: Duration,
    /// How many agents a work may be lost with.
    pub(in crate::cluster) tries: u32,
    /// How long an agent stays without work; for ever by default.
    pub(in crate::cluster) idle: Option<Duration>,
    /// How long a driver waits for a server that it has lost, until it goes on without nodes.
    pub(in crate::cluster) engine_wait: Duration,
    /// What this program is: agents and drivers of one build find each other.
    pub(in crate::cluster) identity: ProgramIdentity,
    /// What must be equal on all nodes.
    pub(in crate::cluster) rule: BuildRule,
}

impl NatsOptions {
    /// What the environment says, for this program.
    pub(in crate::cluster) fn new(
        address: &NatsAddress,
        settings: &ClusterSettings,
        identity: ProgramIdentity,
    ) -> Self {
        let NatsSettings { creds, nkey, ca, is_insecure, storage, namespace } = settings.nats.clone();
        Self {
            url: address.secret().to_owned(),
            creds,
            nkey,
            ca,
            is_insecure,
            storage,
            namespace,
            lease: settings.lease,
            tries: u32::try_from(settings.tries).unwrap_or(u32::MAX),
            idle: settings.idle,
            engine_wait: settings.engine_wait,
            identity,
            rule: settings.build,
        }
    }
}

impl From<NatsStorage> for StorageType {
    fn from(storage: NatsStorage) -> Self {
        match storage {
            NatsStorage::File => Self::File,
            NatsStorage::Memory => Self::Memory,
        }
    }
}
