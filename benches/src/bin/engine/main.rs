//! The scheduling engine alone: decisions a second by the number of nodes, no API and no clock.
//!
//! `cargo run --release -p orc-benches --bin engine -- [--nodes 100,5000] [--shape plain] [--json] [--plot FILE.svg]`

mod run;

use std::path::PathBuf;

use clap::Parser;
use orc_benches::plot::{Frame, log_log};
use orc_benches::{Measure, Report, Unit};

use self::run::{Shape, decisions};

#[derive(Parser)]
#[command(about = "Measures the scheduling engine: decisions a second")]
struct Args {
    /// Numbers of nodes.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1_000, 5_000, 50_000, 500_000])]
    nodes: Vec<usize>,
    /// Sorts of pods: plain, service, spread, apart, near.
    #[arg(long, value_delimiter = ',', default_values_t = ["plain".to_owned()])]
    shape: Vec<String>,
    /// Decisions a run; fewer where the nodes have no room for so many.
    #[arg(long, default_value_t = 50_000)]
    pods: usize,
    /// Runs of each.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    /// Writes a plot.
    #[arg(long)]
    plot: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut report = Report::on_this_machine();
    let mut curves = Vec::new();
    for name in &args.shape {
        let shape = Shape::ALL.into_iter().find(|shape| shape.name() == name);
        let shape =
            shape.ok_or_else(|| anyhow::anyhow!("--shape {name}: not one of plain, service, spread, apart, near"))?;
        let mut curve = Vec::new();
        for nodes in &args.nodes {
            let room = nodes * if shape == Shape::Apart { 1 } else { 60 };
            let mut measure = Measure::new(format!("{name}, {nodes} nodes"), Unit::PerSecond);
            for _ in 0..args.runs {
                measure = measure.run(decisions(shape, *nodes, args.pods.min(room))?);
            }
            curve.extend(measure.median().map(|median| (*nodes as f64, median)));
            report.measures.push(measure);
        }
        curves.push((name.clone(), curve));
    }
    report.fact("pods a run", args.pods);
    if let Some(file) = &args.plot {
        let frame = Frame { title: "Decisions by the engine", x: "nodes", y: "decisions a second" };
        log_log(file, &frame, &curves)?;
        report.fact("plot", file.display());
    }
    report.print(args.json);
    Ok(())
}
