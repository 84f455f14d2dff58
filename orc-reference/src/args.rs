//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// A Kubernetes cluster in one process.
#[derive(Parser, Debug)]
#[command(name = "orc", version, about, disable_help_subcommand = true)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How much to log: error, warn, info, debug, trace, or a filter such as `orc_api=debug`.
    #[arg(long, global = true, default_value = "warn", value_name = "LEVEL")]
    pub log: String,
}

/// The subcommands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the API server and the store alone.
    Api(ClusterArgs),
    /// Say which version this is.
    Version,
    /// Print the administrator's kubeconfig of a data folder.
    Kubeconfig(ClusterArgs),
}

/// Flags that say where a cluster lives.
#[derive(clap::Args, Debug, Clone)]
pub struct ClusterArgs {
    /// The folder that holds everything; made if it is missing [default: ~/.local/share/orc, or /var/lib/orc as root]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where the API listens.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:6443")]
    pub listen: SocketAddr,
    /// Where to write the administrator's kubeconfig [default: kubeconfig in the data folder]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// A file of lines `token,user,uid,"group1,group2"` that are accepted as bearer tokens.
    #[arg(long, value_name = "FILE")]
    pub token_auth_file: Option<PathBuf>,
}
