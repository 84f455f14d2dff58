//! `orc`: a Kubernetes cluster in one process.
//!
//! Wiring only: flags, files, and which part talks to which. What does the work lives in the library crates.

#![allow(unreachable_pub, reason = "a binary has no public items; `pub` marks what a module offers the others")]

mod aggregation;
mod args;
mod backup;
mod board;
mod cells;
mod certificates;
mod client;
mod control_plane;
mod data_dir;
mod device_selectors;
mod dns;
mod explain;
mod health;
mod kubeconfig;
mod logging;
mod loops;
mod metrics;
mod nodes;
mod page;
mod progress;
mod ranges;
mod scheduler;
mod servers;
mod simulate;
mod status;
mod storage;
mod tokens;
mod up;
mod volumes;

use clap::Parser as _;

use args::{Args, Command};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    // A pod's shim is this same program: it never comes back from here.
    orc_runtime::shim::run_if_asked();
    let args = Args::parse();
    logging::start(&args);
    match run(args) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("{}orc: {error:#}{}", logging::RED.render(), logging::RED.render_reset());
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Up(up) => up::run(up),
        Command::Api(cluster) => up::runtime()?.block_on(control_plane::run(cluster)),
        Command::Get(get) => up::runtime()?.block_on(client::get::run(get)),
        Command::Apply(apply) => up::runtime()?.block_on(client::apply::run(apply)),
        Command::Delete(delete) => up::runtime()?.block_on(client::delete::run(delete)),
        Command::Logs(logs) => up::runtime()?.block_on(client::logs::run(logs)),
        Command::Status(args) => up::runtime()?.block_on(client::status::run(args)),
        Command::Ui(args) => up::runtime()?.block_on(client::ui::run(args)),
        Command::Backup(args) => up::runtime()?.block_on(client::backup::run(args)),
        Command::Restore(args) => client::restore::run(&args),
        Command::Scheduler(args) => up::runtime()?.block_on(scheduler::run(args)),
        Command::ExplainScheduling(args) => up::runtime()?.block_on(explain::run(args)),
        Command::Simulate(args) => simulate::run(&args),
        Command::Version => {
            anstream::println!("orc {} (Kubernetes v1.36)", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        Command::Kubeconfig(cluster) => kubeconfig::print(&cluster),
    }
}
