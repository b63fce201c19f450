//! Reads the agents' letters out of a session's stream, in order, each once.
//!
//! Whatever ends the reading (a missed sign of life of the server, a consumer that it has forgotten, a gap in the numbers), a new consumer
//! begins behind the last letter that was read. A stream that is another than before is read from its start.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::message::Message;
use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use super::bodies::{Bodies, OBJECT_HEADER};
use super::notices::DriverNotice;
use crate::cluster::messages;

const RETRY: Duration = Duration::from_millis(200);
/// The server says so often that it lives, where there is nothing else to say.
const HEARTBEAT: Duration = Duration::from_secs(5);
const PULL_TIME: Duration = Duration::from_secs(30);
/// The server forgets a consumer that nobody reads after this.
const INACTIVE_TIME: Duration = Duration::from_secs(60);
const BATCH: usize = 64;
/// So many large letters are read at once.
const READ_AT_ONCE: usize = 8;

/// Reads the letters of a session.
pub(super) struct ResultReader {
    pub(super) context: Context,
    pub(super) stream: String,
    pub(super) bodies: Arc<Bodies>,
    /// Notified when there may be no stream.
    pub(super) missing: Arc<Notify>,
    /// Notified when the connection stands again.
    pub(super) again: Arc<Notify>,
    pub(super) notices: UnboundedSender<DriverNotice>,
}

/// Where the reading is.
#[derive(Default)]
struct ReadPlace {
    /// When the stream was made, in nanoseconds.
    made: Option<i128>,
    last: u64,
}

/// A message's number among those of its consumer, and in the stream.
struct MessageNumbers {
    by_consumer: u64,
    in_stream: u64,
}

impl ResultReader {
    /// Reads until the session ends.
    pub(super) async fn run(self) {
        let mut place = ReadPlace::default();
        loop {
            tokio::select! {
                // It ends only when something is wrong.
                _ = self.read(&mut place) => self.missing.notify_one(),
                () = self.again.notified() => {}
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn read(&self, place: &mut ReadPlace) -> Option<()> {
        let stream = self.context.get_stream(&self.stream).await.ok()?;
        let info = stream.cached_info();
        let made = Some(info.created.unix_timestamp_nanos());
        if place.made != made || info.state.last_sequence < place.last {
            *place = ReadPlace { made, last: 0 };
        }
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: place.last + 1 },
            ack_policy: AckPolicy::None,
            inactive_threshold: INACTIVE_TIME,
            memory_storage: true,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await.ok()?;
        let pulling = consumer.stream().max_messages_per_batch(BATCH).heartbeat(HEARTBEAT).expires(PULL_TIME);
        let messages = pulling.messages().await.ok()?;
        let read = |message: Result<Message, _>| async move {
            let message = message.ok()?;
            let info = message.info().ok()?;
            let numbers = MessageNumbers { by_consumer: info.consumer_sequence, in_stream: info.stream_sequence };
            Some((numbers, self.letter(message).await))
        };
        let mut letters = std::pin::pin!(messages.map(read).buffered(READ_AT_ONCE));
        let mut expected = 1;
        while let Some(Some((numbers, notice))) = letters.next().await {
            if numbers.by_consumer != expected {
                return None;
            }
            expected += 1;
            if numbers.in_stream <= place.last {
                continue;
            }
            place.last = numbers.in_stream;
            self.notices.send(notice).ok()?;
        }
        None
    }

    async fn letter(&self, message: Message) -> DriverNotice {
        let sequence = message.info().map_or(0, |info| info.stream_sequence);
        let header = message.headers.as_ref().and_then(|headers| headers.get(OBJECT_HEADER));
        let object = header.map(|name| name.as_str().to_owned());
        let mut body = self.bodies.read(message.headers.as_ref(), message.payload.clone()).await;
        if body.is_err() {
            // Its parts may be a moment behind the name of the object.
            tokio::time::sleep(RETRY).await;
            body = self.bodies.read(message.headers.as_ref(), message.payload.clone()).await;
        }
        // What cannot be read counts for nothing: its works are missed, and sent again.
        let letter = body.ok().and_then(|body| messages::decode(&body).ok());
        DriverNotice::Letter { sequence, object, letter }
    }
}
