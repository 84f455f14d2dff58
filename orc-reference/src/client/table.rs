//! Prints a `meta.k8s.io/v1` Table.

use anstyle::{AnsiColor, Style};
use serde_json::Value;

const HEAD: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const WAIT: Style = AnsiColor::Yellow.on_default();

/// Prints the columns of priority 0, or all; with a first column for the namespace if asked.
pub fn print(table: &Value, wide: bool, namespaces: bool) {
    let columns: Vec<(usize, String)> = list(table, "columnDefinitions")
        .enumerate()
        .filter(|(_, column)| wide || column["priority"] == 0)
        .map(|(at, column)| (at, column["name"].as_str().unwrap_or_default().to_ascii_uppercase()))
        .collect();
    let mut lines: Vec<Vec<String>> = vec![columns.iter().map(|(_, name)| name.clone()).collect()];
    lines.extend(list(table, "rows").map(|row| columns.iter().map(|(at, _)| text(&row["cells"][*at])).collect()));
    if namespaces {
        lines[0].insert(0, "NAMESPACE".to_owned());
        for (line, row) in lines[1..].iter_mut().zip(list(table, "rows")) {
            line.insert(0, text(&row["object"]["metadata"]["namespace"]));
        }
    }
    let widths: Vec<usize> = (0..lines[0].len())
        .map(|at| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or_default())
        .collect();
    for (number, line) in lines.iter().enumerate() {
        let cells = line.iter().zip(&widths).map(|(cell, width)| {
            let style = if number == 0 { HEAD } else { colour(cell) };
            format!("{style}{cell}{style:#}{}", " ".repeat(width - cell.chars().count()))
        });
        anstream::println!("{}", cells.collect::<Vec<_>>().join("   ").trim_end());
    }
}

fn list<'a>(table: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    table[name].as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn colour(cell: &str) -> Style {
    match cell {
        "Running" | "Ready" | "Active" | "Bound" | "Complete" | "Completed" => GOOD,
        "Pending" | "ContainerCreating" | "Terminating" | "NotReady" => WAIT,
        _ if cell.contains("Err") || cell.contains("BackOff") || matches!(cell, "Error" | "Failed" | "Unknown") => BAD,
        _ => Style::new(),
    }
}
