//! The runtime that everything of NATS runs on. It belongs to one thread, and runs only while that waits here.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::error::{Error, Result};
use crate::sys;

/// At the end, the runtime waits so long for a thread that looks up the name of a host.
const SHUTDOWN_TIME: Duration = Duration::from_millis(10);

/// A runtime, and the notices of its tasks.
pub(super) struct Lane<N> {
    /// There until the lane is dropped.
    runtime: Option<Runtime>,
    notices: UnboundedReceiver<N>,
    sender: UnboundedSender<N>,
    wake: Arc<Notify>,
}

/// Why a wait has ended.
pub(super) enum Waited<N> {
    Notice(N),
    Woken,
    TimedOut,
}

impl<N: Send + 'static> Lane<N> {
    pub(super) fn new() -> Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::start(sys::start_error("the client of NATS", &error)))?;
        let (sender, notices) = unbounded_channel();
        Ok(Self { runtime: Some(runtime), notices, sender, wake: Arc::default() })
    }

    pub(super) fn sender(&self) -> UnboundedSender<N> {
        self.sender.clone()
    }

    pub(super) fn handle(&self) -> Handle {
        self.runtime().handle().clone()
    }

    pub(super) fn run<F: Future>(&self, future: F) -> F::Output {
        self.runtime().block_on(future)
    }

    /// Wakes the thread that waits for a notice, or the next one that does.
    pub(super) fn waker(&self) -> Arc<dyn Fn() + Send + Sync> {
        let wake = Arc::clone(&self.wake);
        Arc::new(move || wake.notify_one())
    }

    /// Waits for a notice. The tasks run meanwhile, a little also where the wait is none.
    pub(super) fn wait(&mut self, wait: Duration) -> Waited<N> {
        if let Ok(notice) = self.notices.try_recv() {
            return Waited::Notice(notice);
        }
        let Self { runtime, notices, wake, .. } = self;
        let runtime = runtime.as_ref().expect("the runtime is there until the lane is dropped");
        runtime.block_on(async {
            tokio::task::yield_now().await;
            let next = async {
                tokio::select! {
                    biased;
                    Some(notice) = notices.recv() => Waited::Notice(notice),
                    () = wake.notified() => Waited::Woken,
                }
            };
            tokio::time::timeout(wait, next).await.unwrap_or(Waited::TimedOut)
        })
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("the runtime is there until the lane is dropped")
    }
}

impl<N> Drop for Lane<N> {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(SHUTDOWN_TIME);
        }
    }
}
