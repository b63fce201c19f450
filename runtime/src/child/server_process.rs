//! A fork server as its pool sees it: the process, how far it has come, and the workers that it is asked for.
//!
//! 1. The thread that starts it is the parent of all that it makes (`sys::beside`): it alone asks for workers.
//! 2. Its word is not trusted: a worker that it names must be a child of this thread that was not known before.
//! 3. A request is answered before the next is sent. A server that does not answer in time is killed, and so is one that breaks the
//!    protocol.
//! 4. When it dies, its workers go on, and the pool starts another. What it has made and not named is found among the children of this
//!    thread, and ended.
//! 5. It says that it is ready once it has one thread and its output is written, so a request takes no longer than the copy.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::kill::{await_killed, kill};
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
}

/// How long a fork server may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerTimes {
    /// Until it says hello, and until it is ready where it runs no call.
    pub(crate) startup: Duration,
    /// For its first call.
    pub(crate) preload: Duration,
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
    /// A request has no answer that holds: it may have made a worker that it has not named.
    is_asked: bool,
    times: ServerTimes,
}

/// How far it has come.
enum Stage {
    /// It has not said hello; it must by then.
    Starting(Instant),
    /// It runs its first call, if it has one; it must be done by then.
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
    /// It was killed from outside, or died when it was ready, or was late: another may do.
    Died { message: String, origin: Origin, moment: Moment },
    /// It was to be killed, and lives on.
    OutOfReach(String),
}

/// How far a server had come that died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    InPreload,
    Otherwise,
}

impl ForkServer {
    /// Starts one.
    pub(crate) fn start(
        options: ServerOptions<'_>,
        times: ServerTimes,
        surroundings: &Surroundings,
        particulars: Particulars,
        preload: Option<(Chunk, &'static str)>,
    ) -> Result<Self, StartError> {
        let ServerOptions { entry, start: of_workers } = options;
        let of_server = Start { role: Role::Server, output: Output::Inherited, ..*of_workers };
        let particulars = Particulars { index: usize::from(preload.is_some()), ..particulars };
        let (mut process, mut channel) = start(entry, &of_server, surroundings, None, &particulars)?;
        let mut stage = Stage::Starting(Instant::now() + times.startup);
        if let Some((chunk, _)) = &preload
            && let Err(fault) = channel.assign(chunk, 0)
        {
            kill(&mut process, &mut channel);
            stage = Stage::Ending(Ending::Faulty(described(fault)));
        }
        Ok(Self { process, channel, preload, stage, closed_at: None, is_asked: false, times })
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
            Stage::Ending(_) => self.process.reach_deadline(),
        }
    }

    /// Whether it may have made a worker that it has not named.
    pub(crate) fn is_asked(&self) -> bool {
        self.is_asked
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
        if reaped.is_none()
            && let Some(why) = self.process.out_of_reach()
        {
            let pid = self.pid();
            return Some(ServerEnd::OutOfReach(format!("the fork server (pid {pid}) could not be ended: {why}")));
        }
        reaped.map(|end| self.ended(end))
    }

    /// Reaps it, where it was out of reach; returns whether it is gone.
    pub(crate) fn is_gone(&mut self) -> bool {
        self.process.try_reap().is_some()
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
                let now = Instant::now();
                let time = self.preload.as_ref().map_or(self.times.startup, |_| self.times.preload);
                self.stage = Stage::Preloading(now.checked_add(time).unwrap_or(now + DISTANT));
            }
            ChannelEvent::Results(batch) => {
                if let Some(kind) = functions::failure(batch.records, Output::Inherited) {
                    self.kill(Ending::Failed(kind));
                }
            }
            ChannelEvent::Preloaded(threads) if matches!(self.stage, Stage::Preloading(_)) => match threads {
                None => self.stage = Stage::Ready,
                Some(names) => self.kill(Ending::Threads(names)),
            },
            // What comes behind the reason for which it is killed.
            _ if matches!(self.stage, Stage::Ending(_)) => {}
            ChannelEvent::Preloaded(_) | ChannelEvent::Decoded | ChannelEvent::Returned | ChannelEvent::Copied(_) => {
                return Err(Violation::new("it answered what it was not asked").into());
            }
        }
        Ok(())
    }

    fn kill(&mut self, ending: Ending) {
        kill(&mut self.process, &mut self.channel);
        self.stage = Stage::Ending(ending);
    }

    /// Kills it for this reason, which is also the error of the request that it did not answer as it should.
    fn fail(&mut self, kind: io::ErrorKind, why: String) -> io::Error {
        self.kill(Ending::Faulty(why.clone()));
        io::Error::new(kind, why)
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
        is_ending: impl Fn() -> bool,
    ) -> Result<(ChildProcess, ParentChannel), StartError> {
        // The server has the nice value, which its copies have from it.
        let of_worker = Start { nice: 0, ..*options.start };
        let (channel, worker_end) = greeted(options.entry, &of_worker, Some(arena), particulars)?;
        let request = CopyRequest {
            cpus: particulars.cpus.iter().map(|&cpu| cpu as u64).collect(),
            variables: variables(&of_worker, particulars).map(std::ffi::CString::into_bytes).collect(),
        };
        self.is_asked = true;
        if let Err(error) = self.channel.request_copy(&request, worker_end.as_fd()) {
            if sys::is_hung_up(&error) {
                self.closed_at.get_or_insert_with(Instant::now);
            } else {
                // It may have a part of the request, so the next would not be read as one.
                self.kill(Ending::Faulty(error.to_string()));
            }
            return Err(StartError::Copy(error));
        }
        drop(worker_end);
        let pid = self.answer(is_ending).map_err(StartError::Copy)?;
        let adopted = if pid == self.pid() || is_known(pid) { None } else { ChildProcess::adopt(pid).ok() };
        let Some(process) = adopted else {
            let why = format!("it named process {pid}, which is no new child of this one");
            return Err(StartError::Copy(self.fail(io::ErrorKind::Other, why)));
        };
        self.is_asked = false;
        Ok((process, channel))
    }

    /// Waits for the answer to a request; it gives up once the pool ends.
    fn answer(&mut self, is_ending: impl Fn() -> bool) -> io::Result<u32> {
        let until = Instant::now() + COPY_TIME_MAX;
        loop {
            let mut answer = None;
            let received = self.channel.receive(|event| match event {
                ChannelEvent::Copied(made) if answer.is_none() => {
                    answer = Some(made);
                    Ok(())
                }
                _ => Err(Violation::new("it answered what it was not asked").into()),
            });
            if let Some(made) = answer {
                // What it says to have made is named once it is taken on.
                self.is_asked = made.is_ok();
                return made.map_err(io::Error::from_raw_os_error);
            }
            let left = until.saturating_duration_since(Instant::now());
            if received == Err(ChannelError::Closed) {
                self.closed_at = Some(Instant::now());
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Err(fault) = received {
                return Err(self.fail(io::ErrorKind::Other, described(fault)));
            }
            if left.is_zero() {
                return Err(self.fail(io::ErrorKind::TimedOut, format!("it did not answer within {COPY_TIME_MAX:?}")));
            }
            if is_ending() {
                self.end();
                return Err(io::ErrorKind::Interrupted.into());
            }
            let stream = Watch::read(self.channel.stream().as_fd());
            let process = self.process.borrowed_descriptor().map(Watch::read);
            let mut watches: Vec<Watch<'_>> = [stream].into_iter().chain(process).collect();
            sys::poll(&mut watches, Some(left.min(LOOK_INTERVAL)))?;
            let has_ended = watches.get(1).is_some_and(|process| process.ready);
            if has_ended && !watches[0].ready {
                // What it started may hold its channel open.
                self.closed_at = Some(Instant::now());
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
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
        let died = |message, origin| ServerEnd::Died { message, origin, moment: Moment::Otherwise };
        let verdict = |cause| Verdict::new(cause, end, &self.process, &self.channel, self.channel.begun(), was_ready);
        match stage {
            Stage::Ending(Ending::Unneeded) => ServerEnd::InOrder,
            Stage::Ending(Ending::Failed(kind)) => ServerEnd::Failed(of_preload(kind)),
            Stage::Ending(Ending::PreloadTooLong) => {
                ServerEnd::Failed(of_preload(TaskErrorKind::TimedOut { limit: self.times.preload }))
            }
            Stage::Ending(ending @ Ending::Threads(_)) => {
                ServerEnd::Failed(format!("the fork server of the pool cannot be copied: {ending}"))
            }
            Stage::Ending(Ending::Late) => died(self.start_failure(&verdict(Cause::Late)), Origin::Itself),
            Stage::Ending(Ending::Faulty(why)) => {
                died(self.start_failure(&verdict(Cause::Faulty(why))), Origin::Itself)
            }
            Stage::Preloading(_) if self.channel.begun() > 0 => {
                let verdict = verdict(Cause::Closed);
                let message = verdict.error.clone().map_or_else(|| self.start_failure(&verdict), of_preload);
                match verdict.origin {
                    Origin::Itself => ServerEnd::Failed(message),
                    Origin::Outside => ServerEnd::Died { message, origin: Origin::Outside, moment: Moment::InPreload },
                }
            }
            Stage::Ready => {
                let origin = verdict(Cause::Closed).origin;
                died(format!("the fork server of the pool (pid {pid}) ended when it was ready: {end:?}"), origin)
            }
            Stage::Starting(_) | Stage::Preloading(_) => {
                let verdict = verdict(Cause::Closed);
                died(self.start_failure(&verdict), verdict.origin)
            }
        }
    }

    fn start_failure(&self, verdict: &Verdict) -> String {
        let longer = ", or give it more time with Pool::builder().startup_timeout(…)";
        verdict.start_failure("the fork server of the pool", self.times.startup, longer)
    }
}

impl Drop for ForkServer {
    /// One that was not reaped is killed, and looked at for a moment: the thread that it is a child of is about to end.
    fn drop(&mut self) {
        if self.process.is_ended() {
            return;
        }
        self.end();
        await_killed(|| self.process.try_reap().is_some());
    }
}

/// While an answer is awaited, it is looked this often whether the pool ends.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

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
