//! The end of a job: all messages arrive, and MPI ends in all processes together; or the job is aborted. The rules are in `mpi`.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::fabric::{Fabric, PartnerState};
use super::intake::END;
use crate::sys::exit_now;

/// An abort takes milliseconds. It is known to hang after the death of a rank, also of one that nobody has noticed.
const ABORT_TIME_MAX: Duration = Duration::from_secs(30);
/// So does the end of MPI, when all messages have arrived. MPICH 4.0 over UCX and TCP often hangs there on several hosts: a rank that has
/// closed its connections waits for the launcher, and moves on nothing of what the others need to close theirs (mended in MPICH's pull
/// request 6596). All ranks begin the end together, so their guards end them together.
const FINISH_TIME_MAX: Duration = Duration::from_secs(5);

impl Fabric {
    /// Sends what is on its way, waits for the ends of the partners, and ends MPI. Messages that still come are thrown away.
    ///
    /// The driver has told the agents before, by a message of its own, that they are to end. If a rank is lost, or if this takes longer than
    /// `patience`, it aborts the job with this code, so it does not return. It returns where MPI has ended in all processes: then the
    /// process exits with the code by itself.
    ///
    /// MPI ends in all processes together. An agent that ends before the others waits here for the driver's end.
    pub(crate) fn finish(mut self, code: i32, patience: Duration) {
        let deadline = Instant::now().checked_add(patience);
        let partners: Vec<usize> = if self.rank() == 0 { (1..self.size()).collect() } else { vec![0] };
        // The driver ends last: it aborts the job only while no agent is in the end of MPI.
        if self.rank() != 0 {
            self.send_end(&partners);
        }
        self = self.wait_until(|fabric| partners.iter().all(|&rank| fabric.has_ended(rank)), code, deadline);
        if partners.iter().any(|&rank| self.peers[rank].state == PartnerState::Lost) {
            self.abort(code);
        }
        if self.rank() == 0 {
            self.send_end(&partners);
            self = self.wait_until(|fabric| partners.iter().all(|&rank| fabric.has_ended(rank)), code, deadline);
        }
        if guard_end(code, FINISH_TIME_MAX, || self.session.finish()).is_err() {
            exit_now(code);
        }
    }

    /// Ends all processes of the job, this one too.
    pub(crate) fn abort(self, code: i32) -> ! {
        guard_end(code, ABORT_TIME_MAX, || self.session.abort(code))
    }

    /// Moves messages on until something is so; aborts the job if that takes too long.
    fn wait_until(mut self, is_so: impl Fn(&Self) -> bool, code: i32, deadline: Option<Instant>) -> Self {
        while !is_so(&self) {
            match self.receive() {
                Ok(Some(_)) => {}
                Ok(None) if deadline.is_none_or(|deadline| Instant::now() < deadline) => self.wait(),
                Ok(None) | Err(_) => self.abort(code),
            }
        }
        self
    }

    fn send_end(&mut self, partners: &[usize]) {
        for &rank in partners {
            let peer = &mut self.peers[rank];
            if peer.state != PartnerState::Lost && peer.outgoing.send_empty(&self.session, rank, END).is_err() {
                self.declare_lost(rank);
            }
        }
    }

    /// Whether nothing is on its way between this process and a rank, and nothing will be; or the rank is lost.
    fn has_ended(&self, rank: usize) -> bool {
        let peer = &self.peers[rank];
        match peer.state {
            PartnerState::Open => false,
            PartnerState::Ended => peer.outgoing.is_empty(),
            PartnerState::Lost => true,
        }
    }
}

/// Runs what ends MPI. If it takes longer than `patience`, the process exits with the code.
fn guard_end<R>(code: i32, patience: Duration, end: impl FnOnce() -> R) -> R {
    let (ended, end_seen) = channel::<()>();
    let guard = move || {
        if end_seen.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            exit_now(code);
        }
    };
    // Where no thread can be started, nothing guards the end.
    let _ = std::thread::Builder::new().name("poolmap-mpi-end".to_owned()).spawn(guard);
    let result = end();
    drop(ended);
    result
}
