//! A timeline as a page: one file with its style, its script and what it shows, which needs nothing else.

use super::{ExecutionBar, Timeline};
use crate::recording::csv::push_number;
use crate::recording::facts::OutcomeName;
use crate::recording::json::push_string;

/// The page, with a mark where what it shows stands.
const PAGE: &str = include_str!("page.html");
const MARK: &str = "@DATA@";

/// The outcomes as the page knows them, by their place.
const OUTCOMES: [OutcomeName; 11] = [
    OutcomeName::Ok,
    OutcomeName::Failed,
    OutcomeName::Panicked,
    OutcomeName::Crashed,
    OutcomeName::TimedOut,
    OutcomeName::CpuLimit,
    OutcomeName::MemoryLimit,
    OutcomeName::Encode,
    OutcomeName::Decode,
    OutcomeName::Cancelled,
    OutcomeName::Denied,
];

/// A number of each bar.
type BarColumn<'a> = &'a dyn Fn(&ExecutionBar) -> u64;

/// The file of a call that took so long.
pub(super) fn page(timeline: &Timeline, wall: u64) -> Vec<u8> {
    let (before, behind) = PAGE.split_once(MARK).unwrap_or((PAGE, ""));
    let mut out = before.as_bytes().to_vec();
    push_data(timeline, wall, &mut out);
    out.extend_from_slice(behind.as_bytes());
    out
}

/// What the page shows. Times are in tenths of microseconds.
fn push_data(timeline: &Timeline, wall: u64, out: &mut Vec<u8>) {
    let order = timeline.order();
    let mut place = vec![0; order.len()];
    order.iter().enumerate().for_each(|(at, &track)| place[track] = at as u64);
    out.extend_from_slice(b"{\"function\":");
    push_string(out, timeline.function);
    for (name, number) in [
        ("started", timeline.started_at / 1_000_000),
        ("wall", tenths(wall)),
        ("unplaced", timeline.unplaced),
        ("unplacedFailures", timeline.unplaced_failures),
    ] {
        push_name(out, name);
        push_number(out, number);
    }
    push_name(out, "machines");
    push_list(out, &timeline.machines, |out, machine| push_string(out, machine));
    push_name(out, "tracks");
    push_list(out, &order, |out, &track| {
        let track = &timeline.tracks[track];
        let worker = track.worker.map_or_else(|| format!("pid {}", track.pid), |worker| worker.to_string());
        push_numbers(out, &[track.machine as u64]);
        out.pop();
        out.push(b',');
        push_string(out, &worker);
        out.push(b']');
    });
    push_name(out, "outcomes");
    push_list(out, &OUTCOMES, |out, outcome| push_string(out, outcome.name()));
    push_bars(timeline, &order, &place, out);
    push_name(out, "starts");
    push_list(out, &timeline.starts, |out, start| {
        push_numbers(out, &[place[start.track], tenths(start.begun), tenths(start.ready), start.pid.into()]);
    });
    push_name(out, "deaths");
    push_list(out, &timeline.deaths, |out, death| {
        push_numbers(out, &[place[death.track], tenths(death.at), death.pid.into()]);
        out.pop();
        out.push(b',');
        push_string(out, &death.cause);
        out.push(b']');
    });
    push_name(out, "waits");
    push_list(out, &timeline.waits, |out, &(from, to)| push_numbers(out, &[tenths(from), tenths(to)]));
    out.push(b'}');
}

fn push_bars(timeline: &Timeline, order: &[usize], place: &[u64], out: &mut Vec<u8>) {
    let sorted = timeline.sorted_bars(order);
    let outcome = |bar: &ExecutionBar| OUTCOMES.iter().position(|outcome| *outcome == bar.outcome).unwrap_or(0) as u64;
    let columns: [(&str, BarColumn<'_>); 9] = [
        ("start", &|bar| tenths(bar.start)),
        ("duration", &|bar| tenths(bar.duration)),
        ("track", &|bar| place[bar.track]),
        ("index", &|bar| bar.index as u64),
        ("attempt", &|bar| bar.attempt.into()),
        ("outcome", &outcome),
        // One more than it is, so that 0 stands for what is not known.
        ("cpu", &|bar| bar.cpu.map_or(0, |cpu| tenths(cpu) + 1)),
        ("sent", &|bar| bar.sent),
        ("received", &|bar| bar.received),
    ];
    push_name(out, "tasks");
    out.push(b'{');
    for (at, (name, column)) in columns.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        push_string(out, name);
        out.push(b':');
        push_list(out, &sorted, |out, &bar| push_number(out, column(&timeline.bars[bar])));
    }
    out.push(b'}');
    for (name, texts) in [("details", &timeline.details), ("arguments", &timeline.arguments)] {
        push_name(out, name);
        let texts: Vec<(usize, &String)> =
            sorted.iter().enumerate().filter_map(|(at, bar)| Some((at, texts.get(bar)?))).collect();
        push_list(out, &texts, |out, (at, text)| {
            out.push(b'[');
            push_number(out, *at as u64);
            out.push(b',');
            push_string(out, text);
            out.push(b']');
        });
    }
}

fn tenths(nanos: u64) -> u64 {
    nanos / 100
}

/// Begins another member of an object.
fn push_name(out: &mut Vec<u8>, name: &str) {
    out.push(b',');
    push_string(out, name);
    out.push(b':');
}

fn push_list<T>(out: &mut Vec<u8>, items: &[T], mut push: impl FnMut(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        push(out, item);
    }
    out.push(b']');
}

fn push_numbers(out: &mut Vec<u8>, numbers: &[u64]) {
    push_list(out, numbers, |out, number| push_number(out, *number));
}
