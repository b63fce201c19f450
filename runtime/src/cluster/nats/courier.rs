//! Sends what may be lost: signs of life, acknowledgements, requests. Nobody waits for it.

use async_nats::Client;
use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

/// A message that may be lost.
struct Postcard {
    subject: String,
    reply: Option<String>,
    body: Bytes,
}

enum CourierCommand {
    Send(Postcard),
    /// Says when everything before it is with the server.
    Flush(oneshot::Sender<()>),
}

/// Gives postcards to a client.
#[derive(Clone)]
pub(super) struct Courier(UnboundedSender<CourierCommand>);

impl Courier {
    pub(super) fn start(client: Client) -> Self {
        let (sender, commands) = unbounded_channel();
        tokio::spawn(carry(client, commands));
        Self(sender)
    }

    pub(super) fn send(&self, subject: impl Into<String>, body: impl Into<Bytes>) {
        self.post(Postcard { subject: subject.into(), reply: None, body: body.into() });
    }

    pub(super) fn request(&self, subject: String, reply: String, body: impl Into<Bytes>) {
        self.post(Postcard { subject, reply: Some(reply), body: body.into() });
    }

    /// Returns when everything that was sent is with the server.
    pub(super) async fn flush(&self) {
        let (sender, flushed) = oneshot::channel();
        let _ = self.0.send(CourierCommand::Flush(sender));
        let _ = flushed.await;
    }

    fn post(&self, postcard: Postcard) {
        // The task has ended where the session has.
        let _ = self.0.send(CourierCommand::Send(postcard));
    }
}

async fn carry(client: Client, mut commands: UnboundedReceiver<CourierCommand>) {
    while let Some(command) = commands.recv().await {
        // An error is one of the subject or of the size, and neither comes from outside.
        match command {
            CourierCommand::Send(Postcard { subject, reply: Some(reply), body }) => {
                let _ = client.publish_with_reply(subject, reply, body).await;
            }
            CourierCommand::Send(Postcard { subject, reply: None, body }) => {
                let _ = client.publish(subject, body).await;
            }
            CourierCommand::Flush(flushed) => {
                let _ = client.flush().await;
                let _ = flushed.send(());
            }
        }
    }
}
