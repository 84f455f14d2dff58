//! The whole API server under load: the built binary with TLS and a durable store, the load generator on the same cores.
//!
//! `cargo run --release -p orc-benches --bin api -- --orc target/release/orc --dir .`
//!
//! Pods name a scheduler that is not there, so that what is measured is the API and its store; all controllers run. A
//! connection is HTTP/2 with TLS and a client certificate, one request at a time.

mod lists;
mod load;
mod watches;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use orc_benches::cluster::Cluster;
use orc_benches::{Measure, Report, Unit};

/// Measures the API server.
#[derive(Parser)]
struct Args {
    /// The binary.
    #[arg(long, default_value = "target/release/orc")]
    orc: PathBuf,
    /// A folder on the disk in question.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Seconds a step.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How many times to measure each step.
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// How many pods the lists have.
    #[arg(long, default_value_t = 23_800)]
    pods: usize,
    /// Concurrent watches of each step.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000])]
    watches: Vec<usize>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut report = Report::on_this_machine();
    let seconds = Duration::from_secs_f64(args.seconds);
    let up = || Cluster::up(&args.orc, &args.dir, &["--nodes", "0"]);
    for connections in [1, 16, 256] {
        let mut rate = Measure::new(format!("pod creates, {connections} connections"), Unit::PerSecond);
        let mut p99 = Measure::new(format!("pod creates, {connections} connections, p99"), Unit::Seconds);
        for _ in 0..args.runs {
            let run = load::creates(&up()?, connections, seconds).await?;
            rate.runs.push(run.rate);
            p99.runs.push(run.p99);
        }
        anstream::eprintln!("{}: {}", rate.name, Unit::PerSecond.show(rate.median().unwrap_or_default()));
        report.measures.extend([rate, p99]);
    }
    let cluster = up()?;
    report.measures.push(Measure::new("idle memory, PSS", Unit::Bytes).run(cluster.weight().pss as f64));
    load::fill(&cluster, args.pods).await?;
    let mut gets = Measure::new("gets of a pod, 16 connections", Unit::PerSecond);
    for _ in 0..args.runs {
        gets.runs.push(load::gets(&cluster, 16, seconds, args.pods).await?.rate);
    }
    report.measures.push(gets);
    report.measures.extend(lists::measure(&cluster, args.pods, args.runs).await?);
    drop(cluster);
    for count in &args.watches {
        let measures = watches::measure(&up()?, *count, args.runs).await?;
        report.measures.extend(measures);
    }
    report.fact("folder", args.dir.canonicalize()?.display());
    report.fact("seconds a step", args.seconds);
    report.print(args.json);
    Ok(())
}
