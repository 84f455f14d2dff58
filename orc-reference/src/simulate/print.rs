//! What a person, or a program, sees.

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

const HEAD: Style = Style::new().bold();
const NAME: Style = AnsiColor::Cyan.on_default();
const BEST: Style = AnsiColor::Green.on_default().bold();

/// How many runs have ended; shown where there is a terminal.
pub fn bar(runs: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("  {pos} of {len} runs {wide_bar} {elapsed}");
    ProgressBar::new(runs as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// A table whose first row is its header; the row with the highest number in the second column stands out.
pub fn table(rows: &[Vec<String>]) {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or_default();
    let number = |row: &[String]| row.get(1).and_then(|cell| cell.parse::<f64>().ok()).unwrap_or(f64::MIN);
    let best = rows.iter().skip(1).map(|row| number(row)).fold(f64::MIN, f64::max);
    for (line, row) in rows.iter().enumerate() {
        let cells = (0..columns).map(|at| {
            let style = match (line, at) {
                (0, _) => HEAD,
                (_, 0) => NAME,
                (_, 1) if number(row) == best => BEST,
                _ => Style::new(),
            };
            let pad = " ".repeat(width(at) - row[at].chars().count());
            let (before, after) = if at == 0 { ("", &*pad) } else { (&*pad, "") };
            format!("{before}{style}{}{style:#}{after}", row[at])
        });
        anstream::println!("{}", cells.collect::<Vec<_>>().join("   ").trim_end());
    }
}

/// JSON with a line a field.
pub fn json(value: &Value) {
    anstream::println!("{value:#}");
}
