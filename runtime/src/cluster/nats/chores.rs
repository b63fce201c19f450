//! What a driver asks of the server beside its works: to forget works that have ended, to say which it has, to remove results that were
//! read. One after the other, as none of it is urgent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::RawMessageErrorKind;
use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::bodies::Bodies;
use super::names::{MESSAGE_ID, SessionNames};
use super::notices::{DriverNotice, SentWork};

const STORE_ATTEMPTS: u32 = 5;
const STORE_RETRY: Duration = Duration::from_millis(500);

/// Something to do.
pub(super) enum Chore {
    /// Nobody is to be given this work any more.
    DeleteWork {
        sequence: u64,
    },
    RemoveObject(String),
    StoreObject {
        name: String,
        body: Bytes,
    },
    /// The results up to this one are with the dispatcher.
    PurgeResults {
        sequence: u64,
    },
    /// Which of these works are not in the stream? Where `is_thorough` is not set, their number is enough if it is right.
    Check {
        works: Vec<SentWork>,
        outstanding: usize,
        is_thorough: bool,
    },
}

/// Does chores.
pub(super) struct ChoreHand {
    pub(super) context: Context,
    pub(super) names: SessionNames,
    pub(super) bodies: Arc<Bodies>,
    pub(super) notices: UnboundedSender<DriverNotice>,
}

impl ChoreHand {
    pub(super) async fn run(self, mut chores: UnboundedReceiver<Chore>) {
        let mut waiting = VecDeque::new();
        while let Some(chore) = chores.recv().await {
            waiting.push_back(chore);
            while let Ok(chore) = chores.try_recv() {
                waiting.push_back(chore);
            }
            while let Some(chore) = waiting.pop_front() {
                self.perform(chore).await;
            }
        }
    }

    /// Does one, if it can be: the server may be away, and nothing depends on any of these.
    async fn perform(&self, chore: Chore) {
        match chore {
            Chore::DeleteWork { sequence } => {
                let stream = self.context.get_stream_no_info(self.names.work_stream()).await;
                if let Ok(stream) = stream {
                    let _ = stream.delete_message(sequence).await;
                }
            }
            Chore::RemoveObject(name) => self.bodies.remove(&name).await,
            Chore::StoreObject { name, body } => {
                // The agents ask again until it is there. After a longer outage it is stored once more.
                for _ in 0..STORE_ATTEMPTS {
                    if self.bodies.put(&name, &body).await.is_ok() {
                        break;
                    }
                    tokio::time::sleep(STORE_RETRY).await;
                }
            }
            Chore::PurgeResults { sequence } => {
                let stream = self.context.get_stream_no_info(self.names.result_stream()).await;
                if let Ok(stream) = stream {
                    let _ = stream.purge().sequence(sequence + 1).await;
                }
            }
            Chore::Check { works, outstanding, is_thorough } => {
                if let Some(missing) = self.missing(works, outstanding, is_thorough).await {
                    let _ = self.notices.send(DriverNotice::Missing(missing));
                }
            }
        }
    }

    /// The works that the server does not have; none if it does not say.
    async fn missing(&self, works: Vec<SentWork>, outstanding: usize, is_thorough: bool) -> Option<Vec<SentWork>> {
        let mut stream = self.context.get_stream(self.names.work_stream()).await.ok()?;
        let here = stream.info().await.ok()?.state.messages;
        if here >= outstanding as u64 && !is_thorough {
            return None;
        }
        let mut missing = Vec::new();
        for work in works {
            let id = self.names.work_id(work.work, work.send);
            let is_here = match stream.get_raw_message(work.sequence).await {
                Ok(message) => message.headers.get(MESSAGE_ID).is_some_and(|header| header.as_str() == id),
                Err(error) => match error.kind() {
                    RawMessageErrorKind::NoMessageFound => false,
                    RawMessageErrorKind::JetStream(cause) => cause.code() != 404,
                    _ => true,
                },
            };
            if !is_here {
                missing.push(work);
            }
        }
        Some(missing)
    }
}
