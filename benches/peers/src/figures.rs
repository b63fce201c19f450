//! The figures of all runs, and what is made of them: medians, and ratios within one run.

use std::collections::BTreeMap;

use crate::workloads::{FASTER_START, Workload};

/// What one run of a workload over a library came to.
pub enum Outcome {
    /// The time for one task; for W8 that of the whole process.
    Seconds(f64),
    /// Why there is none.
    None(String),
}

/// The outcomes by workload and library.
#[derive(Default)]
pub struct Figures {
    /// By run: each may have taken several turns.
    seconds: BTreeMap<(&'static str, &'static str), BTreeMap<usize, Vec<f64>>>,
    reasons: BTreeMap<(&'static str, &'static str), String>,
}

impl Figures {
    pub fn add(&mut self, workload: &'static str, library: &'static str, run: usize, outcome: Outcome) {
        let key = (workload, library);
        match outcome {
            Outcome::Seconds(seconds) => self.seconds.entry(key).or_default().entry(run).or_default().push(seconds),
            Outcome::None(reason) => drop(self.reasons.insert(key, reason)),
        }
    }

    /// The median time for one task.
    pub fn seconds(&self, workload: &'static str, library: &'static str) -> Option<f64> {
        median(self.each(workload, library).into_values().collect())
    }

    /// The median of the ratios of two libraries, each of one run.
    pub fn ratio(&self, workload: &'static str, library: &'static str, base: &'static str) -> Option<f64> {
        let base = self.each(workload, base);
        let own = self.each(workload, library).into_iter();
        median(own.filter_map(|(run, seconds)| Some(seconds / base.get(&run)?)).collect())
    }

    /// A library's figure in a row of the table.
    pub fn cell(&self, row: &Workload, library: &'static str) -> Option<f64> {
        self.ratio(row.name, library, row.base)
    }

    /// Why a library has no figure.
    pub fn reason(&self, workload: &'static str, library: &'static str) -> Option<&str> {
        self.reasons.get(&(workload, library)).map(String::as_str)
    }

    /// The runs that a figure comes of.
    pub fn runs(&self, workload: &'static str, library: &'static str) -> usize {
        self.each(workload, library).len()
    }

    /// The time of each run: the median of its turns.
    fn each(&self, workload: &'static str, library: &'static str) -> BTreeMap<usize, f64> {
        if library != FASTER_START {
            let runs = self.seconds.get(&(workload, library)).into_iter().flatten();
            return runs.filter_map(|(run, turns)| Some((*run, median(turns.clone())?))).collect();
        }
        let mut fastest = self.each(workload, "crossmist");
        for (run, seconds) in self.each(workload, "procspawn") {
            let least = fastest.entry(run).or_insert(seconds);
            *least = least.min(seconds);
        }
        fastest
    }
}

/// What poolmap's own measures printed, by name.
#[derive(Default)]
pub struct Measures {
    values: BTreeMap<String, Vec<f64>>,
    failures: BTreeMap<String, String>,
}

impl Measures {
    pub fn add(&mut self, name: &str, value: f64) {
        self.values.entry(name.to_owned()).or_default().push(value);
    }

    /// Notes that a measure did not end well.
    pub fn fail(&mut self, measure: &str, reason: String) {
        self.failures.insert(measure.to_owned(), reason);
    }

    pub fn failures(&self) -> impl Iterator<Item = (&str, &str)> {
        self.failures.iter().map(|(measure, reason)| (measure.as_str(), reason.as_str()))
    }

    /// The median over the runs.
    pub fn get(&self, name: &str) -> Option<f64> {
        median(self.values.get(name)?.clone())
    }

    /// The medians of all measures whose name begins so, each with the rest of its name.
    pub fn under(&self, beginning: &str) -> Vec<(&str, f64)> {
        let named = self.values.iter().filter_map(|(name, values)| Some((name.strip_prefix(beginning)?, values)));
        named.filter_map(|(rest, values)| Some((rest, median(values.clone())?))).collect()
    }
}

/// The middle one, or the mean of the two in the middle.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        even if even % 2 == 0 => Some((values[middle - 1] + values[middle]) / 2.0),
        _ => Some(values[middle]),
    }
}
