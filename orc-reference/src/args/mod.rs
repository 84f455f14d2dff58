//! The command line.

mod cidr;
mod client;
mod server;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub use self::cidr::ServiceCidr;
pub use self::client::{
    ApplyArgs, BackupArgs, ClientArgs, DeleteArgs, GetArgs, LogsArgs, Output, RestoreArgs, StatusArgs, StatusOutput,
    UiArgs,
};
pub use self::server::{AuditArgs, AuditMode, AuditWebhookArgs, EtcdArgs, FairnessArgs, duration};

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
    /// How log lines are written.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// How log lines are written.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The subcommands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run a whole cluster in the foreground.
    Up(UpArgs),
    /// Run the API server and the store alone.
    Api(ClusterArgs),
    /// List objects, or show one.
    Get(GetArgs),
    /// Make or change objects as files say (server-side apply).
    Apply(ApplyArgs),
    /// Delete objects.
    Delete(DeleteArgs),
    /// Print a container's log.
    Logs(LogsArgs),
    /// Show how a running cluster does.
    Status(StatusArgs),
    /// Print the address of the cluster's web page, with a token that lasts an hour and may only read.
    Ui(UiArgs),
    /// Write everything that a running cluster stores into a file, at one revision.
    Backup(BackupArgs),
    /// Make the data folder of a new cluster from a backup.
    Restore(RestoreArgs),
    /// Run the scheduler alone, for the cluster of a kubeconfig.
    Scheduler(crate::scheduler::SchedulerArgs),
    /// Show what each node is to a pod: which plugins refuse it, and the scores.
    ExplainScheduling(crate::explain::ExplainArgs),
    /// Compare scheduling policies on a trace or a workload, without a cluster.
    Simulate(crate::simulate::SimulateArgs),
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
    /// The network of Service addresses; clusters of root on one machine need different ones.
    #[arg(long, value_name = "CIDR", default_value = "10.96.0.0/12")]
    pub service_cidr: ServiceCidr,
    /// A file of lines `token,user,uid,"group1,group2"` that are accepted as bearer tokens.
    #[arg(long, value_name = "FILE")]
    pub token_auth_file: Option<PathBuf>,
    /// The certificate authority and the key of service account tokens; the servers of one cluster share them [default: pki
    /// in the data folder]
    #[arg(long, value_name = "DIR")]
    pub pki_dir: Option<PathBuf>,
    /// Who signs service account tokens, a URL; given again, further ones are accepted
    /// [default: `https://kubernetes.default.svc.cluster.local`]
    #[arg(long, value_name = "URL")]
    pub service_account_issuer: Vec<String>,
    /// Where others reach this server's API [default: where pods reach it, or where it listens]
    #[arg(long, value_name = "ADDR")]
    pub advertise_address: Option<std::net::IpAddr>,
    /// An etcd that keeps the objects.
    #[command(flatten)]
    pub etcd: EtcdArgs,
    /// A log of who did what.
    #[command(flatten)]
    pub audit: AuditArgs,
    /// How much is done at once.
    #[command(flatten)]
    pub fairness: FairnessArgs,
    /// Encrypt objects where they are kept, as a file says: an EncryptionConfiguration of apiserver.config.k8s.io/v1.
    #[arg(long, value_name = "FILE")]
    pub encryption_provider_config: Option<PathBuf>,
    /// Encrypt at start what the first provider of that file has not: after a key was added in front, or taken away.
    #[arg(long, requires = "encryption_provider_config")]
    pub encryption_rewrite: bool,
    /// Read that file again each minute; what changed counts for new writes and for all reads.
    #[arg(long, value_name = "BOOL", requires = "encryption_provider_config", default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub encryption_provider_config_automatic_reload: bool,
}

/// Flags of `orc up`.
#[derive(clap::Args, Debug, Clone)]
pub struct UpArgs {
    /// Where the cluster lives.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// What runs the pods of the nodes.
    #[arg(long, value_enum, default_value_t = RuntimeKind::Process)]
    pub runtime: RuntimeKind,
    /// How many nodes to run.
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(0..=200))]
    pub nodes: u16,
    /// How many simulated nodes to run besides.
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(0..=16000))]
    pub sim_nodes: u16,
    /// Files of objects to make once the cluster is ready.
    #[arg(long, value_name = "FILE")]
    pub apply: Vec<PathBuf>,
    /// Leave the pods running when the cluster is stopped; the next start takes them up.
    #[arg(long)]
    pub leave_pods: bool,
    /// Run the pods of this folder's files (*.yaml, *.yml, *.json), one each, on every node, whatever the API says; changes
    /// are followed.
    #[arg(long, value_name = "DIR")]
    pub static_pods: Option<PathBuf>,
    /// The network of the pods, a /16 of which each node takes a /24 [default: one of 10.128 to 10.223, by the data folder]
    #[arg(long, value_name = "CIDR")]
    pub pod_cidr: Option<String>,
}

/// What runs pods.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuntimeKind {
    /// Programs of this machine, isolated by namespaces.
    Process,
    /// Nothing: pods whose life is simulated.
    Sim,
}

impl ClusterArgs {
    /// The flags that name the default data folder.
    pub fn default_place() -> Self {
        Self {
            data_dir: None,
            listen: std::net::SocketAddr::from(([127, 0, 0, 1], 6443)),
            kubeconfig: None,
            service_cidr: ServiceCidr { base: std::net::Ipv4Addr::new(10, 96, 0, 0), bits: 12 },
            token_auth_file: None,
            pki_dir: None,
            service_account_issuer: Vec::new(),
            advertise_address: None,
            etcd: EtcdArgs::default(),
            audit: AuditArgs::default(),
            fairness: FairnessArgs::default(),
            encryption_provider_config: None,
            encryption_rewrite: false,
            encryption_provider_config_automatic_reload: false,
        }
    }
}
