//! A driver's session: its tasks, how they begin and end, and what its agents are told.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Subscriber;
use async_nats::jetstream::Context;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::bodies::Bodies;
use super::chores::{Chore, ChoreHand};
use super::connection::{NatsConnection, connect};
use super::courier::Courier;
use super::forms::SessionEntry;
use super::gc;
use super::keeper::Keeper;
use super::names::{ProgramNames, SessionNames, identity};
use super::notices::DriverNotice;
use super::options::NatsOptions;
use super::poster::Poster;
use super::results::ResultReader;
use super::streams;
use crate::cluster::messages::decode;
use crate::error::{Error, Result};

/// So many refused agents are told of.
pub(super) const REFUSED_MAX: usize = 1024;
/// The streams of a new session are made within this.
const BEGIN_TIME: Duration = Duration::from_secs(10);
/// The end takes so long at most.
const END_TIME: Duration = Duration::from_secs(3);

/// The tasks of a driver.
pub(super) struct DriverTasks {
    pub(super) names: SessionNames,
    pub(super) address: String,
    pub(super) courier: Courier,
    pub(super) poster: Poster,
    pub(super) bodies: Arc<Bodies>,
    context: Context,
    options: NatsOptions,
    keeper: tokio::task::JoinHandle<()>,
}

/// Connects, makes the session, and starts its tasks.
pub(super) async fn begin(
    options: &NatsOptions,
    entry: watch::Receiver<SessionEntry>,
    again: Arc<Notify>,
    notices: UnboundedSender<DriverNotice>,
) -> Result<(DriverTasks, UnboundedSender<Chore>)> {
    let NatsConnection { client, context, changes, address } = connect(options, "driver").await?;
    let refused = |what: &str, why: String| {
        Error::start(format!("the NATS server at {address} does not allow {what}: {why}; the key may lack permissions"))
    };
    let program = ProgramNames::new(options);
    let names = program.session(&identity()?);
    // Agents that hear of the session answer at once.
    let beats = client.subscribe(names.beats()).await.map_err(|error| refused("to listen", error.to_string()))?;
    let hellos = client.subscribe(program.hello()).await.map_err(|error| refused("to listen", error.to_string()))?;
    let courier = Courier::start(client);
    let missing = Arc::new(Notify::new());
    let bodies = Arc::new(Bodies::new(context.clone(), &names, options.storage));
    let keeper = Keeper {
        context: context.clone(),
        names: names.clone(),
        options: options.clone(),
        courier: courier.clone(),
        entry,
        changes,
        missing: Arc::clone(&missing),
        notices: notices.clone(),
    };
    let begun = timeout(BEGIN_TIME, keeper.begin()).await;
    begun.unwrap_or_else(|_| Err("it takes too long".to_owned())).map_err(|why| refused("to make streams", why))?;
    let keeper = tokio::spawn(keeper.run());
    tokio::spawn(listen(beats, notices.clone(), DriverNotice::Beat));
    tokio::spawn(listen(hellos, notices.clone(), DriverNotice::Stranger));
    let posted = notices.clone();
    let on_posted = Box::new(move |send, sequence| drop(posted.send(DriverNotice::Posted { send, sequence })));
    let poster = Poster::start(context.clone(), Arc::clone(&bodies), Arc::clone(&missing), on_posted);
    let reader = ResultReader {
        context: context.clone(),
        stream: names.result_stream(),
        bodies: Arc::clone(&bodies),
        missing,
        again,
        notices: notices.clone(),
    };
    tokio::spawn(reader.run());
    let (chores, received) = unbounded_channel();
    let hand = ChoreHand { context: context.clone(), names: names.clone(), bodies: Arc::clone(&bodies), notices };
    tokio::spawn(hand.run(received));
    tokio::spawn(gc::sweep(context.clone(), program));
    let options = options.clone();
    Ok((DriverTasks { names, address, courier, poster, bodies, context, options, keeper }, chores))
}

impl DriverTasks {
    /// Ends the session: removes what it has in the server, if that is there.
    pub(super) async fn end(&mut self, is_connected: bool) {
        self.keeper.abort();
        self.poster.forget_all();
        if !is_connected {
            return;
        }
        let ending = async {
            self.courier.flush().await;
            let sessions = streams::sessions(&self.context, &self.names.program, self.options.storage).await;
            if let Ok(sessions) = sessions {
                let _ = sessions.delete(self.names.key()).await;
            }
            streams::remove(&self.context, &self.names).await;
            self.bodies.remove_all().await;
        };
        // What is left is removed by whoever comes next.
        let _ = timeout(END_TIME, ending).await;
    }
}

/// Passes on what is said on a subject, where it can be read.
async fn listen<T: DeserializeOwned, N>(mut said: Subscriber, notices: UnboundedSender<N>, notice: fn(T) -> N) {
    while let Some(message) = said.next().await {
        if let Ok(form) = decode(&message.payload)
            && notices.send(notice(form)).is_err()
        {
            return;
        }
    }
}
