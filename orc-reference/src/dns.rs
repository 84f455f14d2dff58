//! Cluster DNS, at the tenth address of the service network.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use k8s_openapi::api::core::v1::Service;
use orc_api::{Identity, bootstrap};
use orc_net::dns::host::{HostFiles, PORT};
use orc_net::dns::{CacheView, DnsConfig, DnsServer, Reach, Zone};
use orc_store::{Api, Env};
use serde_json::json;
use tokio::net::TcpStream;

use crate::args::{RuntimeKind, UpArgs};
use crate::control_plane::ControlPlane;
use crate::nodes::{NodeNet, OnHost};
use crate::progress;

/// The domain of every cluster of orc; the names in the API's certificate end in it too.
const DOMAIN: &str = "cluster.local";

/// Starts DNS where pods can reach it. `None` where they cannot, or where the address cannot be had: pods then have the node's
/// resolvers, and the reason is shown.
///
/// # Errors
/// When the Service that shows the address can neither be found nor made.
pub async fn start(plane: &ControlPlane, net: &NodeNet, env: &Env, args: &UpArgs) -> anyhow::Result<Option<DnsServer>> {
    if !net.services || args.runtime == RuntimeKind::Sim {
        return Ok(None);
    }
    let cidr = args.cluster.service_cidr;
    let address = service(plane, cidr.dns()).await?;
    let networks = vec![(cidr.base, cidr.bits), net.pod_range()];
    let config = DnsConfig {
        zone: Zone::new(DOMAIN, address, networks).context("the cluster's domain is no name")?,
        view: Arc::new(CacheView::new(env)),
        listen: SocketAddr::new(address.into(), PORT),
        files: HostFiles::default(),
        reach: Arc::new(OnHost(net.host_ports.clone())),
        rng: plane.system.rng.fork(),
        spawn: plane.system.spawn.clone(),
    };
    match DnsServer::start(config).await {
        Ok(server) => {
            progress::started("dns", &format!("{} {DOMAIN}", server.address()));
            Ok(Some(server))
        }
        Err(error) => {
            let error = anyhow::Error::from(error);
            progress::started("dns", &format!("none: {error:#}; names of Services do not resolve in pods"));
            tracing::error!(error = format!("{error:#}"), "there is no cluster DNS");
            Ok(None)
        }
    }
}

/// Makes the Service `kube-dns`, and says which address it has. One that is there keeps its own. A cluster older than
/// its DNS may have given the tenth address to somebody else: then it is another one.
async fn service(plane: &ControlPlane, address: Ipv4Addr) -> anyhow::Result<Ipv4Addr> {
    let admin = plane.registry.client(Identity::admin(), "orc");
    let labels =
        json!({"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"});
    let port =
        |name: &str, protocol: &str| json!({"name": name, "protocol": protocol, "port": PORT, "targetPort": PORT});
    let mut object = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": labels},
        "spec": {"clusterIP": address.to_string(), "type": "ClusterIP", "ports": [port("dns", "UDP"), port("dns-tcp", "TCP")]},
    });
    if let Err(error) = bootstrap::put(&admin, &object).await {
        tracing::warn!(%address, %error, "the Service kube-system/kube-dns takes another address");
        object["spec"]["clusterIP"].take();
        bootstrap::put(&admin, &object).await.context("the Service kube-system/kube-dns cannot be made")?;
    }
    let services: Api<Service> = Api::namespaced(Arc::new(admin), "kube-system");
    let found = services.get("kube-dns").await?;
    let given =
        found.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()).and_then(|ip| ip.parse::<IpAddr>().ok());
    match given {
        Some(IpAddr::V4(given)) => Ok(given),
        _ => anyhow::bail!(
            "the Service kube-system/kube-dns has no IPv4 address; delete it, and it is made again at the next start"
        ),
    }
}

#[async_trait]
impl Reach for OnHost {
    async fn bind_udp(&self, address: SocketAddr) -> std::io::Result<std::net::UdpSocket> {
        self.0.bind_udp(address).await
    }

    async fn connect_tcp(&self, address: SocketAddr) -> std::io::Result<TcpStream> {
        self.0.connect_tcp(address).await
    }
}
