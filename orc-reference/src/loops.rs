//! The control loops of this process, each acting as its own identity.

use std::net::IpAddr;
use std::sync::Arc;

use orc_api::Identity;
use orc_core::env::Task;
use orc_net::{Userspace, UserspaceConfig};
use orc_reconcile::CancellationToken;
use orc_store::Env;

use crate::control_plane::ControlPlane;
use crate::nodes::{NodeNet, OnHost};
use crate::progress;

/// Starts controllers, scheduler and service router. `api` is where pods reach the API.
///
/// # Errors
/// When a loop cannot be set up.
pub async fn start(
    plane: &ControlPlane,
    net: &NodeNet,
    api: Option<(IpAddr, u16)>,
    stop: &CancellationToken,
) -> anyhow::Result<Vec<Task>> {
    let _ = api;
    let spawn = &plane.system.spawn;
    let mut tasks = Vec::new();
    let router = orc_net::router(&env(plane, "system:kube-proxy", &[]), plane_of(net, plane));
    tasks.push(spawn.spawn(router.run(stop.clone())));
    progress::started("services", "user-space routing");
    Ok(tasks)
}

/// An environment that acts as a user of the cluster.
fn env(plane: &ControlPlane, user: &str, groups: &[&str]) -> Env {
    let manager = user.rsplit(':').next().unwrap_or(user);
    Env::new(Arc::new(plane.registry.client(Identity::user(user, groups), manager)), &plane.system)
}

fn plane_of(net: &NodeNet, plane: &ControlPlane) -> Arc<Userspace> {
    Arc::new(Userspace::new(UserspaceConfig {
        host: Arc::new(OnHost(net.host_ports.clone())),
        node_address: std::net::Ipv4Addr::UNSPECIFIED,
        cluster_addresses: net.services,
        spawn: plane.system.spawn.clone(),
    }))
}
