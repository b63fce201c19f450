//! The verdict on the end of a process. This is the one place that decides what an end means, for pools and for `Process`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::core_dump::{core_dump, with_core};
use super::crash_kind::{by_signal, crashed};
use super::program::own_name;
use crate::error::{NativeBacktrace, Printed, TaskErrorKind};
use crate::functions;
use crate::native;
use crate::output::{FinalOutput, PendingOutput};
use crate::sys::{ChildProcess, Crash, End, Reason};
use crate::task::{EXIT_FAILED, Origin};
use crate::transport::{self, ChannelError, Note, ParentChannel};
use crate::wire::PanicNote;

/// Why a process is out of service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Its end of the channel was closed: it died, or soon will.
    Closed,
    /// The same, but it had to be killed.
    ClosedAlive,
    /// It broke the protocol, or the channel failed.
    Faulty(String),
    /// It did not say hello in time.
    Late,
    /// Its task took longer than this, which was allowed.
    TimedOut(Duration),
    /// Its task took more processor time than this, which was allowed.
    CpuLimit(Duration),
    /// Its initializer failed, as this says.
    NotInitialized(String),
    /// It was to be killed, and this is why it lives on.
    Unreachable(String),
    /// The thread that looked after it has ended.
    Unattended,
    /// It has done what a worker may do, or had nothing to do, and was asked to exit.
    Retired,
    /// The call whose task it was running ended early.
    CallEnded,
    /// The pool is shut down.
    PoolClosed,
}

impl From<ChannelError> for Cause {
    fn from(fault: ChannelError) -> Self {
        match fault {
            ChannelError::Closed => Self::Closed,
            ChannelError::Violation(violation) => Self::Faulty(format!("it broke the protocol: {}", violation.0)),
            ChannelError::Broken(message) => Self::Faulty(message),
        }
    }
}

impl Cause {
    /// Whether the program had no more use for the process: its end is no death.
    fn is_in_order(&self) -> bool {
        matches!(self, Self::CallEnded | Self::PoolClosed | Self::Retired)
    }

    /// Whether results that the process sent before its end count.
    pub(crate) fn may_have_sent_more(&self) -> bool {
        match self {
            Self::Closed | Self::ClosedAlive | Self::PoolClosed | Self::TimedOut(_) | Self::CpuLimit(_) => true,
            Self::Faulty(_)
            | Self::Late
            | Self::NotInitialized(_)
            | Self::Unreachable(_)
            | Self::Unattended
            | Self::Retired
            | Self::CallEnded => false,
        }
    }
}

/// The outcome of a process's start, judged at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartOutcome {
    /// The process had done what its parent needs of a start, or its parent ended it.
    Succeeded,
    /// It ended by itself before that.
    Failed,
    /// It was killed from outside before that.
    Killed,
}

/// The verdict on the end of a process.
pub(crate) struct Verdict {
    pub(crate) cause: Cause,
    pub(crate) end: End,
    /// Whether the program had no more use for the process.
    pub(crate) is_in_order: bool,
    pub(crate) origin: Origin,
    /// The tasks that the process had begun, and that have no result: the last was running.
    pub(crate) begun: u32,
    /// The error of the task that was running; none where its call ends with the process.
    pub(crate) error: Option<TaskErrorKind>,
    pub(crate) start: StartOutcome,
    /// The output that this task printed, where output is captured.
    pub(crate) printed: Option<Box<Printed>>,
    /// The calls that it was at, if it has recorded them.
    pub(crate) native: Option<NativeBacktrace>,
    /// Output that is still to be written, where it is tagged.
    pub(crate) unwritten: Option<PendingOutput>,
    /// The program of the process, if it is not this program.
    program: Option<Arc<Path>>,
    /// In what its worker functions differ from those of this program, if they do.
    difference: Option<String>,
}

impl Verdict {
    /// Judges the end of a process that is there no more. All that the process has sent was received before, and so many tasks had begun
    /// without a result; `has_started`
    /// says whether it had done what its parent needs of a start.
    pub(crate) fn new(
        cause: Cause,
        end: End,
        process: &ChildProcess,
        channel: &ParentChannel,
        begun: u32,
        has_started: bool,
    ) -> Self {
        let (pid, note) = (process.pid(), channel.note());
        let folder = note.stack.as_ref().and_then(|stack| stack.folder.as_deref());
        let core = core_dump(process.status(), pid, folder);
        let verdict = Self::by_note(cause, end, pid, note, begun, has_started);
        let (tail, printed, unwritten) =
            channel.last_words(functions::function_name).map_or_else(Default::default, |words| {
                let FinalOutput { tail, printed, rest } = words;
                (tail, printed, rest)
            });
        let error = verdict.error.map(|error| with_tail(with_core(error, core.as_deref()), &tail));
        let program = channel.program().cloned();
        let difference =
            channel.stranger_table().map(|table| functions::table_difference(&String::from_utf8_lossy(table)));
        Self { error, printed, unwritten, program, difference, ..verdict }
    }

    fn by_note(cause: Cause, end: End, pid: u32, mut note: Note, begun: u32, has_started: bool) -> Self {
        let is_in_order = cause.is_in_order();
        let origin = origin(&cause, end, &note, pid);
        let start = match origin {
            _ if has_started || is_in_order => StartOutcome::Succeeded,
            // It had begun, and had not started: it was in its initializer, whose limit that was.
            _ if matches!(cause, Cause::TimedOut(_)) && begun > 0 => StartOutcome::Failed,
            Origin::Itself => StartOutcome::Failed,
            Origin::Outside => StartOutcome::Killed,
        };
        let native = note.stack.take().filter(|_| has_stack(&cause, end)).map(native::backtrace);
        let error = task_error(&cause, end, note);
        let (printed, unwritten, program, difference) = Default::default();
        Self { cause, end, is_in_order, origin, begun, error, start, printed, native, unwritten, program, difference }
    }
}

/// Whether the stack that a process has recorded is that of its end: of a signal, or of a limit.
fn has_stack(cause: &Cause, end: End) -> bool {
    matches!((cause, end), (Cause::Closed, End::Signaled(_)) | (Cause::TimedOut(_) | Cause::CpuLimit(_), _))
}

/// The number of SIGABRT, which is equal on all Unix systems: what a panic ends in that cannot unwind.
const SIGABRT: i32 = 6;
/// So is that of SIGKILL.
const SIGKILL: i32 = 9;
/// The signal of denied system calls, on Linux.
const SIGSYS: i32 = 31;

/// The error of the task that a worker was running when it ended, or was ended; none where the whole call ends with it.
fn task_error(cause: &Cause, end: End, note: Note) -> Option<TaskErrorKind> {
    if *cause == Cause::Closed
        && let End::Signaled(signal) = end
        && let Some(Crash { reason, .. }) = note.crash.filter(|crash| belongs(crash.signal, signal))
    {
        return Some(by_signal(signal, reason, note.denied_path));
    }
    // The filter ends a process whose handler of denied calls is not asked.
    if note.is_in_sandbox && *cause == Cause::Closed && end == End::Signaled(SIGSYS) {
        return Some(TaskErrorKind::Denied { call: None, path: None });
    }
    let panicked = |note: PanicNote| TaskErrorKind::Panicked {
        message: note.message,
        location: note.location,
        backtrace: note.backtrace,
    };
    Some(match (cause, end, note.panic) {
        (Cause::CallEnded | Cause::PoolClosed | Cause::Retired, ..) => return None,
        (Cause::Closed, End::Signaled(SIGABRT), Some(note)) if cfg!(panic = "abort") => panicked(note),
        (Cause::Closed, End::Signaled(SIGABRT), Some(note)) => {
            let place = note.location.map_or(String::new(), |location| format!(" at {location}"));
            crashed(Some(SIGABRT), None, Some(&format!("after a panic{place}: {}", note.message)))
        }
        (Cause::Closed, End::Signaled(signal), _) => crashed(Some(signal), None, None),
        (Cause::Closed, End::OutOfMemory, _) => crashed(Some(SIGKILL), None, Some(OUT_OF_MEMORY)),
        (Cause::Closed, End::Exited(EXIT_FAILED), _) => crashed(None, Some(EXIT_FAILED), Some(COULD_NOT_GO_ON)),
        (Cause::Closed, End::Exited(code), _) => crashed(None, Some(code), Some(EXITED)),
        (Cause::Closed, End::Unknown, _) => crashed(
            None,
            None,
            Some("this program ignores SIGCHLD, reaps children that are not its own, or may not wait for any"),
        ),
        (Cause::ClosedAlive, ..) => crashed(None, None, Some("it closed its channel and went on, so it was killed")),
        (Cause::Faulty(fault), ..) => crashed(None, None, Some(&format!("{fault}, so it was killed"))),
        (Cause::TimedOut(limit), ..) => TaskErrorKind::TimedOut { limit: *limit },
        (Cause::CpuLimit(limit), ..) => TaskErrorKind::CpuLimit { limit: *limit },
        (Cause::Late, ..) => crashed(None, None, Some("it did not say hello in time")),
        (Cause::Unreachable(why), ..) => {
            crashed(None, None, Some(&format!("it was to be killed, and could not be: {why}")))
        }
        (Cause::Unattended, ..) => crashed(None, None, Some("the thread that looked after it ended, so it was killed")),
        (Cause::NotInitialized(message), ..) => crashed(None, None, Some(message)),
    })
}

/// The same, with the end of what the task wrote to its standard error.
fn with_tail(error: TaskErrorKind, tail: &str) -> TaskErrorKind {
    match error {
        TaskErrorKind::Crashed { signal, exit_code, note } if !tail.trim().is_empty() => {
            let before = note.map_or_else(String::new, |note| format!("{note}; "));
            let note = format!("{before}its standard error ended with:\n{}", tail.trim_end());
            TaskErrorKind::Crashed { signal, exit_code, note: Some(note) }
        }
        error => error,
    }
}

const OUT_OF_MEMORY: &str = "the kernel's out-of-memory killer ended it";
const EXITED: &str = "it was ended from inside, as `std::process::exit` in a task does";

/// A task may exit with the same code, so it is one of two.
const COULD_NOT_GO_ON: &str =
    "it could not go on as a worker and printed why on its standard error, or a task ended it with that code";

/// Whether word of one signal is word of the end by another. A handler that was there before (std's, of a stack overflow) may
/// answer a signal by an abort. Ours answers a denied system call by a kill.
fn belongs(told: i32, ended_by: i32) -> bool {
    told == ended_by || ended_by == SIGABRT || (told, ended_by) == (SIGSYS, SIGKILL)
}

/// Signals that a process gets for what it does itself, where nothing says that another process sent it: SIGILL, SIGTRAP, SIGABRT,
/// SIGFPE, SIGSEGV, SIGPIPE, SIGALRM, SIGXCPU, SIGXFSZ, SIGVTALRM and SIGPROF, whose numbers are equal on all Unix systems.
const OWN_SIGNALS: [i32; 11] = [4, 5, SIGABRT, 8, 11, 13, 14, 24, 25, 26, 27];
/// The same where the numbers differ: SIGBUS, SIGSTKFLT and SIGSYS; SIGEMT, SIGBUS and SIGSYS.
#[cfg(any(target_os = "linux", target_os = "android"))]
const OWN_SIGNALS_HERE: [i32; 3] = [7, 16, 31];
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const OWN_SIGNALS_HERE: [i32; 3] = [7, 10, 12];

/// Returns where the cause of a death lies. `pid` is the dead process.
///
/// A SIGKILL that this process did not send may be the dead one's own; nothing reports that, and it counts as one from outside.
fn origin(cause: &Cause, end: End, note: &Note, pid: u32) -> Origin {
    let is_outside = match (cause, end) {
        // It was stopped, or had no processor: had it begun a task, that was ended by its limit, and is no start.
        (Cause::TimedOut(_) | Cause::CpuLimit(_), _) | (Cause::Closed, End::OutOfMemory) => true,
        (Cause::Closed, End::Signaled(signal)) => match note.crash.filter(|crash| belongs(crash.signal, signal)) {
            Some(Crash { reason: Reason::SentBy(sender), .. }) => sender != u64::from(pid),
            Some(_) => false,
            None => !OWN_SIGNALS.contains(&signal) && !OWN_SIGNALS_HERE.contains(&signal),
        },
        _ => false,
    };
    if is_outside { Origin::Outside } else { Origin::Itself }
}

impl Verdict {
    /// Returns why a process that never became ready ended; `longer` is how to give it more time, behind a comma.
    pub(crate) fn start_failure(&self, who: &str, startup_timeout: Duration, longer: &str) -> String {
        let remedy = self.start_remedy();
        let is_outside = self.origin == Origin::Outside;
        match (&self.cause, self.end) {
            (Cause::Late, _) => {
                format!("{who} was not ready within {startup_timeout:?}, so it was killed: {remedy}{longer}",)
            }
            (Cause::NotInitialized(message), _) => message.clone(),
            (Cause::Faulty(fault), _) => match &self.difference {
                Some(difference) => self.stranger(who, difference),
                None => format!("{who} could not be used: {fault}: {remedy}"),
            },
            (Cause::TimedOut(_), _) => format!("{who} did not begin its first task in time, so it was killed"),
            (_, End::OutOfMemory) => format!("{who} ended before it was ready: {OUT_OF_MEMORY}"),
            (_, End::Signaled(signal)) if is_outside => {
                format!("{who} ended before it was ready, killed by signal {signal}: {FROM_OUTSIDE}")
            }
            (_, End::Exited(EXIT_FAILED)) => {
                format!("{who} ended before it was ready, with exit code {EXIT_FAILED}: {COULD_NOT_START}")
            }
            (_, End::Exited(code)) => {
                format!("{who} ended before it was ready, with exit code {code}: {remedy}")
            }
            (_, End::Signaled(signal)) => {
                format!("{who} ended before it was ready, killed by signal {signal}: {remedy}")
            }
            _ => format!("{who} ended before it was ready: {remedy}"),
        }
    }
}

impl Verdict {
    /// What to do about a process that did not start.
    fn start_remedy(&self) -> String {
        if let Some(program) = &self.program {
            return format!(
                "it is the program {}: look at what it printed, and let its `main` be poolmap::run_worker()",
                program.display()
            );
        }
        // Where another process got there, `init()` is not what is missing.
        let remedy = if transport::any_said_hello() {
            "look at what it printed, and at what `main` does before poolmap::init()"
        } else {
            "a worker runs this program's `main` up to poolmap::init(): call init() first in `main`, or put \
             #[poolmap::main] above it"
        };
        remedy.to_owned()
    }

    /// Says that a process has other worker functions than this one.
    fn stranger(&self, who: &str, difference: &str) -> String {
        let own = own_name();
        let own = own.display();
        match &self.program {
            Some(program) => format!(
                "{who} could not be used: its program {} has other worker functions than {own}: {difference}: build both from one \
                 source, with the same worker functions",
                program.display(),
            ),
            None => format!(
                "{who} could not be used: {own} is not the file any more that this program was started from: {difference}: start \
                 this program again",
            ),
        }
    }
}

/// Code before `init()` may exit with the same code.
const COULD_NOT_START: &str = "it could not start as a worker and printed why on its standard error (the system refused it memory, a \
                               thread or a descriptor, or the process that greeted it is not its parent), or `main` exits with that \
                               code before poolmap::init()";

const FROM_OUTSIDE: &str =
    "another process sent it (an operator, a supervisor, a container that stops), or the kernel did";

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict on process 7, which had not started.
    fn of(cause: Cause, end: End, note: Note) -> Verdict {
        Verdict::by_note(cause, end, 7, note, 0, false)
    }

    fn told(end: End, panic: Option<PanicNote>, crash: Option<(i32, Reason)>) -> String {
        let crash = crash.map(|(signal, reason)| Crash { signal, reason });
        match of(Cause::Closed, end, Note { panic, crash, ..Note::default() }).error.unwrap() {
            TaskErrorKind::Crashed { signal, exit_code, note } => {
                let end = signal.or(exit_code).unwrap();
                note.map_or(end.to_string(), |note| format!("{end}: {note}"))
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn word_of_another_signal_is_not_believed() {
        let overflow = Some((11, Reason::StackOverflow(8 << 20)));
        let said = "stack overflow (the stack of a task is 8 MiB: Pool::builder().stack_bytes(…))";
        assert_eq!(told(End::Signaled(11), None, overflow), format!("11: {said}"));
        assert_eq!(told(End::Signaled(SIGABRT), None, overflow), format!("6: {said}"));
        assert_eq!(told(End::Signaled(SIGKILL), None, overflow), "9");
        assert_eq!(told(End::Exited(3), None, overflow), format!("3: {EXITED}"));
        assert_eq!(told(End::OutOfMemory, None, overflow), format!("9: {OUT_OF_MEMORY}"));
    }

    #[test]
    fn word_of_the_signal_stands_above_that_of_a_panic() {
        let panic = || Some(PanicNote { message: "before".to_owned(), ..PanicNote::default() });
        assert!(told(End::Signaled(SIGABRT), panic(), None).contains("before"));
        let failed = Some((SIGABRT, Reason::AllocationFailed));
        assert_eq!(told(End::Signaled(SIGABRT), panic(), failed), "6: an allocation failed");
        let limit = Some((SIGABRT, Reason::MemoryLimit(5)));
        assert_eq!(told(End::Signaled(SIGABRT), panic(), limit), "MemoryLimit { limit: 5 }");
        assert_eq!(
            told(End::Signaled(11), panic(), Some((11, Reason::SentBy(7)))),
            "11: the signal was sent by process 7"
        );
    }

    #[test]
    fn a_signal_that_nothing_in_a_process_raises_comes_from_outside() {
        let sent = |reason| Note { crash: Some(Crash { signal: 11, reason }), ..Note::default() };
        let of = |end, note: &Note| of(Cause::Closed, end, note.clone()).origin;
        for signal in [1, 2, 3, SIGKILL, 15, 40] {
            assert_eq!(of(End::Signaled(signal), &Note::default()), Origin::Outside, "{signal}");
        }
        assert_eq!(of(End::OutOfMemory, &Note::default()), Origin::Outside);
        assert_eq!(of(End::Signaled(11), &sent(Reason::SentBy(8))), Origin::Outside);
        for signal in OWN_SIGNALS.into_iter().chain(OWN_SIGNALS_HERE) {
            assert_eq!(of(End::Signaled(signal), &Note::default()), Origin::Itself, "{signal}");
        }
        assert_eq!(of(End::Signaled(11), &sent(Reason::SentBy(7))), Origin::Itself);
        assert_eq!(of(End::Exited(0), &Note::default()), Origin::Itself);
        for cause in [Cause::ClosedAlive, Cause::Late, Cause::Faulty(String::new())] {
            // A process that this one kills for a fault of it has not died from outside.
            assert_eq!(origin(&cause, End::Signaled(SIGKILL), &Note::default(), 7), Origin::Itself);
        }
    }

    #[test]
    fn a_start_fails_by_an_end_before_it_has_succeeded() {
        let killed = End::Signaled(SIGKILL);
        let start = |cause: &Cause, end, has_started| {
            Verdict::by_note(cause.clone(), end, 7, Note::default(), 0, has_started).start
        };
        assert_eq!(start(&Cause::Closed, End::Exited(0), false), StartOutcome::Failed);
        assert_eq!(start(&Cause::Closed, killed, false), StartOutcome::Killed);
        assert_eq!(start(&Cause::Late, killed, false), StartOutcome::Failed);
        assert_eq!(start(&Cause::TimedOut(Duration::ZERO), killed, false), StartOutcome::Killed);
        let in_initializer = Verdict::by_note(Cause::TimedOut(Duration::ZERO), killed, 7, Note::default(), 1, false);
        assert_eq!(in_initializer.start, StartOutcome::Failed);
        for cause in [Cause::CallEnded, Cause::PoolClosed, Cause::Retired] {
            assert_eq!(start(&cause, killed, false), StartOutcome::Succeeded, "{cause:?}");
            assert!(of(cause, killed, Note::default()).error.is_none(), "its call ends with it");
        }
        for cause in [Cause::Closed, Cause::Late, Cause::Faulty(String::new())] {
            assert_eq!(start(&cause, killed, true), StartOutcome::Succeeded, "{cause:?}");
        }
    }

    #[test]
    fn a_death_from_outside_blames_no_init() {
        let killed = of(Cause::Closed, End::Signaled(SIGKILL), Note::default());
        let said = killed.start_failure("worker 0", Duration::ZERO, "");
        assert!(said.contains("killed by signal 9") && !said.contains("init()"), "{said}");
    }

    #[test]
    fn a_worker_that_gave_up_by_itself_has_said_why() {
        let gave_up = of(Cause::Closed, End::Exited(EXIT_FAILED), Note::default());
        let said = gave_up.start_failure("worker 0", Duration::ZERO, "");
        assert!(said.contains("exit code 70: it could not start as a worker and printed why"), "{said}");
        assert!(!said.contains("call init() first"), "{said}");
        let said = told(End::Exited(EXIT_FAILED), None, None);
        assert!(said.contains("could not go on") && said.contains("standard error"), "{said}");
        assert_eq!(told(End::Exited(71), None, None), format!("71: {EXITED}"));
    }

    #[test]
    fn a_denied_call_is_told_by_its_record_or_by_its_signal() {
        let kind = |end, note: Note| by_note(Cause::Closed, end, note);
        let crash = Some(Crash { signal: SIGSYS, reason: Reason::Denied(u64::MAX) });
        let recorded = Note { crash, denied_path: Some(b"/a".to_vec()), is_in_sandbox: true, ..Note::default() };
        for signal in [SIGKILL, SIGSYS] {
            let told = format!("{:?}", kind(End::Signaled(signal), recorded.clone()));
            assert!(told.starts_with("Denied { call: Some(\"") && told.ends_with("path: Some(\"/a\") }"), "{told}");
        }
        let unnamed = Note { is_in_sandbox: true, ..Note::default() };
        assert_eq!(format!("{:?}", kind(End::Signaled(SIGSYS), unnamed.clone())), "Denied { call: None, path: None }");
        for (end, note) in [(End::Signaled(SIGSYS), Note::default()), (End::Signaled(SIGKILL), unnamed)] {
            assert!(matches!(kind(end, note), TaskErrorKind::Crashed { .. }));
        }
    }

    fn by_note(cause: Cause, end: End, note: Note) -> TaskErrorKind {
        Verdict::by_note(cause, end, 1, note, 1, true).error.unwrap()
    }
}
