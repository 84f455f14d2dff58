//! `orc simulate`: policies side by side on a trace, a workload file or a recorded cluster.

mod args;
mod print;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use orc_sched::policies;
use orc_sched::policies::gpu::Typical;
use orc_sched::sim::openb::{self, Experiment, Trace, UnknownPolicy};
use orc_sched::sim::{Grow, Simulation, Workload, chart, files};
use orc_sched::{NodeInfo, Profile};
use serde_json::Value;

pub use args::SimulateArgs;

/// What a run gives, in all forms.
struct Results {
    table: Vec<Vec<String>>,
    csv: String,
    json: Value,
    charts: Vec<chart::Chart>,
}

/// Runs what the flags ask for.
///
/// # Errors
/// When a file or a policy is not as it should be, or a result cannot be written.
pub fn run(args: &SimulateArgs) -> anyhow::Result<()> {
    let results = match (&args.nodes, &args.pods) {
        (Some(nodes), Some(tasks)) if !args.replay => experiment(args, nodes, tasks)?,
        (Some(nodes), Some(tasks)) => {
            let trace = Trace::read(nodes, tasks)?;
            let typical = Arc::new(trace.typical());
            virtual_time(
                args,
                Simulation::new(trace.nodes.clone(), Workload::of_trace(&trace)),
                &trace.nodes,
                &typical,
            )?
        }
        _ => recorded(args)?,
    };
    write(args, &results)?;
    if args.json {
        print::json(&results.json)
    } else {
        print::table(&results.table)
    }
    Ok(())
}

/// The published experiment.
fn experiment(args: &SimulateArgs, nodes: &Path, tasks: &Path) -> anyhow::Result<Results> {
    let experiment = Experiment::new(Trace::read(nodes, tasks)?);
    let bar = print::bar(args.policy.len() * args.seeds.0.len());
    let outcomes = experiment.run_all(&args.policy, &args.seeds.0, |ended| bar.set_position(ended as u64))?;
    bar.finish_and_clear();
    Ok(Results {
        table: openb::table(&outcomes),
        csv: openb::csv(&outcomes),
        json: openb::json(&outcomes),
        charts: openb::charts(&outcomes),
    })
}

/// A workload file, a recorded cluster, or the one on top of the other.
fn recorded(args: &SimulateArgs) -> anyhow::Result<Results> {
    let mut all = match &args.cluster {
        Some(file) => files::cluster(file)?,
        None => files::Recorded::default(),
    };
    if let Some(file) = &args.workload {
        let more = files::workload(file)?;
        all.nodes.extend(more.nodes);
        all.workload = all.workload.and(more.workload);
    }
    let simulation = Simulation::new(all.nodes.clone(), all.workload).placed(all.placed);
    let typical = simulation.typical();
    virtual_time(args, simulation, &all.nodes, &typical)
}

/// Runs every policy in virtual time, with the first seed.
fn virtual_time(
    args: &SimulateArgs,
    simulation: Simulation,
    nodes: &[Arc<NodeInfo>],
    typical: &Arc<Typical>,
) -> anyhow::Result<Results> {
    let seed = args.seeds.0.first().copied().unwrap_or_default();
    let mut simulation = simulation.seed(seed);
    if let Some(mean) = args.fail_every {
        simulation = simulation.failures(mean.saturating_mul(1000), args.repair.saturating_mul(1000));
    }
    if let Some(most) = args.autoscale {
        let like = nodes.first().context("--autoscale: there is no node that a new one could be like")?;
        let like = NodeInfo::clone(like);
        simulation = simulation.autoscaler(move || Grow::new(like.clone(), most));
    }
    for name in &args.policy {
        simulation = simulation.policy(profile(name, typical, seed)?);
    }
    let report = simulation.run();
    Ok(Results { table: report.table(), csv: report.csv(), json: report.json(), charts: report.charts() })
}

fn profile(name: &str, typical: &Arc<Typical>, seed: u64) -> Result<Profile, UnknownPolicy> {
    if name.eq_ignore_ascii_case("default") {
        return Ok(Profile { name: "Default".into(), ..Profile::default().instead(crate::device_selectors::plugin()) });
    }
    policies::named(name, typical, seed).ok_or_else(|| UnknownPolicy(name.to_owned()))
}

/// Writes the files that are asked for.
fn write(args: &SimulateArgs, results: &Results) -> anyhow::Result<()> {
    let write = |file: &Path, text: &str| {
        std::fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))
    };
    if let Some(file) = &args.csv {
        write(file, &results.csv)?;
    }
    if let Some(file) = &args.report {
        let page = file.extension().is_some_and(|extension| extension == "html");
        let page = page.then(|| chart::html("orc simulate", &results.charts, &results.table));
        write(file, &page.unwrap_or_else(|| chart::svg(&results.charts)))?;
    }
    Ok(())
}
