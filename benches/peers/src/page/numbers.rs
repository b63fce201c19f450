//! Numbers as a reader wants them.

/// A ratio, as far as it says something.
pub fn ratio(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// A time in the unit that fits.
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1e-6 => format!("{} ns", ratio(s * 1e9)),
        s if s < 1e-3 => format!("{} µs", ratio(s * 1e6)),
        s => format!("{} ms", ratio(s * 1e3)),
    }
}

/// Bytes, in MiB.
pub fn mebibytes(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / f64::from(1 << 20))
}

/// What is said of a figure and its aim. What counts is the figure as it is shown: to two decimals.
pub fn verdict(value: Option<f64>, aim: f64) -> &'static str {
    match value {
        None => "**missed** (no figure)",
        Some(value) if (value * 100.0).round() <= (aim * 100.0).round() => "reached",
        Some(_) => "**missed**",
    }
}

/// A cell that may be empty.
pub fn cell(value: Option<f64>, show: fn(f64) -> String) -> String {
    value.map_or("–".to_owned(), show)
}
