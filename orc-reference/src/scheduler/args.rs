//! Flags of `orc scheduler`; where kube-scheduler has one of the same meaning, they are its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::args::duration;

/// Flags of `orc scheduler`.
#[derive(clap::Args, Debug, Clone)]
pub struct SchedulerArgs {
    /// Which cluster, and as whom [default: $KUBECONFIG, or the one of the default data folder]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// A KubeSchedulerConfiguration of kubescheduler.config.k8s.io/v1.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Schedule the pods that name this scheduler [default: the configuration's, or default-scheduler]
    #[arg(long, value_name = "NAME")]
    pub scheduler_name: Option<String>,
    /// Show metrics and health by plain HTTP, at /metrics and /healthz.
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics_listen: Option<SocketAddr>,
    /// Of several processes one schedules.
    #[command(flatten)]
    pub election: ElectionArgs,
}

/// Leader election.
#[derive(clap::Args, Debug, Clone)]
pub struct ElectionArgs {
    /// Schedule only while holding the lease; without it, two schedulers of one name decide about the same pods.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub leader_elect: bool,
    /// The lease's name; schedulers of different names that run side by side need different ones.
    #[arg(long = "leader-elect-resource-name", value_name = "NAME", default_value = "kube-scheduler")]
    pub name: String,
    /// The lease's namespace.
    #[arg(long = "leader-elect-resource-namespace", value_name = "NAME", default_value = "kube-system")]
    pub namespace: String,
    /// How long a lease counts after it was renewed, in whole seconds.
    #[arg(long = "leader-elect-lease-duration", value_name = "TIME", default_value = "15s", value_parser = duration)]
    pub lease: Duration,
    /// How long to go on without a renewal that succeeded; less than the lease.
    #[arg(long = "leader-elect-renew-deadline", value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub renew: Duration,
    /// How often to renew, or to look whether the lease is free.
    #[arg(long = "leader-elect-retry-period", value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub retry: Duration,
}
