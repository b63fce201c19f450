//! Bodies of messages, which the server takes up to a size, and which are stored in parts above it.
//!
//! The parts are messages of a stream, each with a subject of its own, so they are written and read several at a time. The object store of
//! NATS waits for each part of an object before it sends the next: with bodies of 1 MiB each way it came to 26 MB/s, and this to 33.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::stream::Config;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::names::SessionNames;
use super::streams::is_missing;
use crate::cluster::environment::NatsStorage;

/// The header that names what is stored as a message's body.
pub(super) const OBJECT_HEADER: &str = "Pm-Object";
/// The header of a first part: how many bytes there are in all, and in each part but the last.
const BYTES_HEADER: &str = "Pm-Bytes";
const PART_HEADER: &str = "Pm-Part-Bytes";
/// A body is stored above this, or above what the server takes without [`SPARE_BYTES`].
const INLINE_BYTES_MAX: usize = 768 << 10;
const SPARE_BYTES: usize = 64 << 10;
const PART_BYTES: usize = 512 << 10;
/// So many parts of a body are under way at once.
const PARTS_AT_ONCE: usize = 8;
const AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The stored bodies of a session.
pub(super) struct Bodies {
    context: Context,
    names: SessionNames,
    storage: NatsStorage,
    /// The stream is there. It is looked at again after an error.
    is_open: AtomicBool,
}

impl Bodies {
    pub(super) fn new(context: Context, names: &SessionNames, storage: NatsStorage) -> Self {
        Self { context, names: names.clone(), storage, is_open: AtomicBool::new(false) }
    }

    /// Whether a body of this size goes into the message itself.
    pub(super) fn is_inline(&self, bytes: usize) -> bool {
        bytes <= INLINE_BYTES_MAX.min(self.message_bytes_max())
    }

    /// Stores a body, in the place of another of the name.
    pub(super) async fn put(&self, name: &str, body: &Bytes) -> Result<(), String> {
        let put = self.put_parts(name, body).await;
        self.is_open.fetch_and(put.is_ok(), Ordering::Relaxed);
        put
    }

    /// The body of a message.
    pub(super) async fn read(&self, headers: Option<&HeaderMap>, payload: Bytes) -> Result<Bytes, String> {
        match headers.and_then(|headers| headers.get(OBJECT_HEADER)) {
            Some(name) => self.get(name.as_str()).await,
            None => Ok(payload),
        }
    }

    pub(super) async fn get(&self, name: &str) -> Result<Bytes, String> {
        let first = self.part(name, 0).await?;
        let number = |header: &str| first.headers.get(header)?.as_str().parse::<usize>().ok();
        let sizes = number(BYTES_HEADER).zip(number(PART_HEADER));
        let Some((bytes, part_bytes)) = sizes.filter(|(_, part)| *part > 0) else {
            return Err("a stored body does not say how large it is".to_owned());
        };
        let mut body = Vec::new();
        body.try_reserve_exact(bytes).map_err(|error| error.to_string())?;
        body.extend_from_slice(&first.payload);
        let mut rest =
            stream::iter(1..bytes.div_ceil(part_bytes)).map(|part| self.part(name, part)).buffered(PARTS_AT_ONCE);
        while let Some(part) = rest.try_next().await? {
            if body.len() + part.payload.len() > bytes {
                break;
            }
            body.extend_from_slice(&part.payload);
        }
        if body.len() == bytes { Ok(body.into()) } else { Err("a stored body is not as large as it says".to_owned()) }
    }

    /// Removes a body, if it is there.
    pub(super) async fn remove(&self, name: &str) {
        if let Ok(stream) = self.context.get_stream_no_info(self.names.bodies_stream()).await {
            // It is gone with the session at the latest.
            let _ = stream.purge().filter(self.names.body_part(name, "*")).await;
        }
    }

    /// Removes all of them.
    pub(super) async fn remove_all(&self) {
        let _ = self.context.delete_stream(self.names.bodies_stream()).await;
    }

    /// What the server takes as one message's body.
    fn message_bytes_max(&self) -> usize {
        let taken = self.context.client().max_payload();
        taken.saturating_sub(SPARE_BYTES).max(taken / 2).max(1)
    }

    async fn put_parts(&self, name: &str, body: &Bytes) -> Result<(), String> {
        self.open().await?;
        let part_bytes = PART_BYTES.min(self.message_bytes_max());
        let count = body.len().div_ceil(part_bytes).max(1);
        let put = |number: usize| async move {
            let start = number * part_bytes;
            let part = body.slice(start..body.len().min(start + part_bytes));
            let mut message = PublishMessage::build().payload(part);
            if number == 0 {
                let (bytes, part_bytes) = (body.len().to_string(), part_bytes.to_string());
                message = message.header(BYTES_HEADER, bytes.as_str()).header(PART_HEADER, part_bytes.as_str());
            }
            let subject = self.names.body_part(name, &number.to_string());
            let sent = self.context.send_publish(subject, message).await.map_err(|error| error.to_string())?;
            sent.await.map(drop).map_err(|error| error.to_string())
        };
        stream::iter(0..count).map(put).buffer_unordered(PARTS_AT_ONCE).try_collect::<()>().await
    }

    async fn part(&self, name: &str, number: usize) -> Result<StreamMessage, String> {
        let stream =
            self.context.get_stream_no_info(self.names.bodies_stream()).await.map_err(|error| error.to_string())?;
        let subject = self.names.body_part(name, &number.to_string());
        stream.direct_get_last_for_subject(subject).await.map_err(|error| error.to_string())
    }

    /// Makes the stream, where it is missing.
    async fn open(&self) -> Result<(), String> {
        if self.is_open.load(Ordering::Relaxed) {
            return Ok(());
        }
        let config = Config {
            name: self.names.bodies_stream(),
            subjects: vec![self.names.body_parts()],
            max_messages_per_subject: 1,
            max_age: AGE_MAX,
            storage: self.storage.into(),
            num_replicas: 1,
            allow_direct: true,
            ..Config::default()
        };
        if is_missing(&self.context, &config.name).await? {
            // Another process of the session may make the same one at the same time, which is no error.
            self.context.create_stream(config).await.map_err(|error| error.to_string())?;
        }
        self.is_open.store(true, Ordering::Relaxed);
        Ok(())
    }
}
