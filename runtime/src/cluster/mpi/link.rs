//! An agent's link to its driver over MPI: a rank above 0, which hears rank 0 alone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fabric::{Fabric, FabricEvent};
use super::waiting::PollingThread;
use crate::cluster::engine::{Arrival, Link};
use crate::cluster::messages::{self, FromAgent, ToAgent};

/// An agent that was asked to end before the others stays until they do: MPI cannot lose a rank.
const END_TIME_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// The link.
pub(in crate::cluster) struct MpiLink {
    fabric: Fabric,
    arrivals: VecDeque<Arrival>,
    thread: PollingThread,
}

impl MpiLink {
    pub(in crate::cluster) fn new(fabric: Fabric) -> Self {
        Self { fabric, arrivals: VecDeque::new(), thread: PollingThread::current() }
    }

    fn gone(&mut self, why: String) {
        self.arrivals.push_back(Arrival::Gone { why });
    }
}

impl Link for MpiLink {
    fn poll(&mut self, wait: Duration) -> Option<Arrival> {
        let until = Instant::now() + wait;
        loop {
            match self.fabric.receive() {
                Ok(Some(FabricEvent::Message { body, .. })) => match messages::decode::<ToAgent>(&body) {
                    Ok(message) => self.arrivals.push_back(Arrival::Message(message)),
                    Err(error) => self.gone(format!("the driver sent what is no message: {error}")),
                },
                Ok(Some(FabricEvent::Ended { .. })) => {
                    self.arrivals.push_back(Arrival::Gone { why: "the driver has ended".to_owned() });
                }
                Ok(Some(FabricEvent::Lost { why, .. })) => self.gone(format!("the driver is lost: {why}")),
                Ok(None) => {}
                Err(why) => self.gone(why),
            }
            if let Some(arrival) = self.arrivals.pop_front() {
                return Some(arrival);
            }
            if !self.thread.wait(&mut self.fabric, until) {
                return None;
            }
        }
    }

    fn send(&mut self, message: FromAgent) {
        // Where it is not sent, the driver is lost, which is an event of its own.
        let body = messages::encode(&message);
        match message {
            FromAgent::Beat(_) => self.fabric.send_sign_of_life(0, body),
            _ => self.fabric.send(0, body),
        };
    }

    fn waker(&self) -> Arc<dyn Fn() + Send + Sync> {
        self.thread.waker()
    }

    fn refused_code(&self) -> i32 {
        // Any other would end the job, which goes on without it.
        0
    }

    fn close(self: Box<Self>, code: i32) {
        self.fabric.finish(code, END_TIME_MAX);
    }
}
