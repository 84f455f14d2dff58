//! Flags of the API server: fairness, etcd, the audit log.

use std::path::PathBuf;

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
