//! What a map costs, as a formula fitted to what was measured; and from which task on processes pay.

use std::fmt::Write as _;

use super::numbers::{cell, ratio, time};
use crate::figures::Measures;

/// A point of the measured costs: tasks, bytes in all, seconds.
type Point = (f64, f64, f64);

/// The cost model as a section.
pub fn cost(measures: &Measures) -> String {
    let points: Vec<Point> = measures
        .under("cost ")
        .into_iter()
        .filter_map(|(name, seconds)| {
            let (tasks, bytes) = name.split_once(' ')?;
            Some((tasks.parse().ok()?, bytes.parse().ok()?, seconds))
        })
        .collect();
    let mut section = String::from("## What a map costs\n\n");
    let Some([a, b, c]) = fit(&points) else {
        section.push_str("The model was not measured.\n");
        return section;
    };
    let model = |&(tasks, bytes, _): &Point| a + b * bytes + c * tasks;
    let _ = write!(
        section,
        "A map of tasks of no work, with bytes as arguments, on a warm pool of 2 takes about\n\n\
         > **time = {} + {} per KiB sent + {} per task**\n\n\
         That is {} GB/s of arguments. The formula is fitted by least squares of the relative errors to {} points: 1 to 100,000 \
         tasks of 8 B to 1 MiB, 64 MiB at most. R² is {:.3}; a point is off by {:.0} % in the median, and by {:.0} % at \
         most. Some of the points, and what the formula makes of them:\n\n\
         | tasks | bytes a task | measured | formula |\n|--:|--:|--:|--:|\n",
        time(a),
        time(b * 1024.0),
        time(c),
        ratio(1e-9 / b),
        points.len(),
        determination(&points, model),
        errors(&points, model).0 * 100.0,
        errors(&points, model).1 * 100.0,
    );
    let mut shown = points.clone();
    shown.sort_by(|one, other| (one.0, one.1).partial_cmp(&(other.0, other.1)).expect("they are numbers"));
    for point in
        shown.iter().filter(|(tasks, bytes, _)| [1.0, 1000.0, 100_000.0].contains(tasks) && bytes / tasks != 256.0)
    {
        let (tasks, bytes, seconds) = point;
        let _ = writeln!(section, "| {tasks} | {} | {} | {} |", bytes / tasks, time(*seconds), time(model(point)));
    }
    section
}

/// The coefficients with the least squares of the relative errors.
fn fit(points: &[Point]) -> Option<[f64; 3]> {
    if points.len() < 3 {
        return None;
    }
    // The normal equations, each point weighted by its time: MiB and tasks, so that the numbers are of one size.
    let mut matrix = [[0.0f64; 4]; 3];
    for &(tasks, bytes, seconds) in points {
        let terms = [1.0 / seconds, bytes / f64::from(1 << 20) / seconds, tasks / seconds];
        for (line, term) in matrix.iter_mut().zip(terms) {
            (0..3).for_each(|column| line[column] += term * terms[column]);
            line[3] += term;
        }
    }
    for pivot in 0..3 {
        let scale = matrix[pivot][pivot];
        matrix[pivot].iter_mut().for_each(|value| *value /= scale);
        let own = matrix[pivot];
        for (_, line) in matrix.iter_mut().enumerate().filter(|(other, _)| *other != pivot) {
            let factor = line[pivot];
            line.iter_mut().zip(own).for_each(|(value, own)| *value -= factor * own);
        }
    }
    Some([matrix[0][3], matrix[1][3] / f64::from(1 << 20), matrix[2][3]])
}

/// R²: how much of the spread of the times the model explains.
fn determination(points: &[Point], model: impl Fn(&Point) -> f64) -> f64 {
    let mean = points.iter().map(|point| point.2).sum::<f64>() / points.len() as f64;
    let left: f64 = points.iter().map(|point| (point.2 - model(point)).powi(2)).sum();
    let spread: f64 = points.iter().map(|point| (point.2 - mean).powi(2)).sum();
    1.0 - left / spread
}

/// The median and the largest relative error.
fn errors(points: &[Point], model: impl Fn(&Point) -> f64) -> (f64, f64) {
    let errors: Vec<f64> = points.iter().map(|point| (model(point) / point.2 - 1.0).abs()).collect();
    let largest = errors.iter().copied().fold(0.0, f64::max);
    (crate::figures::median(errors).unwrap_or_default(), largest)
}

/// The sweep over the CPU time of a task, by microseconds: seconds of a loop, of threads, of processes.
fn sweep(measures: &Measures) -> Vec<(f64, [f64; 3])> {
    let mut sweep: Vec<(f64, [f64; 3])> = measures
        .under("even serial ")
        .into_iter()
        .filter_map(|(micros, serial)| {
            let rayon = measures.get(&format!("even rayon {micros}"))?;
            let poolmap = measures.get(&format!("even poolmap {micros}"))?;
            Some((micros.parse().ok()?, [serial, rayon, poolmap]))
        })
        .collect();
    sweep.sort_by(|one, other| one.0.total_cmp(&other.0));
    sweep
}

/// The CPU time of a task from which on a ratio stays at or under a limit, between two points by their logarithms.
fn threshold(points: &[(f64, f64)], limit: f64) -> String {
    let Some(last) = points.iter().rposition(|(_, ratio)| *ratio > limit) else {
        return match points.first() {
            Some((micros, _)) => format!("{} or less", time(micros * 1e-6)),
            None => "a time that was not measured".to_owned(),
        };
    };
    let Some(&(next, reached)) = points.get(last + 1) else {
        return format!("more than {}", time(points[last].0 * 1e-6));
    };
    let (micros, above) = points[last];
    let part = (above.ln() - limit.ln()) / (above.ln() - reached.ln());
    time((micros.ln() + part * (next.ln() - micros.ln())).exp() * 1e-6)
}

/// From which measured CPU time on a ratio stays at or under a limit, and the largest from there on.
fn stays(points: &[(f64, f64)], limit: f64) -> String {
    let from = points.iter().rposition(|(_, ratio)| *ratio > limit).map_or(0, |last| last + 1);
    match points.get(from) {
        None => {
            format!("and take more than {} times as long as over two threads in the last measured point", ratio(limit))
        }
        Some((micros, _)) => {
            let largest = points[from..].iter().map(|(_, ratio)| *ratio).fold(0.0, f64::max);
            format!(
                "and from {} on take at most {} times as long as over two threads",
                time(micros * 1e-6),
                ratio(largest)
            )
        }
    }
}

/// From which CPU time a task is worth a process, in a sentence: to serial code, and to threads.
pub fn break_even(measures: &Measures) -> (String, String) {
    let sweep = sweep(measures);
    let to = |base: usize| sweep.iter().map(|(micros, times)| (*micros, times[2] / times[base])).collect::<Vec<_>>();
    (threshold(&to(0), 1.0), stays(&to(1), 1.2))
}

/// The break-even as a section.
pub fn even_section(measures: &Measures) -> String {
    let (serial, threads) = break_even(measures);
    let mut section = format!(
        "## From when it pays\n\nThe same tasks of so much CPU time in a loop, over 2 threads of rayon and over 2 workers of \
         poolmap, chunks by default, out of a Vec and into a Vec. Two workers beat the loop from tasks of **{serial}** on \
         (between two points by their logarithms), {threads}.\n\n\
         | CPU time of a task | loop | rayon | poolmap | poolmap to the loop | poolmap to rayon |\n\
         |--:|--:|--:|--:|--:|--:|\n",
    );
    for (micros, times) in sweep(measures) {
        let [serial, rayon, poolmap] = times.map(time);
        let (to_serial, to_rayon) = (cell(Some(times[2] / times[0]), ratio), cell(Some(times[2] / times[1]), ratio));
        let asked = time(micros * 1e-6);
        let _ = writeln!(section, "| {asked} | {serial} | {rayon} | {poolmap} | {to_serial} | {to_rayon} |");
    }
    section
}
