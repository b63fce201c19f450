//! A timeline in Chrome's trace format, which Perfetto and chrome://tracing open: each machine is a process there, each worker a
//! thread. Times are microseconds.

use std::io::Write;

use super::{ExecutionBar, Timeline};
use crate::recording::csv::push_number;
use crate::recording::facts::OutcomeName;
use crate::recording::json::push_string;

/// The process of the trace in which the program's own thread stands.
const CALLER: usize = 0;
/// So many times at most are said how many bytes have been sent and received.
const COUNTS_MAX: usize = 2000;

/// The file of a call that took so long.
pub(super) fn trace(timeline: &Timeline, wall: u64) -> Vec<u8> {
    let mut out = b"{\"displayTimeUnit\":\"ms\",\"otherData\":{\"function\":".to_vec();
    push_string(&mut out, timeline.function);
    out.extend_from_slice(b",\"started_unix_ns\":\"");
    push_number(&mut out, timeline.started_at);
    out.extend_from_slice(b"\"},\"traceEvents\":[\n");
    push_names(timeline, &mut out);
    push_event(&mut out, timeline.short_name(), "call", 'X', (CALLER, 0), 0);
    push_duration(&mut out, wall);
    out.extend_from_slice(b"}");
    for &(from, to) in &timeline.waits {
        push_event(&mut out, "wait", "wait", 'X', (CALLER, 0), from);
        push_duration(&mut out, to - from);
        out.push(b'}');
    }
    for start in &timeline.starts {
        push_event(&mut out, "start", "start", 'X', thread(timeline, start.track), start.begun);
        push_duration(&mut out, start.ready - start.begun);
        push_argument(&mut out, b",\"args\":{\"pid\":", start.pid.into());
        out.extend_from_slice(b"}}");
    }
    for &bar in &timeline.sorted_bars(&timeline.order()) {
        push_bar(timeline, bar, &mut out);
    }
    for death in &timeline.deaths {
        push_event(&mut out, "death", "death", 'i', thread(timeline, death.track), death.at);
        push_argument(&mut out, b",\"s\":\"t\",\"args\":{\"pid\":", death.pid.into());
        out.extend_from_slice(b",\"cause\":");
        push_string(&mut out, &death.cause);
        out.extend_from_slice(b"}}");
    }
    push_counts(timeline, &mut out);
    out.extend_from_slice(b"\n]}\n");
    out
}

/// The process and the thread of a track.
fn thread(timeline: &Timeline, track: usize) -> (usize, u32) {
    let track = &timeline.tracks[track];
    (track.machine + 1, track.worker.unwrap_or(track.pid))
}

fn push_names(timeline: &Timeline, out: &mut Vec<u8>) {
    let mut name = |kind: &str, (process, thread): (usize, u32), text: &str, is_first: bool| {
        let comma = if is_first { "" } else { ",\n" };
        let _ = write!(
            out,
            "{comma}{{\"ph\":\"M\",\"name\":\"{kind}\",\"pid\":{process},\"tid\":{thread},\"args\":{{\"name\":"
        );
        push_string(out, text);
        out.extend_from_slice(b"}}");
    };
    name("process_name", (CALLER, 0), "program", true);
    name("thread_name", (CALLER, 0), "caller", false);
    for (at, machine) in timeline.machines.iter().enumerate() {
        name("process_name", (at + 1, 0), machine, false);
    }
    for (at, track) in timeline.tracks.iter().enumerate() {
        let text = match track.worker {
            Some(worker) => format!("worker {worker}"),
            None => format!("process {}", track.pid),
        };
        name("thread_name", thread(timeline, at), &text, false);
    }
}

fn push_bar(timeline: &Timeline, at: usize, out: &mut Vec<u8>) {
    let ExecutionBar { track, index, attempt, outcome, start, duration, cpu, sent, received } = timeline.bars[at];
    let category = if outcome == OutcomeName::Ok { "task" } else { "task,failure" };
    push_event(out, timeline.short_name(), category, 'X', thread(timeline, track), start);
    push_duration(out, duration);
    push_argument(out, b",\"args\":{\"index\":", index as u64);
    push_argument(out, b",\"attempt\":", attempt.into());
    out.extend_from_slice(b",\"outcome\":");
    push_string(out, outcome.name());
    if let Some(cpu) = cpu {
        out.extend_from_slice(b",\"cpu_us\":");
        push_micros(out, cpu);
    }
    push_argument(out, b",\"sent_bytes\":", sent);
    push_argument(out, b",\"received_bytes\":", received);
    if let Some(arguments) = timeline.arguments.get(&at) {
        out.extend_from_slice(b",\"arguments\":");
        push_string(out, arguments);
    }
    if let Some(detail) = timeline.details.get(&at) {
        out.extend_from_slice(b",\"detail\":");
        push_string(out, detail);
    }
    out.extend_from_slice(b"}}");
}

/// How many bytes were sent and received in all, at the ends of tasks.
fn push_counts(timeline: &Timeline, out: &mut Vec<u8>) {
    let end = |bar: &ExecutionBar| bar.start.saturating_add(bar.duration);
    let mut ended: Vec<&ExecutionBar> = timeline.bars.iter().collect();
    ended.sort_by_key(|bar| end(bar));
    let (mut sent, mut received) = (0u64, 0u64);
    let each = ended.len().div_ceil(COUNTS_MAX).max(1);
    for (at, bar) in ended.iter().enumerate() {
        (sent, received) = (sent.saturating_add(bar.sent), received.saturating_add(bar.received));
        if (at + 1) % each == 0 || at + 1 == ended.len() {
            push_event(out, "bytes", "bytes", 'C', (CALLER, 0), end(bar));
            push_argument(out, b",\"args\":{\"sent\":", sent);
            push_argument(out, b",\"received\":", received);
            out.extend_from_slice(b"}}");
        }
    }
}

/// Begins an event behind others; its end is left out.
fn push_event(out: &mut Vec<u8>, name: &str, category: &str, phase: char, (process, thread): (usize, u32), at: u64) {
    out.extend_from_slice(b",\n{\"name\":");
    push_string(out, name);
    // A `Vec` takes all.
    let _ = write!(out, ",\"cat\":\"{category}\",\"ph\":\"{phase}\",\"pid\":{process},\"tid\":{thread},\"ts\":");
    push_micros(out, at);
}

fn push_duration(out: &mut Vec<u8>, nanos: u64) {
    out.extend_from_slice(b",\"dur\":");
    push_micros(out, nanos);
}

fn push_argument(out: &mut Vec<u8>, before: &[u8], number: u64) {
    out.extend_from_slice(before);
    push_number(out, number);
}

/// Appends nanoseconds as microseconds.
fn push_micros(out: &mut Vec<u8>, nanos: u64) {
    push_number(out, nanos / 1000);
    let left = nanos % 1000;
    let digit = |of: u64| b'0' + (of % 10) as u8;
    out.extend_from_slice(&[b'.', digit(left / 100), digit(left / 10), digit(left)]);
}
