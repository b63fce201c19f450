//! The worker's side: keeps what tasks print, and sends it on.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::captured::{KEPT_BYTES_MAX, suffix};
use super::files::{Files, Marks, kept, read, size};
use super::lines::{Open, piece, tag};
use crate::sys;
use crate::task::Output;

/// The output of a task is written this often while it runs.
const TICK: Duration = Duration::from_millis(50);
/// The memory of what is dealt with is given back when there is so much of it.
const CUT_BYTES: u64 = 1 << 20;
/// So much is read at once.
const READ_BYTES_MAX: u64 = 64 * 1024;
/// The thread that writes needs no more stack.
const STACK_BYTES: usize = 256 * 1024;

static KEEPER: OnceLock<CaptureThread> = OnceLock::new();

struct CaptureThread {
    files: Files,
    /// The streams that the worker printed to before.
    targets: [File; 2],
    state: Mutex<CaptureState>,
    begun: Condvar,
}

#[derive(Default)]
struct CaptureState {
    tag: String,
    marks: Marks,
    /// Up to where memory was given back.
    cut: [u64; 2],
    is_running: bool,
    /// The thread that writes waits for a task.
    is_waiting: bool,
}

/// From now on this worker prints into files.
pub(crate) fn start(files: Files) -> io::Result<()> {
    let (stdout, stderr) = sys::own_output()?;
    // A task that prints more than a file may have gets an error from its printing.
    sys::fail_behind_file_limit();
    sys::set_program_output([&stdout, &stderr]);
    if files.output == Output::Captured {
        sys::set_output_kept();
    }
    sys::replace_output(&files.stdout, &files.stderr)?;
    let state = Mutex::new(CaptureState { tag: "[worker] ".to_owned(), ..CaptureState::default() });
    let keeper = CaptureThread { files, targets: [stdout, stderr], state, begun: Condvar::new() };
    let keeper = KEEPER.get_or_init(|| keeper);
    let thread = std::thread::Builder::new().name("poolmap-output".to_owned()).stack_size(STACK_BYTES);
    thread.spawn(|| keeper.run())?;
    Ok(())
}

/// Whether what tasks print is kept.
pub(crate) fn is_kept() -> bool {
    KEEPER.get().is_some()
}

/// A task of a function, which has this name and is in this place of the table, is about to begin.
pub(crate) fn begin((function, name): (u32, &str), index: u64) {
    let Some(keeper) = KEEPER.get() else {
        return;
    };
    let mut state = keeper.lock();
    if keeper.files.output == Output::Tagged {
        // Output that came since belongs to processes that the task before has started.
        keeper.write_out(&mut state, Open::Ends);
    }
    let ends = keeper.files.both().map(size);
    let written = if keeper.files.output == Output::Tagged { state.marks.written } else { ends };
    state.marks = Marks { begin: ends, written, function: u64::from(function) + 1, index };
    state.tag = tag(name, index);
    state.is_running = true;
    keeper.files.set_marks(&state.marks);
    if state.is_waiting {
        keeper.begun.notify_one();
    }
}

/// The task has ended. The returned bytes go behind its result, in `bytes_max` and a few more.
pub(crate) fn finish(bytes_max: usize) -> Vec<u8> {
    let Some(keeper) = KEEPER.get() else {
        return Vec::new();
    };
    let _ = io::stdout().flush();
    sys::flush_c_streams();
    let mut state = keeper.lock();
    state.is_running = false;
    if keeper.files.output == Output::Tagged {
        keeper.write_out(&mut state, Open::Ends);
        return Vec::new();
    }
    let [stdout, stderr] = [0, 1].map(|stream| kept(keeper.files.both()[stream], state.marks.begin[stream]));
    keeper.cut(&mut state);
    suffix(&stdout, &stderr, bytes_max)
}

impl CaptureThread {
    fn lock(&self) -> MutexGuard<'_, CaptureState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what running tasks print, and keeps the files small.
    fn run(&self) {
        let mut state = self.lock();
        loop {
            state.is_waiting = true;
            state = self.begun.wait_while(state, |state| !state.is_running).unwrap_or_else(PoisonError::into_inner);
            state.is_waiting = false;
            drop(state);
            std::thread::sleep(TICK);
            state = self.lock();
            if state.is_running && self.files.output == Output::Tagged {
                self.write_out(&mut state, Open::Waits);
            }
            self.cut(&mut state);
        }
    }

    /// Writes what has come since.
    fn write_out(&self, state: &mut CaptureState, open: Open) {
        let before = state.marks.written;
        for (stream, file) in self.files.both().into_iter().enumerate() {
            let end = size(file);
            while state.marks.written[stream] < end {
                let start = state.marks.written[stream];
                let until = end.min(start + READ_BYTES_MAX);
                let text = read(file, start, until);
                // A line that goes on behind what was read is longer than what is written at once.
                let open = if until < end { Open::Waits } else { open };
                let taken = self.write_lines(stream, &state.tag, &text, open);
                state.marks.written[stream] += taken as u64;
                if taken == 0 {
                    break;
                }
            }
        }
        if state.marks.written != before {
            self.files.set_marks(&state.marks);
        }
        self.cut(state);
    }

    fn write_lines(&self, stream: usize, tag: &str, text: &[u8], open: Open) -> usize {
        let mut taken = 0;
        while let Some(piece) = piece(tag, &text[taken..], open, sys::WHOLE_BYTES_MAX) {
            sys::write_within(&self.targets[stream], &piece.tagged, None);
            taken += piece.taken;
        }
        taken
    }

    /// Gives back the memory of what is dealt with.
    fn cut(&self, state: &mut CaptureState) {
        let Self { files, .. } = self;
        let is_tagged = files.output == Output::Tagged;
        // Where it is limited how large the files may become, they begin anew between tasks, as their length is what counts. A sandbox sets
        // that limit later.
        let file_bytes_max = sys::file_bytes_max();
        let worth = file_bytes_max.map_or(CUT_BYTES, |most| CUT_BYTES.min(most / 4));
        for (stream, file) in files.both().into_iter().enumerate() {
            let end = size(file);
            let done = if is_tagged { state.marks.written[stream] } else { end };
            // The end of it may be asked for when the worker dies.
            let until = done.saturating_sub(KEPT_BYTES_MAX as u64);
            if until.saturating_sub(state.cut[stream]) < worth {
                continue;
            }
            if file_bytes_max.is_none() && sys::forget_before(file, until) {
                state.cut[stream] = until;
            } else if !state.is_running && done == end && file.set_len(0).is_ok() {
                state.cut[stream] = 0;
                state.marks.begin[stream] = 0;
                state.marks.written[stream] = 0;
                files.set_marks(&state.marks);
            }
        }
    }
}
