//! How far one call is, as a bar or as lines.

use std::io::IsTerminal;

use super::bar::Bar;
use super::lines::Lines;
use super::{CountNodes, Ended};

/// How far a call is.
pub(crate) struct Shown {
    count: usize,
    length: Option<usize>,
    form: Option<BarForm>,
}

enum BarForm {
    Bar(Bar),
    Lines(Lines),
}

impl Shown {
    /// Nothing is done yet of so many tasks, if that is known, of the function `module::name`.
    ///
    /// Where a cluster serves the call, `nodes` says which of it do.
    pub(crate) fn new(function: &str, length: Option<usize>, nodes: Option<CountNodes>) -> Self {
        let name = function.rsplit("::").next().unwrap_or(function);
        let form = if draws() {
            BarForm::Bar(Bar::new(name, length, nodes))
        } else {
            BarForm::Lines(Lines::new(name, length, nodes))
        };
        Self { count: 0, length, form: Some(form) }
    }

    /// So many more tasks have their outcome.
    pub(crate) fn add(&mut self, count: usize) {
        self.count += count;
        if self.length == Some(self.count) {
            return self.end(Ended::Whole);
        }
        match &mut self.form {
            Some(BarForm::Bar(bar)) => bar.set(self.count),
            Some(BarForm::Lines(lines)) => lines.set(self.count),
            None => {}
        }
    }

    /// Nothing more will come. Only the first time counts.
    pub(crate) fn end(&mut self, ended: Ended) {
        match self.form.take() {
            Some(BarForm::Bar(bar)) => bar.end(self.count, ended),
            Some(BarForm::Lines(lines)) => lines.end(self.count, ended),
            None => {}
        }
    }
}

/// Whether standard error is a terminal that one can draw on.
fn draws() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
}
