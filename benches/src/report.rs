//! Several runs of a measurement as one line of a table.

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

const TITLE: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const NUMBER: Style = AnsiColor::Cyan.on_default();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Yellow.on_default();

/// What a number counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Seconds, shown as milliseconds below one.
    Seconds,
    /// Bytes, shown as MiB.
    Bytes,
    /// Events a second.
    PerSecond,
}

/// One quantity, measured several times.
#[derive(Clone, Debug)]
pub struct Measure {
    /// What was measured.
    pub name: String,
    /// What the numbers count.
    pub unit: Unit,
    /// One number a run, in the order of the runs.
    pub runs: Vec<f64>,
    /// The number not to exceed, where the project has named one.
    pub aim: Option<f64>,
}

impl Measure {
    /// A quantity without runs.
    pub fn new(name: impl Into<String>, unit: Unit) -> Self {
        Self { name: name.into(), unit, runs: Vec::new(), aim: None }
    }

    /// The same, with a number not to exceed.
    pub fn aim(mut self, aim: f64) -> Self {
        self.aim = Some(aim);
        self
    }

    /// The same, with a run more.
    pub fn run(mut self, number: f64) -> Self {
        self.runs.push(number);
        self
    }

    /// The middle run; between two, their mean. `None` without runs.
    pub fn median(&self) -> Option<f64> {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => None,
            n if n % 2 == 1 => Some(sorted[middle]),
            _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
        }
    }

    /// The lowest and the highest run.
    pub fn spread(&self) -> Option<(f64, f64)> {
        let sorted = self.sorted();
        Some((*sorted.first()?, *sorted.last()?))
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.runs.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    fn json(&self) -> Value {
        let (low, high) = self.spread().unzip();
        json!({
            "name": self.name, "unit": self.unit.name(), "runs": self.runs,
            "median": self.median(), "min": low, "max": high, "aim": self.aim,
        })
    }
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::PerSecond => "per second",
        }
    }

    /// A number as a person reads it.
    pub fn show(self, number: f64) -> String {
        match self {
            Self::Seconds if number < 1.0 => format!("{:.1} ms", number * 1e3),
            Self::Seconds => format!("{number:.2} s"),
            Self::Bytes if number < f64::from(1 << 20) => format!("{:.1} KiB", number / 1024.0),
            Self::Bytes => format!("{:.1} MiB", number / f64::from(1 << 20)),
            Self::PerSecond => format!("{number:.0} /s"),
        }
    }
}

/// What a program measured, and on what.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The measurements, in the order in which they are shown.
    pub measures: Vec<Measure>,
    /// Facts that the numbers depend on: machine, build, command.
    pub facts: Vec<(String, String)>,
}

impl Report {
    /// A report that begins with what it ran on.
    pub fn on_this_machine() -> Self {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or_default().to_owned();
        let facts = [("cores", cores.to_string()), ("kernel", kernel.trim().to_owned()), ("load at the start", load)];
        let facts = facts.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Self { measures: Vec::new(), facts }
    }

    /// Notes a fact.
    pub fn fact(&mut self, name: &str, value: impl ToString) {
        self.facts.push((name.to_owned(), value.to_string()));
    }

    /// Everything, for programs.
    pub fn json(&self) -> Value {
        let facts: serde_json::Map<_, _> =
            self.facts.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({ "facts": facts, "measures": self.measures.iter().map(Measure::json).collect::<Vec<_>>() })
    }

    /// Prints JSON or a table to standard output.
    pub fn print(&self, as_json: bool) {
        if as_json {
            anstream::println!("{:#}", self.json());
            return;
        }
        let wide = self.measures.iter().map(|m| m.name.chars().count()).max().unwrap_or(0);
        anstream::println!(
            "\n{TITLE}{:wide$}  {:>12}  {:>26}  {:>5}  aim{TITLE:#}",
            "",
            "median",
            "lowest to highest",
            "runs"
        );
        for measure in &self.measures {
            print_line(measure, wide);
        }
        for (name, value) in &self.facts {
            anstream::println!("{DIM}{name}: {value}{DIM:#}");
        }
    }
}

fn print_line(measure: &Measure, wide: usize) {
    let show = |number: f64| measure.unit.show(number);
    let (Some(median), Some((low, high))) = (measure.median(), measure.spread()) else {
        anstream::println!("{:wide$}  {DIM}not measured{DIM:#}", measure.name);
        return;
    };
    let spread = format!("{} to {}", show(low), show(high));
    let aim = measure.aim.map(|aim| (if median <= aim { GOOD } else { BAD }, format!("under {}", show(aim))));
    let (style, aim) = aim.unwrap_or_default();
    let (name, runs) = (&measure.name, measure.runs.len());
    let median = show(median);
    anstream::println!("{name:wide$}  {NUMBER}{median:>12}{NUMBER:#}  {spread:>26}  {runs:>5}  {style}{aim}{style:#}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(runs: &[f64]) -> Measure {
        Measure { runs: runs.to_vec(), ..Measure::new("x", Unit::Seconds) }
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(of(&[]).median(), None);
        assert_eq!(of(&[3.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]).median(), Some(2.5));
        assert_eq!(of(&[3.0, 1.0, 2.0]).spread(), Some((1.0, 3.0)));
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(Unit::Seconds.show(0.25), "250.0 ms");
        assert_eq!(Unit::Seconds.show(1.5), "1.50 s");
        assert_eq!(Unit::Bytes.show(f64::from(3 << 20)), "3.0 MiB");
        assert_eq!(Unit::PerSecond.show(1234.4), "1234 /s");
    }
}
