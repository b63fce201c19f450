//! The tasks of an agent, and what its parts in sessions have in common.

use std::sync::Arc;

use async_nats::Subscriber;
use async_nats::jetstream::Context;
use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::connection::{NatsConnection, connect};
use super::courier::Courier;
use super::forms::AgentBeat;
use super::gc;
use super::names::{ProgramNames, random_number};
use super::notices::AgentNotice;
use super::options::NatsOptions;
use super::sessions::SessionSearch;
use crate::cluster::messages::{Hello, decode};
use crate::error::{Error, Result};

/// What an agent and its parts in sessions have in common.
pub(super) struct LinkTasks {
    pub(super) options: NatsOptions,
    pub(super) program: ProgramNames,
    pub(super) hello: Hello,
    pub(super) agent: u64,
    /// Where works come, behind a session and the number of a request.
    pub(super) inbox: String,
    pub(super) context: Context,
    pub(super) courier: Courier,
    /// Has it look for its session at once.
    pub(super) nudge: Arc<Notify>,
    pub(super) notices: UnboundedSender<AgentNotice>,
}

/// Connects, and starts the tasks of an agent.
pub(super) async fn begin(
    options: NatsOptions,
    hello: Hello,
    notices: UnboundedSender<AgentNotice>,
) -> Result<Arc<LinkTasks>> {
    let NatsConnection { client, context, changes, address } = connect(&options, "agent").await?;
    let refused = |error: async_nats::SubscribeError| {
        Error::start(format!(
            "the NATS server at {address} does not allow to listen: {error}; the key may lack permissions"
        ))
    };
    let agent = random_number()?;
    let program = ProgramNames::new(&options);
    let control = client.subscribe(program.control()).await.map_err(refused)?;
    let refusals = client.subscribe(program.refusal(agent)).await.map_err(refused)?;
    let inbox = client.new_inbox();
    let pulled = client.subscribe(format!("{inbox}.*.*")).await.map_err(refused)?;
    let courier = Courier::start(client);
    let tasks = Arc::new(LinkTasks {
        options,
        program: program.clone(),
        hello: hello.clone(),
        agent,
        inbox,
        context: context.clone(),
        courier: courier.clone(),
        nudge: Arc::default(),
        notices: notices.clone(),
    });
    tokio::spawn(pass_works(pulled, notices.clone()));
    tokio::spawn(pass_controls(control, notices.clone()));
    tokio::spawn(pass_refusals(refusals, notices.clone()));
    tokio::spawn(pass_changes(changes, notices.clone()));
    let search = SessionSearch {
        context: context.clone(),
        names: program.clone(),
        table: hello.table,
        hello: AgentBeat { agent, hello, held: Vec::new(), is_leaving: false },
        courier,
        nudge: Arc::clone(&tasks.nudge),
        notices,
    };
    tokio::spawn(search.run());
    tokio::spawn(gc::sweep(context, program));
    Ok(tasks)
}

async fn pass_works(mut pulled: Subscriber, notices: UnboundedSender<AgentNotice>) {
    while let Some(message) = pulled.next().await {
        // A work comes with the subject that it was published on, and the end of a request with that of its answer: the session is the
        // last part but one of both.
        if let Some(session) = message.subject.rsplit('.').nth(1).map(str::to_owned) {
            let _ = notices.send(AgentNotice::Pulled { session, message });
        }
    }
}

async fn pass_controls(mut said: Subscriber, notices: UnboundedSender<AgentNotice>) {
    while let Some(message) = said.next().await {
        let session = message.subject.split('.').nth(2).map(str::to_owned);
        if let (Some(session), Ok(form)) = (session, decode(&message.payload)) {
            let _ = notices.send(AgentNotice::Control { session, form });
        }
    }
}

async fn pass_refusals(mut said: Subscriber, notices: UnboundedSender<AgentNotice>) {
    while let Some(message) = said.next().await {
        let _ = notices.send(AgentNotice::Refused(String::from_utf8_lossy(&message.payload).into_owned()));
    }
}

async fn pass_changes(mut changes: UnboundedReceiver<bool>, notices: UnboundedSender<AgentNotice>) {
    while let Some(is_connected) = changes.recv().await {
        let _ = notices.send(AgentNotice::Connected(is_connected));
    }
}
