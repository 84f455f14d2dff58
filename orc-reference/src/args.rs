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

/// Priority and fairness; the flags are kube-apiserver's.
#[derive(clap::Args, Debug, Clone, Copy)]
pub struct FairnessArgs {
    /// Requests that are served at once; the sum of this and the next is divided among priority levels.
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub max_requests_inflight: u32,
    /// The same for writes.
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub max_mutating_requests_inflight: u32,
    /// Let requests wait for their turn by FlowSchemas and PriorityLevelConfigurations; otherwise nothing limits them.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub enable_priority_and_fairness: bool,
}

impl Default for FairnessArgs {
    fn default() -> Self {
        Self { max_requests_inflight: 400, max_mutating_requests_inflight: 200, enable_priority_and_fairness: true }
    }
}

/// An etcd in the place of the data folder's own store, for several servers side by side.
#[derive(clap::Args, Debug, Clone, Default)]
pub struct EtcdArgs {
    /// Keep the objects in this etcd instead of the data folder; several, divided by commas, for its members.
    #[arg(long = "etcd-servers", value_name = "URL", value_delimiter = ',')]
    pub servers: Vec<String>,
    /// The part of etcd's keys that is this cluster's.
    #[arg(long = "etcd-prefix", value_name = "PREFIX", default_value = "/orc")]
    pub prefix: String,
    /// The authority that signed etcd's certificate, PEM.
    #[arg(long = "etcd-cafile", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// This server's certificate for etcd, PEM.
    #[arg(long = "etcd-certfile", value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// The key of that certificate, PEM.
    #[arg(long = "etcd-keyfile", value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
}

/// The audit log; the flags are kube-apiserver's.
#[derive(clap::Args, Debug, Clone)]
pub struct AuditArgs {
    /// What is written down: a file with a Policy of audit.k8s.io/v1.
    #[arg(long = "audit-policy-file", value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Where to: one JSON event a line; `-` for standard output.
    #[arg(long = "audit-log-path", value_name = "FILE", requires = "policy")]
    pub path: Option<PathBuf>,
    /// Days that old files are kept, 0 for ever.
    #[arg(long = "audit-log-maxage", value_name = "DAYS", default_value_t = 0)]
    pub max_age: u32,
    /// Old files that are kept, 0 for all.
    #[arg(long = "audit-log-maxbackup", value_name = "N", default_value_t = 0)]
    pub max_backup: usize,
    /// Megabytes of a file before it is put aside, 0 for 100.
    #[arg(long = "audit-log-maxsize", value_name = "MB", default_value_t = 0)]
    pub max_size: u64,
    /// Whether requests wait until their event is written (blocking) or not (batch).
    #[arg(long = "audit-log-mode", value_enum, default_value_t = AuditMode::Blocking)]
    pub mode: AuditMode,
    /// A server that events are sent to.
    #[command(flatten)]
    pub webhook: AuditWebhookArgs,
}

/// The server that audit events are sent to; the flags are kube-apiserver's.
#[derive(clap::Args, Debug, Clone)]
pub struct AuditWebhookArgs {
    /// Send events to the server that this file describes, in the form of a kubeconfig.
    #[arg(long = "audit-webhook-config-file", value_name = "FILE", requires = "policy")]
    pub config: Option<PathBuf>,
    /// Whether requests wait until their event was sent (blocking) or not (batch).
    #[arg(long = "audit-webhook-mode", value_enum, default_value_t = AuditMode::Batch)]
    pub webhook_mode: AuditMode,
    /// Events that may wait at a time; more are lost.
    #[arg(long = "audit-webhook-batch-buffer-size", value_name = "N", default_value_t = 10_000)]
    pub buffer: usize,
    /// Events of a batch.
    #[arg(long = "audit-webhook-batch-max-size", value_name = "N", default_value_t = 400)]
    pub batch: usize,
    /// How long a batch waits for more events, such as 30s or 500ms.
    #[arg(long = "audit-webhook-batch-max-wait", value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub wait: std::time::Duration,
    /// Whether batches a second are bounded.
    #[arg(long = "audit-webhook-batch-throttle-enable", value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub throttle: bool,
    /// Batches a second.
    #[arg(long = "audit-webhook-batch-throttle-qps", value_name = "N", default_value_t = 10.0)]
    pub qps: f64,
    /// Batches that may go at once.
    #[arg(long = "audit-webhook-batch-throttle-burst", value_name = "N", default_value_t = 15)]
    pub burst: u32,
    /// The pause before a batch is sent again.
    #[arg(long = "audit-webhook-initial-backoff", value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub backoff: std::time::Duration,
}

impl Default for AuditWebhookArgs {
    fn default() -> Self {
        let seconds = std::time::Duration::from_secs;
        Self {
            config: None,
            webhook_mode: AuditMode::Batch,
            buffer: 10_000,
            batch: 400,
            wait: seconds(30),
            throttle: true,
            qps: 10.0,
            burst: 15,
            backoff: seconds(10),
        }
    }
}

/// A duration as jiff reads it: `30s`, `1m30s`, `500ms`.
///
/// # Errors
/// What is wrong with it.
pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    let read: jiff::SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    std::time::Duration::try_from(read).map_err(|_| "it is negative".to_owned())
}

/// Whether requests wait for the audit log.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditMode {
    /// No; events are lost where the disk does not keep up.
    Batch,
    /// Yes.
    Blocking,
}

impl Default for AuditArgs {
    fn default() -> Self {
        let (mode, webhook) = (AuditMode::Blocking, AuditWebhookArgs::default());
        Self { policy: None, path: None, max_age: 0, max_backup: 0, max_size: 0, mode, webhook }
    }
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

/// The network of Service addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceCidr {
    /// Its first address.
    pub base: std::net::Ipv4Addr,
    /// The length of its prefix, 8 to 28.
    pub bits: u8,
}

impl ServiceCidr {
    /// The address of the `kubernetes` Service: the first one after the network's own.
    pub fn api(self) -> std::net::Ipv4Addr {
        std::net::Ipv4Addr::from(u32::from(self.base) + 1)
    }

    /// The address of cluster DNS: the tenth one, where kubeadm puts it.
    pub fn dns(self) -> std::net::Ipv4Addr {
        std::net::Ipv4Addr::from(u32::from(self.base) + 10)
    }
}

impl std::str::FromStr for ServiceCidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (base, bits) = text.split_once('/')?;
            let (base, bits): (std::net::Ipv4Addr, u8) = (base.parse().ok()?, bits.parse().ok()?);
            let aligned = (8..=28).contains(&bits) && u32::from(base).trailing_zeros() >= u32::from(32 - bits);
            aligned.then_some(Self { base, bits })
        };
        parse().ok_or_else(|| "give an IPv4 network with a prefix of 8 to 28, such as 10.96.0.0/12".to_owned())
    }
}
