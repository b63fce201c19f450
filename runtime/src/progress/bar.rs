//! Progress as a bar on a terminal; the only owner of indicatif.

use std::fmt::Write;
use std::time::Duration;

use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use super::slowest::SlowTask;
use super::{CountNodes, Ended, Tally};
use crate::sys::{self, PerProcess};

/// The bar is drawn again this often, so that its times go on while tasks take long.
const TICK: Duration = Duration::from_millis(250);

/// More of a function's name would leave no room for the bar.
const NAME_LETTERS_MAX: usize = 20;

pub(super) struct Bar {
    bar: ProgressBar,
    nodes: Option<CountNodes>,
    tally: Tally,
    slowest: Option<SlowTask>,
}

impl Bar {
    pub(super) fn new(name: &str, length: Option<usize>, nodes: Option<CountNodes>) -> Self {
        // Calls of several threads each have a line. The lock of a fork's parent may be held by the thread that draws.
        static BARS: PerProcess<MultiProgress> = PerProcess::new();
        let bar = match length {
            Some(length) => ProgressBar::new(length as u64),
            None => ProgressBar::no_length(),
        };
        let bar = BARS.get().add(bar);
        bar.set_style(style(None, length.is_some(), nodes));
        bar.set_prefix(name.chars().take(NAME_LETTERS_MAX).collect::<String>());
        bar.enable_steady_tick(TICK);
        Self { bar, nodes, tally: Tally::default(), slowest: None }
    }

    pub(super) fn set(&mut self, tally: Tally) {
        self.bar.set_position(tally.done as u64);
        let before = std::mem::replace(&mut self.tally, tally);
        if (before.failed, before.retried) != (tally.failed, tally.retried) {
            self.set_message();
        }
    }

    pub(super) fn set_slowest(&mut self, slowest: Option<SlowTask>) {
        if std::mem::replace(&mut self.slowest, slowest) != slowest {
            self.set_message();
        }
    }

    fn set_message(&self) {
        let columns = sys::terminal_columns().unwrap_or(BAR_COLUMNS_MIN);
        let slowest = self.slowest.filter(|_| columns >= SLOWEST_COLUMNS_MIN);
        let slowest = slowest.map(|task| task.to_string()).unwrap_or_default();
        self.bar.set_message(format!("{}{slowest}", self.tally));
    }

    /// Leaves the bar as it is.
    pub(super) fn end(mut self, tally: Tally, ended: Ended) {
        self.set(tally);
        self.set_slowest(None);
        let Self { bar, nodes, .. } = self;
        bar.set_style(style(Some(ended), bar.length().is_some(), nodes));
        bar.abandon();
    }
}

/// Terminals of fewer columns have no room for a bar, and of still fewer for more than the count.
const BAR_COLUMNS_MIN: u16 = 60;
const RATE_COLUMNS_MIN: u16 = 40;
/// The nodes of a cluster are shown from this width on.
const NODES_COLUMNS_MIN: u16 = 80;
/// The same for the task that has run longest. What went wrong has the place of the bar.
const SLOWEST_COLUMNS_MIN: u16 = 80;

fn style(ended: Option<Ended>, has_length: bool, nodes: Option<CountNodes>) -> ProgressStyle {
    // A line that is wider than the terminal would wrap.
    let columns = sys::terminal_columns().unwrap_or(BAR_COLUMNS_MIN);
    let bar = if has_length && columns >= BAR_COLUMNS_MIN { "{wide_bar} " } else { "" };
    let name = if columns >= RATE_COLUMNS_MIN { "{prefix} " } else { "" };
    let rate = if columns >= RATE_COLUMNS_MIN { ", {rate}" } else { "" };
    let wrong = if columns >= BAR_COLUMNS_MIN { "{msg}" } else { "" };
    let serving = if columns >= NODES_COLUMNS_MIN { "{nodes}" } else { "" };
    let template = match ended {
        None if has_length => format!("{name}{bar}{{pos}}/{{len}}{rate}{{left}}{wrong}{serving}"),
        None => format!("{name}{{spinner}} {{pos}} in {{time}}{rate}{wrong}{serving}"),
        Some(Ended::Whole) => format!("{name}{bar}{{pos}} in {{time}}{rate}{wrong}{serving}"),
        Some(Ended::Early) => format!("{name}{bar}ended at {{pos}} after {{time}}{wrong}"),
    };
    // They come and go, so each drawing asks anew.
    style_of(&template).with_key("nodes", move |_: &ProgressState, text: &mut dyn Write| {
        if let Some(nodes) = nodes.and_then(|nodes| nodes()) {
            let _ = write!(text, ", {nodes}");
        }
    })
}

fn style_of(template: &str) -> ProgressStyle {
    // A template that is none would be shown as the plain bar.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style
        .with_key("rate", |state: &ProgressState, text: &mut dyn Write| {
            let _ = write!(text, "{:.1}/s", state.per_sec());
        })
        .with_key("time", |state: &ProgressState, text: &mut dyn Write| {
            let _ = write!(text, "{:.1} s", state.elapsed().as_secs_f64());
        })
        // Before the first outcome nobody knows.
        .with_key("left", |state: &ProgressState, text: &mut dyn Write| {
            if state.pos() > 0 {
                let _ = write!(text, ", {:#} left", HumanDuration(state.eta()));
            }
        })
}
