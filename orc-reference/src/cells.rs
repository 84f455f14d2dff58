//! Cells in columns, for terminals.

use anstyle::Style;

/// A text and how it looks.
pub type Cell = (String, Style);

/// The lines with their columns below each other; all have as many cells as the first.
pub fn aligned(lines: &[Vec<Cell>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |at: usize| lines.iter().map(|line| line[at].0.chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).enumerate().map(|(at, ((cell, style), width))| {
            let pad = if at + 1 == columns { String::new() } else { " ".repeat(width - cell.chars().count()) };
            if cell.is_empty() { pad } else { format!("{style}{cell}{style:#}{pad}") }
        });
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}
