//! The streams of a session: they are made at its start, and again whenever the server has lost them.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::kv;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy};
use futures_util::TryStreamExt;

use super::names::{CONSUMER, ProgramNames, SessionNames};
use super::options::NatsOptions;
use crate::cluster::environment::NatsStorage;

/// The server sets as much aside for works as two windows hold, or less where it has less.
const WORK_BYTES: [i64; 3] = [512 << 20, 128 << 20, 16 << 20];
const AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
const DUPLICATE_WINDOW: Duration = Duration::from_secs(10 * 60);
/// More works than a cluster holds at once.
const ACKS_PENDING_MAX: i64 = 65536;
/// Each agent has some requests for works with the server.
const PULLS_WAITING_MAX: i64 = 16384;
/// A session whose driver says nothing for so long is over.
const ENTRY_AGE_MAX: Duration = Duration::from_secs(30);

/// What had to be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MadeStreams {
    pub(super) works: bool,
}

/// Makes what is missing of a session's streams.
pub(super) async fn ensure(
    context: &Context,
    names: &SessionNames,
    options: &NatsOptions,
) -> Result<MadeStreams, String> {
    let base = Config {
        max_age: AGE_MAX,
        duplicate_window: DUPLICATE_WINDOW,
        storage: options.storage.into(),
        num_replicas: 1,
        ..Config::default()
    };
    let results =
        Config { name: names.result_stream(), subjects: vec![names.results()], allow_direct: true, ..base.clone() };
    if is_missing(context, &results.name).await? {
        context.create_stream(results).await.map_err(|error| error.to_string())?;
    }
    let works = Config {
        name: names.work_stream(),
        subjects: vec![names.works()],
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        ..base
    };
    let made = MadeStreams { works: is_missing(context, &works.name).await? };
    if made.works {
        make_works(context, works, options.lease).await?;
    }
    Ok(made)
}

async fn make_works(context: &Context, works: Config, lease: Duration) -> Result<(), String> {
    let mut failure = String::new();
    for max_bytes in WORK_BYTES {
        match context.create_stream(Config { max_bytes, ..works.clone() }).await {
            Ok(stream) => {
                let config = pull::Config {
                    durable_name: Some(CONSUMER.to_owned()),
                    ack_policy: AckPolicy::Explicit,
                    ack_wait: lease,
                    // With a limit, a work that has reached it stays in the stream, and nobody hears of it.
                    max_deliver: -1,
                    max_ack_pending: ACKS_PENDING_MAX,
                    max_waiting: PULLS_WAITING_MAX,
                    ..pull::Config::default()
                };
                let made = stream.create_consumer(config).await;
                if made.is_err() {
                    // A stream without its consumer would be taken for a whole one.
                    let _ = context.delete_stream(&works.name).await;
                }
                return made.map(drop).map_err(|error| error.to_string());
            }
            Err(error) => failure = error.to_string(),
        }
    }
    Err(failure)
}

/// Whether there is no stream of a name.
pub(super) async fn is_missing(context: &Context, stream: &str) -> Result<bool, String> {
    match context.get_stream(stream).await {
        Ok(_) => Ok(false),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(cause) if cause.code() == 404 => Ok(true),
            _ => Err(error.to_string()),
        },
    }
}

/// The subjects of the bucket of running sessions that match a filter, those of sessions that have just ended among them.
pub(super) async fn session_keys(context: &Context, names: &ProgramNames, filter: &str) -> Result<Vec<String>, String> {
    match context.get_stream(format!("KV_{}", names.bucket())).await {
        Ok(stream) => {
            let subjects = stream.info_with_subjects(filter).await.map_err(|error| error.to_string())?;
            let keys: Vec<(String, usize)> = subjects.try_collect().await.map_err(|error| error.to_string())?;
            Ok(keys.into_iter().map(|(key, _)| key).collect())
        }
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(cause) if cause.code() == 404 => Ok(Vec::new()),
            _ => Err(error.to_string()),
        },
    }
}

/// Removes the streams of a session.
pub(super) async fn remove(context: &Context, names: &SessionNames) {
    for stream in [names.work_stream(), names.result_stream()] {
        let _ = context.delete_stream(stream).await;
    }
}

/// The bucket of the running sessions, which is made if it is missing.
pub(super) async fn sessions(
    context: &Context,
    names: &ProgramNames,
    storage: NatsStorage,
) -> Result<kv::Store, String> {
    let bucket = names.bucket();
    if let Ok(store) = context.get_key_value(&bucket).await {
        return Ok(store);
    }
    // The client's own way asks for the account first, and cannot read the answer of a server of 2.9.
    let config = Config {
        name: format!("KV_{bucket}"),
        subjects: vec![format!("$KV.{bucket}.>")],
        max_messages_per_subject: 1,
        discard: DiscardPolicy::New,
        max_age: ENTRY_AGE_MAX,
        duplicate_window: ENTRY_AGE_MAX,
        storage: storage.into(),
        num_replicas: 1,
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        ..Config::default()
    };
    context.create_stream(config).await.map_err(|error| error.to_string())?;
    context.get_key_value(&bucket).await.map_err(|error| error.to_string())
}
