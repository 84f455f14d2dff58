//! The control loops of this process, each acting as its own identity.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use orc_api::Identity;
use orc_core::env::Task;
use orc_net::{Userspace, UserspaceConfig};
use orc_reconcile::CancellationToken;
use orc_reconcile::controllers::{self, ControllersConfig};
use orc_sched::driver::SchedulerConfig;
use orc_store::Env;

use crate::control_plane::ControlPlane;
use crate::nodes::{NodeNet, OnHost};
use crate::progress;

/// Starts controllers, scheduler and service router. `api` is where pods reach the API.
pub fn start(plane: &ControlPlane, net: &NodeNet, api: Option<(IpAddr, u16)>, stop: &CancellationToken) -> Vec<Task> {
    let spawn = &plane.system.spawn;
    let mut tasks = controllers(plane, api, stop);
    progress::started("controllers", &format!("{} loops", tasks.len()));
    let scheduler = env(plane, Identity::user("system:kube-scheduler", &[]));
    tasks.push(spawn.spawn(orc_sched::driver::run(scheduler, SchedulerConfig::default(), stop.clone())));
    progress::started("scheduler", "default-scheduler");
    let router = orc_net::router(&env(plane, Identity::user("system:kube-proxy", &[])), data_plane(net, plane));
    tasks.push(spawn.spawn(router.run(stop.clone())));
    progress::started("services", "user-space routing");
    tasks
}

/// The built-in controllers: each writes as its own service account, and all read from the same caches.
fn controllers(plane: &ControlPlane, api: Option<(IpAddr, u16)>, stop: &CancellationToken) -> Vec<Task> {
    let shared = env(plane, Identity::user("system:kube-controller-manager", &[]));
    let env_for = |name: &str| Env { client: Arc::new(plane.registry.client(account(name), name)), ..shared.clone() };
    let registry = plane.registry.clone();
    let config = ControllersConfig { root_ca: plane.ca.clone(), kinds: Arc::new(move || registry.catalogue()) };
    let spawn = &plane.system.spawn;
    let specs = controllers::all(env_for, config);
    let mut tasks: Vec<Task> = specs.into_iter().map(|spec| spawn.spawn((spec.run)(stop.clone()))).collect();
    if let Some((address, port)) = api {
        // The API server itself keeps the endpoints of its Service, as kube-apiserver does.
        let endpoints = api_endpoints(env(plane, Identity::admin()), address, port);
        let stop = stop.clone();
        tasks.push(spawn.spawn(async move {
            stop.run_until_cancelled(endpoints).await;
        }));
    }
    tasks
}

/// How often the API's own endpoints are looked at; kube-apiserver's lease reconciler takes ten seconds.
const REPAIR: Duration = Duration::from_secs(10);

async fn api_endpoints(env: Env, address: IpAddr, port: u16) {
    loop {
        if let Err(error) = controllers::kubernetes_endpoints(&env, address, port).await {
            tracing::warn!(%error, "the endpoints of the kubernetes service were not written");
        }
        env.clock.sleep(REPAIR).await;
    }
}

fn account(name: &str) -> Identity {
    let groups = ["system:serviceaccounts", "system:serviceaccounts:kube-system"];
    Identity::user(format!("system:serviceaccount:kube-system:{name}"), &groups)
}

/// An environment that acts as somebody, with caches of its own.
fn env(plane: &ControlPlane, who: Identity) -> Env {
    let manager = who.user.trim_start_matches("system:").to_owned();
    Env::new(Arc::new(plane.registry.client(who, &manager)), &plane.system)
}

fn data_plane(net: &NodeNet, plane: &ControlPlane) -> Arc<Userspace> {
    Arc::new(Userspace::new(UserspaceConfig {
        host: Arc::new(OnHost(net.host_ports.clone())),
        node_address: Ipv4Addr::UNSPECIFIED,
        cluster_addresses: net.services,
        spawn: plane.system.spawn.clone(),
    }))
}
