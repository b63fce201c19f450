//! Removes what sessions have left in the server whose driver is gone: it could not do it itself.

use std::time::{Duration, SystemTime};

use async_nats::jetstream::Context;
use futures_util::TryStreamExt;

use super::connection::connect;
use super::lane::Lane;
use super::names::{ProgramNames, is_identity};
use super::options::NatsOptions;
use super::streams;
use crate::cluster::environment::{ClusterPlan, EngineChoice, EnvironmentSnapshot};
use crate::cluster::identity::ProgramIdentity;
use crate::error::{Error, Result};

/// A session without an entry is dead when nothing was written for so long.
const SILENCE: Duration = Duration::from_secs(60);
/// A driver or an agent looks when it has found its place.
const SWEEP_DELAY: Duration = Duration::from_secs(2);

/// Removes from the server that `POOLMAP_ENGINE` names what drivers have left there that are gone; returns how many streams that were.
///
/// A driver that ends removes its streams. One that was killed cannot: the next driver or agent of the namespace (`POOLMAP_NAMESPACE`)
/// removes what has been silent for a minute, and so does this function.
///
/// # Errors
///
/// `POOLMAP_ENGINE` names no NATS server ([`Error::is_invalid_option`]); the server cannot be reached or used.
pub fn gc() -> Result<usize> {
    let plan = ClusterPlan::new(&EnvironmentSnapshot::capture())?;
    let EngineChoice::Nats(address) = &plan.engine else {
        return Err(Error::invalid_option("`POOLMAP_ENGINE` must be nats://HOST:PORT or tls://HOST:PORT"));
    };
    let identity = ProgramIdentity::own().map_err(Error::start)?;
    remove_dead_sessions(&NatsOptions::new(address, &plan.settings, identity), SILENCE)
}

/// The same with these options, where nothing was written for so long.
pub(super) fn remove_dead_sessions(options: &NatsOptions, silence: Duration) -> Result<usize> {
    let lane = Lane::<()>::new()?;
    lane.run(async {
        let connection = connect(options, "gc").await?;
        remove(&connection.context, &ProgramNames::new(options), silence).await.map_err(|why| {
            Error::start(format!("the NATS server at {} does not list its streams: {why}", connection.address))
        })
    })
}

/// Does the same, a little later, for whoever is there anyway.
pub(super) async fn sweep(context: Context, names: ProgramNames) {
    tokio::time::sleep(SWEEP_DELAY).await;
    // Whoever comes next tries it again.
    let _ = remove(&context, &names, SILENCE).await;
}

/// Removes the streams of sessions that have no entry, and to which nothing was written for so long.
pub(super) async fn remove(
    context: &Context,
    names: &ProgramNames,
    silence: Duration,
) -> std::result::Result<usize, String> {
    let listed: Vec<_> = context.streams().try_collect().await.map_err(|error| error.to_string())?;
    // An entry is written every two seconds. One that cannot be listed is no entry that is missing.
    let entries = streams::session_keys(context, names, &names.all_keys()).await?;
    let before = SystemTime::now() - silence;
    let mut removed = 0;
    for info in listed {
        let prefixes = names.stream_prefixes();
        let session = prefixes.iter().find_map(|prefix| info.config.name.strip_prefix(prefix.as_str()));
        let written = info.created.max(info.state.last_timestamp);
        let session = session.filter(|session| is_identity(session));
        let is_dead =
            session.is_some_and(|session| !entries.iter().any(|entry| entry.rsplit('.').next() == Some(session)));
        if is_dead && SystemTime::from(written) <= before && context.delete_stream(&info.config.name).await.is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}
