//! The scheduler end to end: workloads of Kubernetes' scheduler_perf against a real cluster.
//!
//! `cargo run --release -p orc-benches --bin scheduler -- benches/workloads/*.json`
//!
//! For each file a cluster of the built binary starts (`orc up --nodes 0`: API server with TLS, durable store, controllers and
//! scheduler), and this program is its only client, on the same cores: it makes nodes, which nothing runs, and pods over a few
//! HTTP/2 connections, and follows them by one watch. As in scheduler_perf, pods a second are the pods of the measured
//! `createPods` over the time from its first request until all of them have a node. Unlike there, the API server, its store
//! and the controllers are part of what is measured, in one process, and nodes renew their leases, since a controller looks.
//!
//! A scheduling latency is the time from a pod's request until the watch shows its node: a burst waits in line.

mod background;
mod objects;
mod outcome;
mod parse;
mod pool;
mod run;
mod seen;
mod workload;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use clap::Parser;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use orc_benches::Report;
use serde_json::json;

use outcome::Outcome;
use run::Options;
use workload::Workload;

const HEAD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const NUMBER: Style = AnsiColor::Cyan.on_default();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Yellow.on_default();

/// Measures the scheduler of a whole cluster by workload files.
#[derive(Parser)]
struct Args {
    /// Workload files, JSON or YAML.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The binary.
    #[arg(long, default_value = "target/release/orc")]
    orc: PathBuf,
    /// A folder on the disk that keeps the cluster's data.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// HTTP/2 connections.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    connections: u16,
    /// Requests under way at a time, over all connections.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    streams: u16,
    /// Seconds without a pod that gets a node, after which a run has failed.
    #[arg(long, default_value_t = 60)]
    patience: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Further flags of `orc up`.
    #[arg(last = true)]
    flags: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    // All files are read before anything is measured.
    let workloads = args.files.iter().map(|file| parse::read(file)).collect::<Result<Vec<_>, _>>()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(measure(&args, &workloads))
}

async fn measure(args: &Args, workloads: &[Workload]) -> anyhow::Result<()> {
    let flags: Vec<&str> = args.flags.iter().map(String::as_str).collect();
    let options = Options {
        orc: &args.orc,
        dir: &args.dir,
        connections: args.connections.into(),
        streams: args.streams.into(),
        patience: Duration::from_secs(args.patience),
        flags: &flags,
    };
    let mut outcomes = Vec::new();
    for (file, workload) in args.files.iter().zip(workloads) {
        let facts = Report::on_this_machine().json()["facts"].clone();
        let bar = bar(&workload.name);
        let outcome = run::run(workload, &options, &bar).await.with_context(|| file.display().to_string())?;
        bar.finish_and_clear();
        outcomes.push((workload, outcome, facts));
    }
    if args.json {
        let all = outcomes.iter().map(|(workload, outcome, facts)| {
            let mut result = outcome.json(workload);
            result["machine"] = facts.clone();
            result
        });
        anstream::println!("{:#}", json!(all.collect::<Vec<_>>()));
    } else {
        table(&outcomes.iter().map(|(workload, outcome, _)| (*workload, outcome)).collect::<Vec<_>>());
        anstream::println!(
            "{DIM}* the threshold of Kubernetes' own run; the other numbers of kube-scheduler were measured at 1.36{DIM:#}"
        );
        for (workload, outcome, facts) in &outcomes {
            anstream::println!("{DIM}{}: {}; {facts}{DIM:#}", workload.name, outcome.time());
        }
    }
    Ok(())
}

/// How far an operation is; shown where there is a terminal.
fn bar(name: &str) -> ProgressBar {
    let template = "  {prefix} {msg:<16} {pos:>6} of {len} {wide_bar} {elapsed}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(None, target);
    bar.set_style(style);
    bar.set_prefix(name.to_owned());
    bar
}

fn table(outcomes: &[(&Workload, &Outcome)]) {
    let head = ["workload", "pods/s", "kube-scheduler", "", "p50", "p99", "preemptions/s", "peak memory"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(outcomes.iter().map(|(workload, outcome)| outcome.cells(workload)));
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or_default();
    for (line, row) in rows.iter().enumerate() {
        let faster = !row[3].starts_with("0.");
        let cells = row.iter().enumerate().map(|(at, cell)| {
            let style = match (line, at) {
                (0, _) => HEAD,
                (_, 1) => NUMBER,
                (_, 3) if faster => GOOD,
                (_, 3) => BAD,
                _ => Style::new(),
            };
            let pad = " ".repeat(width(at) - cell.chars().count());
            let (before, after) = if at == 0 { ("", &*pad) } else { (&*pad, "") };
            format!("{before}{style}{cell}{style:#}{after}")
        });
        anstream::println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}
