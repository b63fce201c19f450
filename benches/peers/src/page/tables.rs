//! The tables of the workloads: poolmap against its aims, and all libraries.

use std::fmt::Write as _;

use super::numbers::{cell, ratio, time, verdict};
use crate::figures::Figures;
use crate::workloads::{COLUMNS, CROWDED, WORKLOADS, Workload};

/// poolmap against its aims.
pub fn aims(figures: &Figures) -> String {
    let mut table = String::from(
        "| | workload | base, a task | poolmap, a task | ratio | aim | the aim is |\n\
         |---|---|--:|--:|--:|--:|---|\n",
    );
    for row in WORKLOADS {
        let own = figures.cell(row, "poolmap");
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} | {} | {} | {} |",
            row.name,
            row.what,
            cell(figures.seconds(row.name, row.base), time),
            cell(figures.seconds(row.name, "poolmap"), time),
            cell(own, ratio),
            cell(row.aim, ratio),
            row.aim.map_or("–", |aim| verdict(own, aim)),
        );
    }
    table
}

/// How many aims there are, and how many are reached.
pub fn reached(figures: &Figures) -> (usize, usize) {
    let aims = WORKLOADS.iter().filter_map(|row| Some((row, row.aim?)));
    let verdicts: Vec<&str> = aims.map(|(row, aim)| verdict(figures.cell(row, "poolmap"), aim)).collect();
    (verdicts.iter().filter(|verdict| **verdict == "reached").count(), verdicts.len())
}

/// All libraries, and under them why some have no figure.
pub fn libraries(figures: &Figures, runs: usize) -> String {
    let mut table = format!("| | workload | {} |\n|---|---|{}\n", COLUMNS.join(" | "), "--:|".repeat(COLUMNS.len()));
    let mut notes: Vec<String> = Vec::new();
    for row in WORKLOADS {
        let cells = COLUMNS.map(|library| {
            let shown = cell(figures.cell(row, library), ratio);
            match note(figures, row, library, runs) {
                None => shown,
                Some(note) => {
                    let at = notes.iter().position(|other| *other == note).unwrap_or_else(|| {
                        notes.push(note);
                        notes.len() - 1
                    });
                    format!("{shown} ({})", at + 1)
                }
            }
        });
        let _ = writeln!(table, "| {} | {} | {} |", row.name, row.what, cells.join(" | "));
    }
    table.push('\n');
    for (at, note) in notes.iter().enumerate() {
        let _ = writeln!(table, "({}) {note}.{}", at + 1, if at + 1 < notes.len() { "  " } else { "" });
    }
    table
}

/// What is to be said of a cell.
fn note(figures: &Figures, row: &Workload, library: &'static str, runs: usize) -> Option<String> {
    let done = figures.runs(row.name, library);
    match figures.reason(row.name, library) {
        Some(reason) if done == 0 => Some(format!("No figure: {reason}")),
        Some(reason) => Some(format!("In {done} of {runs} runs only: {reason}")),
        None if !crate::workloads::libraries(row.name).contains(&library) => {
            Some("No figure: it was not measured here".to_owned())
        }
        None if done < runs => Some(format!("In {done} of {runs} runs only: a run takes more than 10 s")),
        None => None,
    }
}

/// More workers than processors, as a ratio to as many.
pub fn crowded(figures: &Figures) -> String {
    let names = crate::workloads::names().into_iter().filter(|name| *name != "W8");
    let rows: Vec<(&str, Option<f64>)> = names
        .map(|name| (name, figures.ratio(name, CROWDED, "poolmap")))
        .filter(|(_, ratio)| ratio.is_some())
        .collect();
    let head: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
    let ratios: Vec<String> = rows.iter().map(|(_, value)| cell(*value, ratio)).collect();
    let verdicts: Vec<&str> = rows.iter().map(|(_, value)| verdict(*value, 1.1)).collect();
    format!(
        "| | {} |\n|---|{}\n| 8 workers to 2 | {} |\n| the aim of 1.10 is | {} |\n",
        head.join(" | "),
        "--:|".repeat(rows.len()),
        ratios.join(" | "),
        verdicts.join(" | "),
    )
}
