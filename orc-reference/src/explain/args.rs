//! Flags of `orc explain-scheduling`.

use std::path::PathBuf;

use crate::args::ClientArgs;

/// Flags of `orc explain-scheduling`.
#[derive(clap::Args, Debug, Clone)]
pub struct ExplainArgs {
    /// Which cluster.
    #[command(flatten)]
    pub client: ClientArgs,
    /// The pod.
    pub pod: String,
    /// Explain a pod that has a node as though it had none.
    #[arg(long)]
    pub unbound: bool,
    /// The KubeSchedulerConfiguration of the pod's scheduler [default: Kubernetes' defaults]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Chooses among nodes of equal score; a decision in the scheduler's log tells its own [default: random]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// How an explanation is printed.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// A table.
    Table,
    /// JSON.
    Json,
}
