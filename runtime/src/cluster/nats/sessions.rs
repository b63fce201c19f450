//! Finds an agent's session: it looks into the bucket for one of its own build, and then whether that goes on.
//!
//! The bucket is asked, and not watched: a watch is one more consumer that the server may forget without a word. A driver that begins or
//! changes says so on its control subject, so nobody waits for the next question.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::kv::{Operation, Store};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, timeout};

use super::courier::Courier;
use super::forms::{AgentBeat, SessionEntry};
use super::names::ProgramNames;
use super::notices::{AgentNotice, FoundSession};
use super::streams;
use crate::cluster::messages::{decode, encode};

/// Without a session, an agent looks for one so often; with one, whether it goes on.
const SEARCH: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_secs(2);
/// An agent that has found no session of its build for so long says hello to the drivers of others.
const HELLO_DELAY: Duration = Duration::from_millis(1500);
const HELLO_INTERVAL: Duration = Duration::from_secs(1);
/// A bucket that cannot be read for so long while the server is there holds no session. Entries live as long.
const UNREADABLE_MAX: Duration = Duration::from_secs(30);

/// Looks for sessions.
pub(super) struct SessionSearch {
    pub(super) context: Context,
    pub(super) names: ProgramNames,
    pub(super) table: u64,
    /// What it says to drivers of other builds.
    pub(super) hello: AgentBeat,
    pub(super) courier: Courier,
    /// Notified when something may have changed.
    pub(super) nudge: Arc<Notify>,
    pub(super) notices: UnboundedSender<AgentNotice>,
}

impl SessionSearch {
    /// Looks until the agent ends.
    pub(super) async fn run(self) {
        let mut bucket = None;
        let mut current: Option<FoundSession> = None;
        let (mut alone, mut greeted, mut read) = (Instant::now(), Instant::now(), Instant::now());
        loop {
            let asked = Instant::now();
            let session = current.as_ref().map(|found| found.session.clone());
            match self.look(&mut bucket, session.as_deref()).await {
                Ok(found) => {
                    read = asked;
                    if found != current {
                        alone = asked;
                        current = found;
                        if self.notices.send(AgentNotice::Session(current.clone())).is_err() {
                            return;
                        }
                    }
                }
                Err(_) if current.is_some() && asked.duration_since(read) >= UNREADABLE_MAX => {
                    current = None;
                    let _ = self.notices.send(AgentNotice::Session(None));
                }
                Err(_) => bucket = None,
            }
            if current.is_none() && alone.elapsed() >= HELLO_DELAY && greeted.elapsed() >= HELLO_INTERVAL {
                greeted = Instant::now();
                self.courier.send(self.names.hello(), encode(&self.hello));
            }
            let interval = if current.is_some() { LOOK } else { SEARCH };
            let _ = timeout(interval, self.nudge.notified()).await;
        }
    }

    /// The current session as it is now, or another, if there is one.
    async fn look(&self, bucket: &mut Option<Store>, current: Option<&str>) -> Result<Option<FoundSession>, String> {
        if bucket.is_none() {
            *bucket = self.context.get_key_value(self.names.bucket()).await.ok();
        }
        let Some(store) = bucket else {
            // Nobody has made it yet, or the server does not say.
            let keys = streams::session_keys(&self.context, &self.names, &self.names.keys()).await?;
            return if keys.is_empty() && current.is_none() { Ok(None) } else { Err("no bucket".to_owned()) };
        };
        if let Some(session) = current
            && let Some(found) = self.read(store, session).await?
        {
            return Ok(Some(found));
        }
        let mut keys = streams::session_keys(&self.context, &self.names, &self.names.keys()).await?;
        keys.sort();
        if !keys.is_empty() {
            // Agents spread over the sessions of a build.
            let first = usize::try_from(self.hello.agent).unwrap_or(usize::MAX) % keys.len();
            keys.rotate_left(first);
        }
        for key in keys {
            let session = key.rsplit('.').next().unwrap_or_default();
            if let Some(found) = self.read(store, session).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// A session's entry, if it is there and of the same table of worker functions.
    async fn read(&self, store: &Store, session: &str) -> Result<Option<FoundSession>, String> {
        let key = self.names.session(session).key();
        let found = store.entry(key).await.map_err(|error| error.to_string())?;
        let entry = found.filter(|found| found.operation == Operation::Put).and_then(|found| decode(&found.value).ok());
        let entry = entry.filter(|entry: &SessionEntry| entry.table == self.table);
        Ok(entry.map(|entry| FoundSession { session: session.to_owned(), entry }))
    }
}
