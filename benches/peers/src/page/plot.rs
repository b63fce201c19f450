//! The ratios as a picture: a band for each row of the table, a point for each library, on a logarithmic scale.

use std::fmt::Write as _;

use super::numbers::ratio;
use crate::figures::Figures;
use crate::workloads::{COLUMNS, WORKLOADS, Workload};

/// A palette that colour-blind readers can tell apart (Okabe and Ito), in the order of the columns.
const COLORS: [&str; 7] = ["#d55e00", "#000000", "#0072b2", "#56b4e9", "#009e73", "#cc79a7", "#e69f00"];
const LEFT: f64 = 330.0;
const WIDTH: f64 = 600.0;
const TOP: f64 = 92.0;
const BAND: f64 = 34.0;
/// The scale, as powers of ten.
const FROM: f64 = -1.0;
const TO: f64 = 4.0;

/// Where a ratio stands.
fn x(ratio: f64) -> f64 {
    LEFT + (ratio.log10() - FROM).clamp(0.0, TO - FROM) / (TO - FROM) * WIDTH
}

/// The whole picture.
pub fn plot(figures: &Figures) -> String {
    let shown = |row: &&Workload| COLUMNS.iter().any(|library| figures.cell(row, library).is_some());
    let rows: Vec<&Workload> = WORKLOADS.iter().filter(|row| row.aim.is_some()).filter(shown).collect();
    let bottom = TOP + rows.len() as f64 * BAND;
    let bands: String = rows.iter().enumerate().map(|(at, row)| band(figures, row, TOP + at as f64 * BAND)).collect();
    let height = bottom + 30.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1000\" height=\"{height}\" viewBox=\"0 0 1000 {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"1000\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"12\" y=\"24\" font-size=\"15\" font-weight=\"bold\">Time of a task, as a ratio to rayon's threads \
         (logarithmic; further left is faster)</text>\n{}{}{bands}</svg>\n",
        legend(),
        grid(bottom),
    )
}

/// Which point is which library.
fn legend() -> String {
    let mut legend = String::new();
    let mut at = 16.0;
    for (library, color) in COLUMNS.iter().zip(COLORS) {
        legend.push_str(&point(at, 46.0, library, color));
        let _ = writeln!(legend, "<text x=\"{}\" y=\"50\">{library}</text>", at + 10.0);
        at += 28.0 + library.len() as f64 * 6.6;
    }
    let _ =
        writeln!(legend, "<line x1=\"{at}\" y1=\"39\" x2=\"{at}\" y2=\"53\" stroke=\"#d55e00\" stroke-width=\"2\"/>");
    let _ = writeln!(legend, "<text x=\"{}\" y=\"50\">poolmap's aim</text>", at + 8.0);
    legend
}

/// The lines of the powers of ten, and that of rayon.
fn grid(bottom: f64) -> String {
    let mut grid = String::new();
    for power in FROM as i32..=TO as i32 {
        let at = x(10f64.powi(power));
        let (color, width) = if power == 0 { ("#555", 2) } else { ("#ccc", 1) };
        let _ = writeln!(
            grid,
            "<line x1=\"{at:.1}\" y1=\"{}\" x2=\"{at:.1}\" y2=\"{bottom}\" stroke=\"{color}\" stroke-width=\"{width}\"/>",
            TOP - 6.0,
        );
        let label = if power == 0 { "1 = rayon".to_owned() } else { 10f64.powi(power).to_string() };
        for y in [TOP - 12.0, bottom + 16.0] {
            let _ = writeln!(grid, "<text x=\"{at:.1}\" y=\"{y}\" text-anchor=\"middle\">{label}</text>");
        }
    }
    grid
}

/// One workload. poolmap's point is on the upper line, with its figure; the others are below, a little apart.
fn band(figures: &Figures, row: &Workload, y: f64) -> String {
    let mut band = String::new();
    let _ =
        writeln!(band, "<line x1=\"12\" y1=\"{0}\" x2=\"{1}\" y2=\"{0}\" stroke=\"#eee\"/>", y + BAND, LEFT + WIDTH);
    let _ = writeln!(band, "<text x=\"12\" y=\"{}\" font-weight=\"bold\">{}</text>", y + 20.0, row.name);
    let what = row.what.replace('`', "");
    let _ = writeln!(band, "<text x=\"46\" y=\"{}\" font-size=\"9.5\">{what}</text>", y + 20.0);
    if let Some(aim) = row.aim {
        let at = x(aim);
        let _ = writeln!(
            band,
            "<line x1=\"{at:.1}\" y1=\"{}\" x2=\"{at:.1}\" y2=\"{}\" stroke=\"#d55e00\" stroke-width=\"2\"/>",
            y + 2.0,
            y + 18.0,
        );
    }
    // poolmap is drawn last, on top.
    for (at, (library, color)) in COLUMNS.iter().zip(COLORS).enumerate().rev() {
        let Some(value) = figures.cell(row, library) else { continue };
        let line = if at == 0 { 10.0 } else { 20.0 + (at % 3) as f64 * 4.0 };
        band.push_str(&point(x(value), y + line, library, color));
        if at == 0 {
            let (beside, anchor) = label_side(x(value), &[Some(x(1.0)), row.aim.map(x)]);
            let _ = writeln!(
                band,
                "<text x=\"{beside:.1}\" y=\"{}\" font-weight=\"bold\" fill=\"{color}\" text-anchor=\"{anchor}\" \
                 paint-order=\"stroke\" stroke=\"white\" stroke-width=\"4\">{}</text>",
                y + 14.0,
                ratio(value),
            );
        }
    }
    band
}

/// Where the figure of a point goes: to its right, or to its left where a mark would be below it.
fn label_side(point: f64, marks: &[Option<f64>]) -> (f64, &'static str) {
    // The label does not cover a mark under the point itself.
    const LABEL: std::ops::Range<f64> = 6.0..42.0;
    let is_covered = |mark: f64| LABEL.contains(&(mark - point));
    if marks.iter().flatten().any(|&mark| is_covered(mark)) { (point - 9.0, "end") } else { (point + 9.0, "start") }
}

/// A point: a diamond for poolmap, a square for procspawn, a circle for Python's libraries.
fn point(x: f64, y: f64, library: &str, color: &str) -> String {
    match library {
        "poolmap" => {
            format!("<path d=\"M{x:.1} {} l6 6 l-6 6 l-6 -6 z\" fill=\"{color}\" stroke=\"white\"/>\n", y - 6.0)
        }
        "procspawn" => {
            format!("<rect x=\"{:.1}\" y=\"{}\" width=\"8\" height=\"8\" fill=\"{color}\"/>\n", x - 4.0, y - 4.0)
        }
        _ => format!(
            "<circle cx=\"{x:.1}\" cy=\"{y}\" r=\"4\" fill=\"{color}\" stroke=\"white\" stroke-width=\"0.5\"/>\n"
        ),
    }
}
