//! `orc scheduler`: the live scheduler as its own process, against any cluster that a kubeconfig names.

mod args;
mod config;
mod page;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Node;
use orc_api::remote::RemoteClient;
use orc_core::env::{System, Task};
use orc_core::metrics::Sources;
use orc_reconcile::CancellationToken;
use orc_reconcile::election::{self, ElectionConfig, Standing, Timings};
use orc_sched::driver::{Scheduler, SchedulerConfig};
use orc_store::client::ListOptions;
use orc_store::{Api, Env};
use tokio::sync::watch;

use crate::args::ClientArgs;
use crate::board::Board;
use crate::client::Client;
use crate::{control_plane, metrics, progress};

pub use args::{ElectionArgs, SchedulerArgs};
pub use config::{defaults, read as read_config};

/// How long the scheduler may take to end, with the bindings under way and the lease given back.
const DRAIN: Duration = Duration::from_secs(10);
/// The name of the field manager, and in leases.
const NAME: &str = "kube-scheduler";

/// Schedules until a signal.
///
/// # Errors
/// When flags, configuration or kubeconfig are not as they should be, or the cluster does not let us read its nodes.
pub async fn run(args: SchedulerArgs) -> anyhow::Result<()> {
    let config = read_config(args.config.as_deref(), args.scheduler_name.as_deref())?;
    let election = election_config(&args.election)?;
    let connection = Client::open(&ClientArgs { kubeconfig: args.kubeconfig.clone(), namespace: None })?.connection;
    let server = connection.server().to_owned();
    let system = System::real();
    let part = Part { client: RemoteClient::new(connection, NAME), system: system.clone(), config };
    part.check().await?;
    let board = Board::new(system.clock.clone());
    let _page = match args.metrics_listen {
        Some(address) => Some(start_page(address, &board, &system).await?),
        None => None,
    };
    let stop = CancellationToken::new();
    let task = part.start(election, &board, &stop);
    let names: Vec<&str> = part.config.profiles.iter().map(|profile| profile.name.as_str()).collect();
    progress::started("scheduler", &format!("{} at {server}", names.join(", ")));
    control_plane::stopped().await?;
    board.stop();
    stop.cancel();
    match tokio::time::timeout(DRAIN, task.join()).await {
        Ok(ended) => ended.map_err(|why| anyhow::anyhow!("the scheduler failed: {why}")),
        Err(_) => anyhow::bail!("the scheduler did not end within {} s; its lease ends by itself", DRAIN.as_secs()),
    }
}

async fn start_page(address: std::net::SocketAddr, board: &Board, system: &System) -> anyhow::Result<Task> {
    let sources = Sources::default();
    metrics::add(&sources, board);
    let listener = tokio::net::TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("--metrics-listen {address}"))?;
    progress::started("metrics", &format!("http://{}/metrics", listener.local_addr()?));
    Ok(system.spawn.spawn(page::serve(listener, sources, board.clone())))
}

/// What the scheduler is made of, for each time that it begins to lead.
#[derive(Clone)]
struct Part {
    client: RemoteClient,
    system: System,
    config: SchedulerConfig,
}

impl Part {
    fn env(&self) -> Env {
        Env::new(Arc::new(self.client.clone()), &self.system)
    }

    /// Reads one node, so that a wrong address or a missing right is told at once and not in the log.
    async fn check(&self) -> anyhow::Result<()> {
        let one = ListOptions { limit: Some(1), ..ListOptions::default() };
        let read = Api::<Node>::all(Arc::new(self.client.clone())).list(&one).await;
        read.map(drop).map_err(|error| {
            let next = if error.code() == 403 {
                "; the role system:kube-scheduler has all rights that are needed"
            } else {
                ""
            };
            anyhow::anyhow!("the cluster's nodes cannot be read: {error}{next}")
        })
    }

    fn start(&self, election: Option<ElectionConfig>, board: &Board, stop: &CancellationToken) -> Task {
        let (part, running) = (self.clone(), board.clone());
        let work = move |stop: CancellationToken| part.clone().schedule(running.clone(), stop);
        let Some(config) = election else { return self.system.spawn.spawn(work(stop.clone())) };
        let standing = watch::Sender::new(Standing::default());
        board.election(NAME, standing.subscribe());
        self.system.spawn.spawn(election::run(self.env(), config, standing, stop.clone(), work))
    }

    fn schedule(self, board: Board, stop: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            let scheduler = Scheduler::new(self.env(), self.config);
            let (_begun, _term) = board.begin_scheduler(scheduler.status());
            scheduler.run(stop).await;
        }
        .boxed()
    }
}

/// What is competed for; `None` without an election.
fn election_config(args: &ElectionArgs) -> anyhow::Result<Option<ElectionConfig>> {
    if !args.leader_elect {
        return Ok(None);
    }
    let timings = Timings { lease: args.lease, renew: args.renew, retry: args.retry };
    anyhow::ensure!(
        timings.lease > timings.renew,
        "--leader-elect-lease-duration must be greater than --leader-elect-renew-deadline"
    );
    // As client-go: a retry is up to a fifth longer at random.
    anyhow::ensure!(
        timings.renew > timings.retry.mul_f64(1.2) && !timings.retry.is_zero(),
        "--leader-elect-renew-deadline must be greater than 1.2 times --leader-elect-retry-period, which must not be 0"
    );
    let identity = format!("{}_{}", control_plane::host_name(), System::real().ids.uid());
    let config = ElectionConfig::new(args.name.as_str(), identity);
    Ok(Some(ElectionConfig { namespace: args.namespace.as_str().into(), timings, ..config }))
}
