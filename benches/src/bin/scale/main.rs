//! Many nodes and many pods through Deployments: how long a cluster takes for them, and what it weighs then.
//!
//! `cargo run --release -p orc-benches --bin scale -- --nodes 1000 --pods 30000 --deployments 30`
//!
//! The built binary starts with simulated nodes only (`orc up --nodes 0 --sim-nodes N`): agents, scheduler, controllers, durable
//! store and the API with TLS are those of a real cluster, and nothing runs in the pods' containers. This program makes the
//! Deployments over HTTPS, asks for their status until all of their pods are Ready, counts the Ready pods themselves, lets the
//! cluster idle, and scales everything to 0. Beside all of that a light client makes, gets and lists objects at a fixed pace:
//! its latencies are what an API user notices. Both share the cores with the cluster.

mod calls;
mod light;
mod run;
mod usage;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use clap::Parser;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use orc_benches::Report;

/// Pods that a simulated node takes: the kubelet's default.
const PODS_OF_A_NODE: u32 = 110;

/// Measures a cluster of many simulated nodes and pods.
#[derive(Parser)]
#[command(allow_negative_numbers = true)]
struct Args {
    /// Simulated nodes.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=16_000))]
    nodes: u32,
    /// Pods over all Deployments.
    #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pods: u32,
    /// Deployments that share the pods.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    deployments: u32,
    /// Seconds for which the cluster's idle cost is measured; 0 leaves that out.
    #[arg(long, default_value_t = 20)]
    idle: u64,
    /// Seconds without progress after which the run has failed.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    patience: u64,
    /// The binary.
    #[arg(long, default_value = "target/release/orc")]
    orc: PathBuf,
    /// A folder on the disk that keeps the cluster's data.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Further flags of `orc up`.
    #[arg(last = true)]
    flags: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    check(&args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(measure(&args))
}

/// What clap cannot see: numbers that do not go together.
fn check(args: &Args) -> anyhow::Result<()> {
    let (nodes, pods, deployments) = (args.nodes, args.pods, args.deployments);
    ensure!(deployments <= pods, "--deployments {deployments}: there are only {pods} pods to share");
    let room = nodes * PODS_OF_A_NODE;
    ensure!(pods <= room, "--pods {pods}: {nodes} nodes take at most {room}, {PODS_OF_A_NODE} each");
    Ok(())
}

async fn measure(args: &Args) -> anyhow::Result<()> {
    let mut report = Report::on_this_machine();
    let plan = run::Plan {
        nodes: args.nodes,
        pods: args.pods,
        deployments: args.deployments,
        idle: Duration::from_secs(args.idle),
        patience: Duration::from_secs(args.patience),
        orc: &args.orc,
        dir: &args.dir,
        flags: &args.flags,
    };
    let bar = bar();
    report.measures = run::run(&plan, &bar).await?;
    bar.finish_and_clear();
    report.fact("nodes, simulated", args.nodes);
    report.fact("pods", args.pods);
    report.fact("Deployments", args.deployments);
    report.fact("binary", args.orc.display());
    report.fact("flags", args.flags.join(" "));
    report.print(args.json);
    Ok(())
}

/// How far the run is; shown where there is a terminal.
fn bar() -> ProgressBar {
    let template = "  {msg:<16} {pos:>6} of {len} {wide_bar} {elapsed}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    ProgressBar::with_draw_target(None, target).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(flags: &[&str]) -> Result<(), String> {
        let args = Args::try_parse_from([&["scale"], flags].concat()).map_err(|error| error.to_string())?;
        check(&args).map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_that_cannot_be_are_refused() {
        assert_eq!(read(&["--nodes", "10", "--pods", "1100", "--deployments", "1100"]), Ok(()));
        for (flag, value) in [("--pods", "0"), ("--nodes", "0"), ("--nodes", "16001"), ("--deployments", "-1")] {
            let said = read(&[flag, value]).unwrap_err();
            assert!(said.contains(flag) && said.contains(value), "{said}");
        }
        let full = read(&["--nodes", "10", "--pods", "1101"]).unwrap_err();
        assert_eq!(full, "--pods 1101: 10 nodes take at most 1100, 110 each");
        let few = read(&["--pods", "3", "--deployments", "4"]).unwrap_err();
        assert_eq!(few, "--deployments 4: there are only 3 pods to share");
    }
}
