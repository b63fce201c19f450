//! Bodies of messages, which the server takes up to a size, and which are stored objects above it.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use async_nats::jetstream::object_store::{Config, ObjectStore};
use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::sync::Mutex;

use super::names::SessionNames;
use crate::cluster::environment::NatsStorage;

/// The header that names the object that a message's body is.
pub(super) const OBJECT_HEADER: &str = "Pm-Object";
/// A body is a stored object above this, or above what the server takes without [`SPARE_BYTES`].
const INLINE_BYTES_MAX: usize = 768 << 10;
const SPARE_BYTES: usize = 64 << 10;
/// Objects are no larger than a message may be.
const OBJECT_BYTES_MAX: usize = u32::MAX as usize;
const AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The stored objects of a session.
pub(super) struct Bodies {
    context: Context,
    bucket: String,
    storage: NatsStorage,
    /// Opened once it is needed, and again after an error.
    store: Mutex<Option<ObjectStore>>,
}

impl Bodies {
    pub(super) fn new(context: Context, names: &SessionNames, storage: NatsStorage) -> Self {
        Self { context, bucket: names.objects(), storage, store: Mutex::new(None) }
    }

    /// Whether a body of this size goes into the message itself.
    pub(super) fn is_inline(&self, bytes: usize) -> bool {
        let taken = self.context.client().max_payload();
        bytes <= INLINE_BYTES_MAX.min(taken.saturating_sub(SPARE_BYTES).max(taken / 2))
    }

    /// Stores an object, in the place of another of the name.
    pub(super) async fn put(&self, name: &str, body: &Bytes) -> Result<(), String> {
        let store = self.open().await?;
        let stored = store.put(name, &mut &body[..]).await.map(drop).map_err(|error| error.to_string());
        self.close_after(stored).await
    }

    /// The body of a message.
    pub(super) async fn read(&self, headers: Option<&HeaderMap>, payload: Bytes) -> Result<Bytes, String> {
        match headers.and_then(|headers| headers.get(OBJECT_HEADER)) {
            Some(name) => self.get(name.as_str()).await,
            None => Ok(payload),
        }
    }

    pub(super) async fn get(&self, name: &str) -> Result<Bytes, String> {
        let store = self.open().await?;
        let read = async {
            let mut object = store.get(name).await.map_err(|error| error.to_string())?;
            let size = object.info().size;
            if size > OBJECT_BYTES_MAX {
                return Err(format!("an object of {size} bytes is no message"));
            }
            let mut body = Vec::new();
            body.try_reserve_exact(size).map_err(|error| error.to_string())?;
            object.read_to_end(&mut body).await.map_err(|error| error.to_string())?;
            Ok(Bytes::from(body))
        };
        let read = read.await;
        self.close_after(read).await
    }

    /// Removes an object, if it is there.
    pub(super) async fn remove(&self, name: &str) {
        if let Ok(store) = self.open().await {
            // It is gone with the session at the latest.
            let _ = store.delete(name).await;
        }
    }

    /// Removes all of them.
    pub(super) async fn remove_all(&self) {
        let _ = self.context.delete_object_store(&self.bucket).await;
    }

    async fn open(&self) -> Result<ObjectStore, String> {
        let mut open = self.store.lock().await;
        if let Some(store) = &*open {
            return Ok(store.clone());
        }
        let store = match self.context.get_object_store(&self.bucket).await {
            Ok(store) => store,
            Err(_) => {
                let config = Config {
                    bucket: self.bucket.clone(),
                    max_age: AGE_MAX,
                    storage: self.storage.into(),
                    num_replicas: 1,
                    ..Config::default()
                };
                self.context.create_object_store(config).await.map_err(|error| error.to_string())?
            }
        };
        Ok(open.insert(store).clone())
    }

    /// Has the store opened again after an error, as it may be a new one by now.
    async fn close_after<T>(&self, done: Result<T, String>) -> Result<T, String> {
        if done.is_err() {
            *self.store.lock().await = None;
        }
        done
    }
}
