//! Publishes what must not be lost into a stream: each message is published until the server says that it has it.
//!
//! 1. A message keeps its message id, so the server drops it where it has it already.
//! 2. After a lost connection everything without an answer is published at once. What was under way before counts only if it went well.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::bodies::{Bodies, OBJECT_HEADER};

const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Large bodies are stored by so many at once.
const STORED_AT_ONCE: usize = 8;

/// A message for a stream.
#[derive(Clone)]
pub(super) struct StreamLetter {
    /// What the sender knows it by.
    pub(super) key: u64,
    pub(super) subject: String,
    pub(super) message_id: String,
    pub(super) body: Bytes,
}

enum PosterCommand {
    Post(StreamLetter),
    /// It is not needed any more.
    Forget(u64),
    ForgetAll,
    /// The connection stands again.
    Again,
}

/// Tells what is in a stream: the key of a letter, and its sequence number.
pub(super) type OnPosted = Box<dyn Fn(u64, u64) + Send>;

/// Gives letters to a stream.
#[derive(Clone)]
pub(super) struct Poster(UnboundedSender<PosterCommand>);

impl Poster {
    /// `missing` is notified when there is no stream.
    pub(super) fn start(context: Context, bodies: Arc<Bodies>, missing: Arc<Notify>, on_posted: OnPosted) -> Self {
        let (sender, commands) = unbounded_channel();
        let stored_at_once = Arc::new(tokio::sync::Semaphore::new(STORED_AT_ONCE));
        let post_office = PostOffice {
            sending: Sending { context, bodies, stored_at_once },
            missing,
            on_posted,
            waiting: BTreeMap::new(),
            flights: FuturesUnordered::new(),
        };
        tokio::spawn(post_office.serve(commands));
        Self(sender)
    }

    pub(super) fn post(&self, letter: StreamLetter) {
        self.command(PosterCommand::Post(letter));
    }

    pub(super) fn forget(&self, key: u64) {
        self.command(PosterCommand::Forget(key));
    }

    pub(super) fn forget_all(&self) {
        self.command(PosterCommand::ForgetAll);
    }

    pub(super) fn again(&self) {
        self.command(PosterCommand::Again);
    }

    fn command(&self, command: PosterCommand) {
        let _ = self.0.send(command);
    }
}

struct PostOffice {
    sending: Sending,
    missing: Arc<Notify>,
    on_posted: OnPosted,
    /// Letters without an answer, each with the number of its attempt.
    waiting: BTreeMap<u64, (StreamLetter, u32)>,
    flights: FuturesUnordered<BoxFuture<'static, Flight>>,
}

/// How an attempt has ended.
struct Flight {
    key: u64,
    attempt: u32,
    sequence: Result<u64, String>,
}

#[derive(Clone)]
struct Sending {
    context: Context,
    bodies: Arc<Bodies>,
    stored_at_once: Arc<tokio::sync::Semaphore>,
}

impl PostOffice {
    async fn serve(mut self, mut commands: UnboundedReceiver<PosterCommand>) {
        loop {
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                Some(flight) = self.flights.next(), if !self.flights.is_empty() => self.landed(flight),
            }
        }
    }

    fn obey(&mut self, command: PosterCommand) {
        match command {
            PosterCommand::Post(letter) => self.send(letter, 0, Duration::ZERO),
            PosterCommand::Forget(key) => drop(self.waiting.remove(&key)),
            PosterCommand::ForgetAll => self.waiting.clear(),
            PosterCommand::Again => {
                for (letter, attempt) in std::mem::take(&mut self.waiting).into_values() {
                    self.send(letter, attempt + 1, Duration::ZERO);
                }
            }
        }
    }

    fn send(&mut self, letter: StreamLetter, attempt: u32, delay: Duration) {
        let (sending, key) = (self.sending.clone(), letter.key);
        self.waiting.insert(key, (letter.clone(), attempt));
        self.flights.push(Box::pin(async move {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            Flight { key, attempt, sequence: sending.publish(letter).await }
        }));
    }

    fn landed(&mut self, Flight { key, attempt, sequence }: Flight) {
        match sequence {
            Ok(sequence) => {
                if self.waiting.remove(&key).is_some() {
                    (self.on_posted)(key, sequence);
                }
            }
            Err(_) => {
                self.missing.notify_one();
                // Another attempt is under way where the numbers differ (rule 2).
                let Some((letter, latest)) = self.waiting.get(&key) else {
                    return;
                };
                if *latest == attempt {
                    let delay = (RETRY_FIRST * (1 << attempt.min(5))).min(RETRY_MAX);
                    self.send(letter.clone(), attempt + 1, delay);
                }
            }
        }
    }
}

impl Sending {
    async fn publish(&self, StreamLetter { subject, message_id, body, .. }: StreamLetter) -> Result<u64, String> {
        let message = if self.bodies.is_inline(body.len()) {
            PublishMessage::build().payload(body)
        } else {
            let _permit = self.stored_at_once.acquire().await.map_err(|error| error.to_string())?;
            self.bodies.put(&message_id, &body).await?;
            PublishMessage::build().header(OBJECT_HEADER, message_id.as_str())
        };
        let sent = self.context.send_publish(subject, message.message_id(message_id)).await;
        let posted = sent.map_err(|error| error.to_string())?.await.map_err(|error| error.to_string())?;
        Ok(posted.sequence)
    }
}
