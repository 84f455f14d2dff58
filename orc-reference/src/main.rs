//! `orc`: a Kubernetes cluster in one process.
//!
//! Wiring only: flags, files, and which part talks to which. What does the work lives in the library crates.

mod args;
mod control_plane;
mod data_dir;
mod kubeconfig;
mod logging;

use clap::Parser as _;

use args::{Args, Command};

fn main() -> std::process::ExitCode {
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
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match args.command {
            Command::Api(cluster) => control_plane::run(cluster).await,
            Command::Version => {
                anstream::println!("orc {} (Kubernetes v1.36)", env!("CARGO_PKG_VERSION"));
                Ok(())
            }
            Command::Kubeconfig(cluster) => kubeconfig::print(&cluster),
        }
    })
}
