//! The figures as a page: a table of ratios, and a plot of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::process::Command;

/// The seconds for one task of each run, by workload and library.
pub type Table = BTreeMap<(String, String), Vec<f64>>;

/// The workloads, in the order of the table.
pub const WORKLOADS: &[(&str, &str)] = &[
    ("W1", "add(i64, i64), one task a message (chunk_size = 1)"),
    ("W2", "add(i64, i64), chunks by default, 10 million"),
    ("W3", "10 µs of CPU a task, chunks by default"),
    ("W3c", "10 µs of CPU a task, chunk_size = 1"),
    ("W4", "1 ms of CPU a task"),
    ("W5", "1 % of tasks 20 ms, the others 50 µs, in random order"),
    ("W6", "1 MiB of bytes in, the same out"),
    ("W7", "sums of 64 slices of a 256 MiB array, slices sent"),
    ("W8", "process start, pool of 2, two tasks, exit (to the fastest of crossmist and procspawn)"),
    ("W9", "words of 2 million lines"),
    ("W9p", "words of 4 KB paragraphs, a map out"),
    ("W10", "a million lazy items of 256 B, unordered"),
];

/// What is to be reached, as a ratio to rayon (W8: to the faster peer).
const FLOORS: [(&str, f64, &str); 12] = [
    ("W1", 1.6, "1.6"),
    ("W2", 0.5, "0.49"),
    ("W3", 1.02, "1.02"),
    ("W3c", 1.02, "1.01"),
    ("W4", 1.03, "1.03"),
    ("W5", 0.97, "0.95"),
    ("W6", 0.33, "0.32"),
    ("W7", 0.6, "0.67"),
    ("W8", 0.95, "1.0"),
    ("W9", 1.4, "1.5"),
    ("W9p", 1.05, "1.07"),
    ("W10", 0.5, "0.55"),
];

const COLUMNS: [&str; 7] = ["poolmap", "procspawn", "Pool", "ProcessPoolExecutor", "loky", "joblib", "mpire"];

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn cell(table: &Table, workload: &str, library: &str) -> Option<f64> {
    let values = table.get(&(workload.to_owned(), library.to_owned()))?;
    Some(median(values.clone()))
}

/// What a workload's figures are ratios to.
fn base(table: &Table, workload: &str) -> Option<f64> {
    if workload == "W8" {
        let peers = ["crossmist", "procspawn"].iter().filter_map(|peer| cell(table, workload, peer));
        return peers.min_by(f64::total_cmp);
    }
    cell(table, workload, "rayon")
}

/// Three figures of a number, as far as they say something.
fn short(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1e-6 => format!("{:.1} ns", s * 1e9),
        s if s < 1e-3 => format!("{:.2} µs", s * 1e6),
        s => format!("{:.2} ms", s * 1e3),
    }
}

/// Writes performance.md and performance.svg.
pub fn write(docs: &Path, table: &Table, runs: usize, python: &[(&str, String)]) -> io::Result<()> {
    std::fs::create_dir_all(docs)?;
    std::fs::write(docs.join("performance.svg"), plot(table))?;
    std::fs::write(docs.join("performance.md"), page(table, runs, python))
}

fn page(table: &Table, runs: usize, python: &[(&str, String)]) -> String {
    let mut page = format!(
        "# Performance\n\nWritten by `cargo run --release` in benches/peers; nothing here is edited by hand. Medians of {runs} runs, all \
         libraries in turn in each, 2 workers. A figure is the time of a task as a ratio to rayon in the same run, lower is better; W8 is a \
         ratio to the faster of crossmist and procspawn.\n\n{}\n\n![the ratios as a plot](performance.svg)\n\n",
        machine(),
    );
    let mut head = String::from("| | workload | rayon | floor | prototype |");
    let mut line = String::from("|---|---|---|---|---|");
    for column in COLUMNS {
        let _ = write!(head, " {column} |");
        line.push_str("---|");
    }
    let _ = writeln!(page, "{head} the floor is |\n{line}---|");
    for (workload, what) in WORKLOADS {
        let Some(base) = base(table, workload) else { continue };
        let (_, floor, prototype) = FLOORS.iter().find(|(name, ..)| name == workload).expect("each has a floor");
        let _ = write!(page, "| {workload} | {what} | {} | {} | {prototype} |", time(base), short(*floor));
        for column in COLUMNS {
            let ratio = cell(table, workload, column).map_or("–".to_owned(), |seconds| short(seconds / base));
            let _ = write!(page, " {ratio} |");
        }
        let own = cell(table, workload, "poolmap").map(|seconds| seconds / base);
        let met = if own.is_some_and(|own| own <= *floor) { "reached" } else { "**missed**" };
        let _ = writeln!(page, " {met} |");
    }
    page.push_str("\nVersions: ");
    let mut versions: Vec<String> =
        ["poolmap", "rayon", "procspawn", "crossmist"].iter().filter_map(|name| locked(name)).collect();
    versions.extend(python.iter().map(|(name, version)| format!("{name} {version}")));
    let _ = writeln!(page, "{}; {}.", versions.join(", "), command("rustc", &["--version"]));
    page.push_str(
        "\nWhat the figures leave out: procspawn has no map, so its chunks, where they are by default, are made by hand, eight for each \
         worker. Where a library is slow it runs fewer tasks, and its time for one is compared. A dash is a workload that a library has no form \
         for here, or that it did not end within 40 s. Python's tasks of CPU time wait by the \
         clock. W7 sends its slices; shared memory and a caller's own array are not measured yet.\n",
    );
    page
}

fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        model.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("", |(_, name)| name);
    format!("Machine: {cpus} CPUs ({model}), Linux {}.", command("uname", &["-r"]))
}

fn command(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The version of a crate, from the lock file.
fn locked(name: &str) -> Option<String> {
    let lock = include_str!("../Cargo.lock");
    let at = lock.find(&format!("name = \"{name}\"\n"))?;
    let version = lock[at..].lines().nth(1)?.split('"').nth(1)?;
    Some(format!("{name} {version}"))
}

/// Bars of ratios, on a logarithmic scale, a group for each workload.
fn plot(table: &Table) -> String {
    const COLORS: [&str; 7] = ["#0b6e4f", "#d1495b", "#edae49", "#66a182", "#2e4057", "#8d96a3", "#a06cd5"];
    const ROW: f64 = 11.0;
    const LEFT: f64 = 60.0;
    const WIDTH: f64 = 760.0;
    let x = |ratio: f64| LEFT + (ratio.log10() + 1.0).clamp(0.0, 5.0) / 5.0 * WIDTH;
    let mut bars = String::new();
    let mut y = 40.0;
    for (workload, _) in WORKLOADS {
        let Some(base) = base(table, workload) else { continue };
        let _ = writeln!(bars, "<text x=\"8\" y=\"{}\" font-weight=\"bold\">{workload}</text>", y + 10.0);
        for (column, color) in COLUMNS.iter().zip(COLORS) {
            let Some(ratio) = cell(table, workload, column).map(|seconds| seconds / base) else { continue };
            let (from, to) = (x(1.0).min(x(ratio)), x(1.0).max(x(ratio)));
            let width = (to - from).max(1.0);
            let _ =
                writeln!(bars, "<rect x=\"{from:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"9\" fill=\"{color}\"/>");
            let _ = writeln!(bars, "<text x=\"{:.1}\" y=\"{}\">{} {column}</text>", to + 4.0, y + 8.5, short(ratio));
            y += ROW;
        }
        y += 10.0;
    }
    let mut grid = String::new();
    for power in -1..=4 {
        let ratio = 10f64.powi(power);
        let _ = writeln!(grid, "<line x1=\"{0:.1}\" y1=\"30\" x2=\"{0:.1}\" y2=\"{y}\" stroke=\"#ccc\"/>", x(ratio));
        let _ = writeln!(grid, "<text x=\"{:.1}\" y=\"24\" text-anchor=\"middle\">{ratio}</text>", x(ratio));
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"960\" height=\"{0}\" viewBox=\"0 0 960 {0}\" font-family=\"sans-serif\" \
         font-size=\"9\">\n<rect width=\"960\" height=\"{0}\" fill=\"white\"/>\n<text x=\"60\" y=\"12\" font-size=\"11\">time of a task, as a \
         ratio to rayon (1): to the left is faster</text>\n{grid}{bars}</svg>\n",
        y + 10.0,
    )
}
