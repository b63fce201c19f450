//! Keeps a session in being: its entry in the bucket, its streams, and what is to be done when the connection or a stream was lost.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Context;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::courier::Courier;
use super::forms::{ControlForm, SessionEntry};
use super::names::SessionNames;
use super::notices::DriverNotice;
use super::options::NatsOptions;
use super::streams;
use crate::cluster::messages::encode;

/// The entry is written anew so often.
const REFRESH: Duration = Duration::from_secs(2);
/// The streams are looked at so often, also where nothing seems wrong.
const CHECK: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(200);

/// What a session needs to stay in being.
pub(super) struct Keeper {
    pub(super) context: Context,
    pub(super) names: SessionNames,
    pub(super) options: NatsOptions,
    pub(super) courier: Courier,
    pub(super) entry: watch::Receiver<SessionEntry>,
    /// Whether the connection stands.
    pub(super) changes: UnboundedReceiver<bool>,
    /// Somebody finds no stream.
    pub(super) missing: Arc<Notify>,
    pub(super) notices: UnboundedSender<DriverNotice>,
}

impl Keeper {
    /// Makes the session's streams and its entry.
    pub(super) async fn begin(&self) -> Result<(), String> {
        streams::ensure(&self.context, &self.names, &self.options).await?;
        self.announce_entry().await
    }

    /// Keeps it in being until it ends.
    pub(super) async fn run(mut self) {
        let mut refresh = interval(REFRESH);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut checked = Instant::now();
        loop {
            let mut is_due = false;
            tokio::select! {
                change = self.changes.recv() => match change {
                    Some(true) => self.recover().await,
                    Some(false) => self.tell(DriverNotice::Lost),
                    None => return,
                },
                _ = refresh.tick() => is_due = self.write_entry().await.is_err() || checked.elapsed() >= CHECK,
                changed = self.entry.changed() => match changed {
                    Ok(()) => is_due = self.announce_entry().await.is_err(),
                    Err(_) => return,
                },
                () = self.missing.notified() => is_due = true,
            }
            if is_due {
                checked = Instant::now();
                self.check().await;
            }
        }
    }

    /// Makes what is missing, without insisting.
    async fn check(&self) {
        match streams::ensure(&self.context, &self.names, &self.options).await {
            Ok(made) if made.works => self.tell(DriverNotice::Remade),
            Ok(_) => {}
            // Whoever has found no stream finds none again, and says so.
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }

    /// The connection stands again: makes what is missing until all is there, or the connection is lost again.
    async fn recover(&mut self) {
        loop {
            let ready = async {
                streams::ensure(&self.context, &self.names, &self.options).await?;
                self.announce_entry().await
            };
            if ready.await.is_ok() {
                return self.tell(DriverNotice::Back);
            }
            match tokio::time::timeout(RETRY, self.changes.recv()).await {
                Ok(Some(false)) => return,
                Ok(None) => return,
                _ => {}
            }
        }
    }

    async fn write_entry(&self) -> Result<(), String> {
        let entry = self.entry.borrow().clone();
        let bytes = encode(&entry);
        let bucket = streams::sessions(&self.context, &self.names.program, self.options.storage).await?;
        bucket.put(self.names.key(), bytes.into()).await.map(drop).map_err(|error| error.to_string())
    }

    /// Writes the entry, and has the agents read it.
    async fn announce_entry(&self) -> Result<(), String> {
        self.write_entry().await?;
        self.courier.send(self.names.control(), encode(&ControlForm::Changed(())));
        Ok(())
    }

    fn tell(&self, notice: DriverNotice) {
        let _ = self.notices.send(notice);
    }
}
