//! Flags of the verbs that talk to a running cluster, or to its backup.

use std::path::PathBuf;

/// Which cluster, for the client verbs.
#[derive(clap::Args, Debug, Clone)]
pub struct ClientArgs {
    /// The kubeconfig [default: $KUBECONFIG, or the one of the default data folder]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The namespace [default: that of the kubeconfig's context]
    #[arg(short, long)]
    pub namespace: Option<String>,
}

/// Flags of `orc get`.
#[derive(clap::Args, Debug, Clone)]
pub struct GetArgs {
    /// Which cluster.
    #[command(flatten)]
    pub client: ClientArgs,
    /// The resource (`pods`, `deploy`, ...), or `resource/name`.
    pub resource: String,
    /// The object's name.
    pub name: Option<String>,
    /// In all namespaces.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Only objects with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// How objects are printed.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// A table.
    Table,
    /// A table with all columns.
    Wide,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// Only names.
    Name,
}

/// Flags of `orc apply`.
#[derive(clap::Args, Debug, Clone)]
pub struct ApplyArgs {
    /// Which cluster.
    #[command(flatten)]
    pub client: ClientArgs,
    /// Files of objects, `-` for standard input.
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
}

/// Flags of `orc delete`.
#[derive(clap::Args, Debug, Clone)]
pub struct DeleteArgs {
    /// Which cluster.
    #[command(flatten)]
    pub client: ClientArgs,
    /// The resource, or `resource/name`.
    #[arg(required_unless_present = "files")]
    pub resource: Option<String>,
    /// The object's name.
    pub name: Option<String>,
    /// Files of objects to delete.
    #[arg(short = 'f', long = "filename", value_name = "FILE", conflicts_with_all = ["resource", "name"])]
    pub files: Vec<PathBuf>,
}

/// Flags of `orc logs`.
#[derive(clap::Args, Debug, Clone)]
pub struct LogsArgs {
    /// Which cluster.
    #[command(flatten)]
    pub client: ClientArgs,
    /// The pod.
    pub pod: String,
    /// The container, where the pod has several.
    #[arg(short, long)]
    pub container: Option<String>,
    /// Go on as lines come.
    #[arg(short, long)]
    pub follow: bool,
    /// Of the run before the last restart.
    #[arg(short, long)]
    pub previous: bool,
    /// Only so many lines from the end.
    #[arg(long, value_name = "N")]
    pub tail: Option<u64>,
}

/// Flags of `orc status`.
#[derive(clap::Args, Debug, Clone)]
pub struct StatusArgs {
    /// Which cluster.
    #[command(flatten)]
    pub client: ClientArgs,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = StatusOutput::Table)]
    pub output: StatusOutput,
}

/// How a status is printed.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusOutput {
    /// Lines and a table.
    Table,
    /// JSON.
    Json,
}

/// Flags of `orc ui`.
#[derive(clap::Args, Debug, Clone)]
pub struct UiArgs {
    /// Which cluster.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Flags of `orc backup`.
#[derive(clap::Args, Debug, Clone)]
pub struct BackupArgs {
    /// Which cluster.
    #[command(flatten)]
    pub client: ClientArgs,
    /// The file to write; it holds all Secrets, so only its owner may read it.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Put it in the place of a file that is there.
    #[arg(long)]
    pub overwrite: bool,
}

/// Flags of `orc restore`.
#[derive(clap::Args, Debug, Clone)]
pub struct RestoreArgs {
    /// The backup.
    pub file: PathBuf,
    /// The data folder to make; it must not hold a store yet [default: as for `orc up`]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Only say what the backup holds.
    #[arg(long)]
    pub check: bool,
    /// Revisions to leave out above the backup's; more than the old cluster made since.
    #[arg(long, value_name = "N", default_value_t = 1_000_000_000)]
    pub skip_revisions: u64,
}
