//! The control loops of this process, each acting as its own identity.
//!
//! Where several servers share one store, the loops that need to run once in a cluster run in the server that is elected
//! for them, under the leases and identities that kube-controller-manager and kube-scheduler have.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use orc_api::certificates::Authority;
use orc_api::identity::service_account::Signer;
use orc_api::{ApiService, Identity, Registry};
use orc_core::env::{System, Task};
use orc_net::{LocalNode, Userspace, UserspaceConfig};
use orc_reconcile::CancellationToken;
use orc_reconcile::controllers::{self, ControllersConfig};
use orc_reconcile::election::{self, ElectionConfig, Standing};
use orc_sched::driver::Scheduler;
use orc_store::{Env, NodeDialer};
use tokio::sync::watch;

use crate::aggregation::ApiMetrics;
use crate::board::{Board, Term};
use crate::certificates::ClusterAuthority;
use crate::control_plane::ControlPlane;
use crate::nodes::{NodeNet, OnHost};
use crate::progress;
use crate::tokens::SecretTokens;
use crate::volumes::NodeFolders;

const CONTROLLERS: &str = "kube-controller-manager";
const SCHEDULER: &str = "kube-scheduler";

/// Starts what runs once in a cluster: controllers and scheduler. `nodes` make and remove the folders of local volumes.
pub fn start(plane: &ControlPlane, nodes: Arc<dyn NodeDialer>, stop: &CancellationToken) -> Vec<Task> {
    let parts = Parts {
        registry: plane.registry.clone(),
        service: plane.service.clone(),
        system: plane.system.clone(),
        ca: plane.ca.clone(),
        authority: plane.authority.clone(),
        signer: plane.signer.clone(),
        nodes,
        board: plane.board.clone(),
    };
    let mut tasks = Vec::new();
    for (name, what) in [(CONTROLLERS, "controllers"), (SCHEDULER, "scheduler")] {
        let parts = parts.clone();
        let work = move |stop: CancellationToken| parts.clone().work(name, stop);
        if plane.shared {
            let env = parts_env(plane, name);
            let config = ElectionConfig::new(name, plane.identity.clone());
            let standing = watch::Sender::new(Standing::default());
            plane.board.election(name, standing.subscribe());
            tasks.push(plane.system.spawn.spawn(election::run(env, config, standing, stop.clone(), work)));
            progress::started(what, &format!("in the server that holds the lease {name}"));
        } else {
            tasks.push(plane.system.spawn.spawn(work(stop.clone())));
            progress::started(what, name);
        }
    }
    tasks
}

/// The environment of what runs on every machine that has nodes: its caches are shared by routing and DNS.
pub fn network_env(plane: &ControlPlane) -> Env {
    parts_env(plane, "kube-proxy")
}

/// Starts the routing of Services. `served` are cluster addresses that something else in this process answers at, `local` the
/// nodes of this process.
pub fn start_router(
    plane: &ControlPlane,
    net: &NodeNet,
    env: &Env,
    served: Vec<IpAddr>,
    local: Vec<LocalNode>,
    stop: &CancellationToken,
) -> Task {
    let data_plane = Userspace::new(UserspaceConfig {
        host: Arc::new(OnHost(net.host_ports.clone())),
        node_address: Ipv4Addr::UNSPECIFIED,
        cluster_addresses: net.services,
        served,
        nodes: local,
        clock: plane.system.clock.clone(),
        spawn: plane.system.spawn.clone(),
    });
    progress::started("services", "user-space routing");
    let router = orc_net::router(env, Arc::new(data_plane));
    let (status, stop) = (router.status(), stop.clone());
    let begun = plane.board.begin("service-router", Arc::new(move || status.read()));
    plane.system.spawn.spawn(async move {
        let _begun = begun;
        router.run(stop).await;
    })
}

/// What the loops of a term are made of.
#[derive(Clone)]
struct Parts {
    registry: Arc<Registry>,
    service: ApiService,
    system: System,
    ca: String,
    authority: Arc<Authority>,
    signer: Arc<Signer>,
    nodes: Arc<dyn NodeDialer>,
    board: Board,
}

impl Parts {
    /// Runs the loops of a name until the token is cancelled. They start with caches of their own each time.
    fn work(self, name: &'static str, stop: CancellationToken) -> BoxFuture<'static, ()> {
        if name == SCHEDULER {
            let env = env(&self.registry, &self.system, Identity::user("system:kube-scheduler", &[]));
            let scheduler = Scheduler::new(env, crate::scheduler::defaults());
            let (begun, term) = self.board.begin_scheduler(scheduler.status());
            return async move {
                let (_term, _begun) = (term, begun);
                scheduler.run(stop).await;
            }
            .boxed();
        }
        async move {
            let (_term, tasks) = self.controllers(&stop);
            let running = futures::future::join_all(tasks.into_iter().map(Task::join)).await;
            for error in running.into_iter().filter_map(Result::err) {
                tracing::error!(error, "a control loop ended");
            }
        }
        .boxed()
    }

    /// The built-in controllers: each writes as its own service account, and all read from the same caches.
    fn controllers(&self, stop: &CancellationToken) -> (Term, Vec<Task>) {
        let shared = env(&self.registry, &self.system, Identity::user("system:kube-controller-manager", &[]));
        let env_for = |name: &str| match name {
            controllers::TOKEN_CONTROLLER => shared.clone(),
            _ => Env { client: Arc::new(self.registry.client(account(name), name)), ..shared.clone() },
        };
        let registry = self.registry.clone();
        let certificates = ClusterAuthority {
            authority: self.authority.clone(),
            registry: registry.clone(),
            clock: self.system.clock.clone(),
        };
        let config = ControllersConfig {
            root_ca: self.ca.clone(),
            kinds: Arc::new(move || registry.catalogue()),
            certificates: Some(Arc::new(certificates)),
            metrics: Some(Arc::new(ApiMetrics::new(self.service.clone()))),
            tokens: Some(Arc::new(SecretTokens(self.signer.clone()))),
            local_volumes: Some(Arc::new(NodeFolders(self.nodes.clone()))),
        };
        let specs = controllers::all(env_for, config);
        let term = self
            .board
            .begin_controllers(shared.caches.clone(), specs.iter().map(|spec| spec.name.to_owned()).collect());
        let tasks = specs.into_iter().map(|spec| {
            let (begun, running) = (self.board.begin(spec.name, spec.status), (spec.run)(stop.clone()));
            self.system.spawn.spawn(async move {
                let _begun = begun;
                running.await;
            })
        });
        (term, tasks.chain([self.policy_status(stop.clone())]).collect())
    }

    /// The check of admission policies, which needs the registry's own knowledge of types.
    fn policy_status(&self, stop: CancellationToken) -> Task {
        let checks = self.registry.policy_status();
        self.system.spawn.spawn(async move {
            stop.run_until_cancelled(checks).await;
        })
    }
}

fn parts_env(plane: &ControlPlane, name: &str) -> Env {
    env(&plane.registry, &plane.system, Identity::user(format!("system:{name}"), &[]))
}

/// The identity of a built-in loop: a service account of `kube-system`.
pub fn account(name: &str) -> Identity {
    let groups = ["system:serviceaccounts", "system:serviceaccounts:kube-system"];
    Identity::user(format!("system:serviceaccount:kube-system:{name}"), &groups)
}

/// An environment that acts as somebody, with caches of its own.
fn env(registry: &Arc<Registry>, system: &System, who: Identity) -> Env {
    let manager = who.user.trim_start_matches("system:").to_owned();
    Env::new(Arc::new(registry.client(who, &manager)), system)
}
