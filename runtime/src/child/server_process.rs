//! A fork server as its pool sees it: the process, how far it has come, and the workers that it is asked for.
//!
//! 1. The thread that starts it is the parent of all that it makes (`sys::beside`): it alone asks for workers.
//! 2. Its word is not trusted: a worker that it names must be a child of this thread that was not known before.
//! 3. A request is answered before the next is sent. A server that does not answer in time is killed, and so is one that breaks the
//!    protocol.
//! 4. When it dies, its workers go on, and the pool starts another.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::kill::kill;
use super::spawn::{Particulars, Start, StartError, greeted, start, variables};
use super::{Cause, EntryPoint, Verdict};
use crate::error::{TaskError, TaskErrorKind};
use crate::functions;
use crate::sys::{self, ChildProcess, End, Surroundings, Watch};
use crate::task::{Origin, Output, Role};
use crate::transport::{Arena, ChannelError, ChannelEvent, Chunk, ParentChannel};
use crate::wire::{CopyRequest, Violation};

/// A request for a worker is answered within this: to copy the page tables of 100 GiB takes a second or two.
const COPY_TIME_MAX: Duration = Duration::from_secs(10);

/// What a fork server is started with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerOptions<'a> {
    pub(crate) entry: &'a EntryPoint,
    /// Those of the workers.
    pub(crate) start: &'a Start,
    pub(crate) startup_timeout: Duration,
    pub(crate) preload_timeout: Duration,
}

/// A fork server that was started, and is not reaped yet.
pub(crate) struct ForkServer {
    process: ChildProcess,
    channel: ParentChannel,
    /// The call that it runs first, which is held until it has the arguments, and the name of the function.
    preload: Option<(Chunk, &'static str)>,
    stage: Stage,
    /// When the other end of the channel was seen to be closed.
    closed_at: Option<Instant>,
    startup_timeout: Duration,
    preload_timeout: Duration,
}

/// How far it has come.
enum Stage {
    /// It has not said hello; it must by then.
    Starting(Instant),
    /// It runs its first call; it must be done by then.
    Preloading(Instant),
    Ready,
    /// It is killed, for this reason.
    Ending(Ending),
}

/// Why a server is killed.
#[derive(Debug)]
enum Ending {
    /// The pool needs it no more.
    Unneeded,
    Late,
    Faulty(String),
    /// Its first call has failed.
    Failed(TaskErrorKind),
    PreloadTooLong,
    /// Its first call has left threads with these names.
    Threads(String),
}

/// The end of a server that was reaped.
#[derive(Debug)]
pub(crate) enum ServerEnd {
    /// The pool needed it no more.
    InOrder,
    /// It failed for what it did itself before it was ready: another will fail the same way.
    Failed(String),
    /// It was killed from outside, or died when it was ready: another may do.
    Died(String, Origin),
}

impl ForkServer {
    /// Starts one.
    pub(crate) fn start(
        options: ServerOptions<'_>,
        surroundings: &Surroundings,
        name: Option<String>,
        preload: Option<(Chunk, &'static str)>,
    ) -> Result<Self, StartError> {
        let ServerOptions { entry, start: of_workers, startup_timeout, preload_timeout } = options;
        let of_server = Start { role: Role::Server, memory_limit: None, output: Output::Inherited, ..*of_workers };
        let particulars = Particulars { name, ..Particulars::default() };
        let (mut process, mut channel) = start(entry, &of_server, surroundings, None, &particulars)?;
        let mut stage = Stage::Starting(Instant::now() + startup_timeout);
        if let Some((chunk, _)) = &preload
            && let Err(fault) = channel.assign(chunk, 0)
        {
            kill(&mut process, &mut channel);
            stage = Stage::Ending(Ending::Faulty(described(fault)));
        }
        Ok(Self { process, channel, preload, stage, closed_at: None, startup_timeout, preload_timeout })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Whether it makes workers.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Ready) && self.closed_at.is_none()
    }

    /// What to wait for: the channel, and the process where the system has a descriptor for it.
    pub(crate) fn watches(&self) -> impl Iterator<Item = Watch<'_>> {
        let is_read = self.closed_at.is_none() && !matches!(self.stage, Stage::Ending(_));
        let stream = is_read.then(|| self.channel.stream());
        let stream = stream.map(|stream| Watch { write: self.channel.wants_write(), ..Watch::read(stream.as_fd()) });
        stream.into_iter().chain(self.process.borrowed_descriptor().map(Watch::read))
    }

    /// When it is to be attended to if nothing happens before.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let closed = self.closed_at.map(|closed_at| closed_at + END_GRACE);
        match self.stage {
            Stage::Starting(until) | Stage::Preloading(until) => closed.into_iter().chain([until]).min(),
            Stage::Ready => closed,
            Stage::Ending(_) => None,
        }
    }

    /// Whether its end can only be asked for, again and again.
    pub(crate) fn is_blind(&self) -> bool {
        self.process.borrowed_descriptor().is_none()
    }

    /// Ends it: the pool needs it no more.
    pub(crate) fn end(&mut self) {
        if !matches!(self.stage, Stage::Ending(_)) {
            self.kill(Ending::Unneeded);
        }
    }

    /// Takes in what has happened; returns its end once it is reaped.
    pub(crate) fn attend(&mut self, now: Instant) -> Option<ServerEnd> {
        let reaped = self.process.try_reap();
        if !matches!(self.stage, Stage::Ending(_)) {
            match if self.closed_at.is_none() { self.exchange() } else { Ok(()) } {
                // Its end is awaited: that says more.
                Err(ChannelError::Closed) => self.closed_at = Some(now),
                Err(fault) => self.kill(Ending::Faulty(described(fault))),
                Ok(()) => {}
            }
            if reaped.is_none() && self.closed_at.is_some_and(|closed_at| closed_at + END_GRACE <= now) {
                self.kill(Ending::Faulty(described(ChannelError::Closed)));
            }
            match self.stage {
                Stage::Starting(until) if until <= now && reaped.is_none() => self.kill(Ending::Late),
                Stage::Preloading(until) if until <= now && reaped.is_none() => self.kill(Ending::PreloadTooLong),
                _ => {}
            }
        }
        reaped.map(|end| self.ended(end))
    }

    /// Sends and receives what there is.
    fn exchange(&mut self) -> Result<(), ChannelError> {
        self.channel.flush()?;
        let Self { channel, .. } = self;
        let mut events = Vec::new();
        let received = channel.receive(|event| {
            events.push(event);
            Ok(())
        });
        for event in events {
            self.apply(event)?;
        }
        received.map(drop)
    }

    fn apply(&mut self, event: ChannelEvent) -> Result<(), ChannelError> {
        match event {
            ChannelEvent::Hello => {
                self.stage = match self.preload {
                    Some(_) => {
                        let now = Instant::now();
                        Stage::Preloading(now.checked_add(self.preload_timeout).unwrap_or(now + DISTANT))
                    }
                    None => Stage::Ready,
                };
            }
            ChannelEvent::Results(batch) => {
                if let Some(kind) = functions::failure(batch.records, Output::Inherited) {
                    self.kill(Ending::Failed(kind));
                }
            }
            ChannelEvent::Preloaded(None) => {
                if let Stage::Starting(_) | Stage::Preloading(_) = self.stage {
                    self.stage = Stage::Ready;
                }
            }
            ChannelEvent::Preloaded(Some(names)) => self.kill(Ending::Threads(names)),
            ChannelEvent::Decoded | ChannelEvent::Returned | ChannelEvent::Copied(_) => {
                return Err(Violation::new("it answered what it was not asked").into());
            }
        }
        Ok(())
    }

    fn kill(&mut self, ending: Ending) {
        kill(&mut self.process, &mut self.channel);
        self.stage = Stage::Ending(ending);
    }

    /// Has it make a worker, which is greeted; `is_known` says whether a process is one that the pool has already.
    ///
    /// # Errors
    ///
    /// The channel of the worker could not be made; the system refused the server another process; the server died or did not answer.
    pub(crate) fn start_worker(
        &mut self,
        options: ServerOptions<'_>,
        arena: &Arena,
        particulars: &Particulars,
        is_known: impl Fn(u32) -> bool,
    ) -> Result<(ChildProcess, ParentChannel), StartError> {
        // The server has the nice value, which its copies have from it.
        let of_worker = Start { nice: 0, ..*options.start };
        let (channel, worker_end) = greeted(options.entry, &of_worker, Some(arena), particulars)?;
        let request = CopyRequest {
            cpus: particulars.cpus.iter().map(|&cpu| cpu as u64).collect(),
            variables: variables(&of_worker, particulars).map(std::ffi::CString::into_bytes).collect(),
        };
        self.channel.request_copy(&request, worker_end.as_fd()).map_err(StartError::Copy)?;
        drop(worker_end);
        let pid = self.answer().map_err(StartError::Copy)?;
        let adopted = if pid == self.pid() || is_known(pid) { None } else { ChildProcess::adopt(pid).ok() };
        let Some(process) = adopted else {
            let why = format!("it named process {pid}, which is no new child of this one");
            self.kill(Ending::Faulty(why.clone()));
            return Err(StartError::Copy(io::Error::other(why)));
        };
        Ok((process, channel))
    }

    /// Waits for the answer to a request.
    fn answer(&mut self) -> io::Result<u32> {
        let until = Instant::now() + COPY_TIME_MAX;
        loop {
            let mut answer = None;
            let received = self.channel.receive(|event| match event {
                ChannelEvent::Copied(made) if answer.is_none() => {
                    answer = Some(Ok(made));
                    Ok(())
                }
                ChannelEvent::Preloaded(Some(names)) => {
                    answer = Some(Err(Ending::Threads(names)));
                    Ok(())
                }
                ChannelEvent::Preloaded(None) => Ok(()),
                _ => Err(Violation::new("it answered what it was not asked").into()),
            });
            match answer {
                Some(Ok(made)) => return made.map_err(io::Error::from_raw_os_error),
                Some(Err(ending)) => {
                    let why = ending.to_string();
                    self.kill(ending);
                    return Err(io::Error::other(why));
                }
                None => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            if received == Err(ChannelError::Closed) {
                self.closed_at = Some(Instant::now());
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Err(fault) = received {
                let why = described(fault);
                self.kill(Ending::Faulty(why.clone()));
                return Err(io::Error::other(why));
            }
            if left.is_zero() {
                let why = format!("it did not answer within {COPY_TIME_MAX:?}");
                self.kill(Ending::Faulty(why.clone()));
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            sys::poll(&mut [Watch::read(self.channel.stream().as_fd())], Some(left))?;
        }
    }

    /// Why it has ended.
    fn ended(&mut self, end: End) -> ServerEnd {
        let pid = self.process.pid();
        let was_ready = matches!(self.stage, Stage::Ready);
        let stage = std::mem::replace(&mut self.stage, Stage::Ready);
        let of_preload = |kind: TaskErrorKind| {
            let function = self.preload.as_ref().map_or("", |(_, function)| *function);
            let error = TaskError::new(0, function, 1, Some(pid), kind);
            format!("the fork server of the pool could not preload: {}", error.without_index())
        };
        let verdict = |cause| Verdict::new(cause, end, pid, &self.channel, self.channel.begun(), was_ready);
        match stage {
            Stage::Ending(Ending::Unneeded) => ServerEnd::InOrder,
            Stage::Ending(Ending::Failed(kind)) => ServerEnd::Failed(of_preload(kind)),
            Stage::Ending(Ending::PreloadTooLong) => {
                ServerEnd::Failed(of_preload(TaskErrorKind::TimedOut { limit: self.preload_timeout }))
            }
            Stage::Ending(ending @ Ending::Threads(_)) => {
                ServerEnd::Failed(format!("the fork server of the pool cannot be copied: {ending}"))
            }
            Stage::Ending(Ending::Late) => ServerEnd::Failed(self.start_failure(&verdict(Cause::Late))),
            Stage::Ending(Ending::Faulty(why)) => {
                ServerEnd::Died(self.start_failure(&verdict(Cause::Faulty(why))), Origin::Itself)
            }
            Stage::Preloading(_) if self.channel.begun() > 0 => {
                let verdict = verdict(Cause::Closed);
                let message = verdict.error.clone().map_or_else(|| self.start_failure(&verdict), of_preload);
                match verdict.origin {
                    Origin::Itself => ServerEnd::Failed(message),
                    Origin::Outside => ServerEnd::Died(message, Origin::Outside),
                }
            }
            Stage::Starting(_) | Stage::Preloading(_) | Stage::Ready => {
                let verdict = verdict(Cause::Closed);
                ServerEnd::Died(self.start_failure(&verdict), verdict.origin)
            }
        }
    }

    fn start_failure(&self, verdict: &Verdict) -> String {
        let longer = ", or give it more time with Pool::builder().startup_timeout(…)";
        verdict.start_failure("the fork server of the pool", self.startup_timeout, longer)
    }
}

/// A server whose channel is closed has so long to end by itself: so it is learnt how it ended.
const END_GRACE: Duration = Duration::from_millis(500);

/// So far a deadline is off where the clock has no later moment.
const DISTANT: Duration = Duration::from_secs(365 * 24 * 3600);

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Threads(names) => write!(
                f,
                "it has other threads ({names}), and a copy would have none of them: end them in the function that is preloaded, and \
                 start threads in the initializer; start none before poolmap::init()",
            ),
            Self::Faulty(why) => f.write_str(why),
            other => write!(f, "{other:?}"),
        }
    }
}

fn described(fault: ChannelError) -> String {
    match fault {
        ChannelError::Closed => "it closed its channel".to_owned(),
        ChannelError::Broken(why) => why,
        ChannelError::Violation(what) => format!("it broke the protocol: {}", what.0),
    }
}
