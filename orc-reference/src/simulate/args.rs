//! Flags of `orc simulate`.

use std::path::PathBuf;
use std::str::FromStr;

/// Flags of `orc simulate`.
#[derive(clap::Args, Debug, Clone)]
pub struct SimulateArgs {
    /// Nodes of an openb trace.
    #[arg(long, value_name = "CSV", requires = "pods", required_unless_present_any = ["workload", "cluster"])]
    pub nodes: Option<PathBuf>,
    /// Tasks of an openb trace.
    #[arg(long, value_name = "CSV", requires = "nodes")]
    pub pods: Option<PathBuf>,
    /// A workload file of scheduler benchmarks, run in virtual time.
    #[arg(long, value_name = "JSON", conflicts_with = "nodes")]
    pub workload: Option<PathBuf>,
    /// A recorded cluster to start from: what `kubectl get nodes,pods -A -o json` prints.
    #[arg(long, value_name = "JSON", conflicts_with = "nodes")]
    pub cluster: Option<PathBuf>,
    /// Run the trace by its times, in virtual time, in the place of the published experiment.
    #[arg(long, requires = "nodes")]
    pub replay: bool,
    /// Policies, divided by commas: Default (in virtual time alone), Random, DotProd, GpuClustering, GpuPacking, BestFit, FGD, Tempered.
    #[arg(long, value_name = "NAME", value_delimiter = ',', required = true)]
    pub policy: Vec<String>,
    /// Seeds: a range that holds its ends, or a list divided by commas. Virtual time takes the first.
    #[arg(long, value_name = "A..B", default_value = "42..51")]
    pub seeds: Seeds,
    /// In virtual time: seconds between failures of nodes, on average.
    #[arg(long, value_name = "SECONDS")]
    pub fail_every: Option<u64>,
    /// How many seconds a failed node is away.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub repair: u64,
    /// In virtual time: add up to so many nodes like the first, as waiting pods need them, and take idle ones away.
    #[arg(long, value_name = "NODES")]
    pub autoscale: Option<usize>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Write every point of every run.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Write curves; `.svg` for the curves alone, `.html` for a page.
    #[arg(long, value_name = "FILE", value_parser = report)]
    pub report: Option<PathBuf>,
}

/// Some seeds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seeds(pub Vec<u64>);

/// A run of an experiment is kept until the end.
const MOST_SEEDS: u64 = 10_000;

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str| part.parse::<u64>().map_err(|_| format!("{part:?} is not a number"));
        let Some((first, last)) = text.split_once("..") else {
            return text.split(',').map(number).collect::<Result<_, _>>().map(Self);
        };
        let (first, last) = (number(first)?, number(last.trim_start_matches('='))?);
        match last.checked_sub(first) {
            Some(more) if more < MOST_SEEDS => Ok(Self((first..=last).collect())),
            _ => Err(format!("give a range that ascends and has at most {MOST_SEEDS} seeds, such as 42..51")),
        }
    }
}

fn report(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("svg" | "html") => Ok(path),
        _ => Err("its name must end in .svg or .html".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::Seeds;

    #[test]
    fn ranges_hold_their_ends() {
        assert_eq!("42..44".parse(), Ok(Seeds(vec![42, 43, 44])));
        assert_eq!("7,3".parse(), Ok(Seeds(vec![7, 3])));
        assert!(
            "5..4".parse::<Seeds>().is_err()
                && "a".parse::<Seeds>().is_err()
                && "0..99999999".parse::<Seeds>().is_err()
        );
    }
}
