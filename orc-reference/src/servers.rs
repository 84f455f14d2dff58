//! The servers of a cluster, and the endpoints of the Service `kubernetes` that lead to them.
//!
//! Each server keeps a lease in `kube-system`, as kube-apiserver does (`apiserver-...`), with the address it is reached by in
//! an annotation. Every server writes the endpoints of all whose lease it has seen renewed lately, so they all write the same.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use orc_api::Identity;
use orc_core::ApiError;
use orc_core::labels::Selector;
use orc_reconcile::controllers;
use orc_store::client::{DeleteOptions, ListOptions, Selection};
use orc_store::{Api, Env};
use tokio::time::Instant;

use crate::control_plane::ControlPlane;

/// How often the endpoints are looked at; kube-apiserver's lease reconciler takes ten seconds.
const REPAIR: Duration = Duration::from_secs(10);
/// A server whose lease has not changed for so long is gone.
const GONE: Duration = Duration::from_secs(30);
/// Its lease is deleted after so long.
const FORGOTTEN: Duration = Duration::from_secs(300);
/// The label of servers' leases, and its value, as kube-apiserver's.
pub const LABEL: (&str, &str) = ("apiserver.kubernetes.io/identity", "kube-apiserver");
/// The annotation that says where a server is reached.
pub const ENDPOINT: &str = "apiserver.orc/endpoint";

/// Keeps the endpoints of the Service `kubernetes`, until it is dropped.
pub async fn run(plane_env: Env, own: SocketAddr, identity: Option<String>) {
    let mut servers = Servers { env: plane_env, own, identity, seen: BTreeMap::new() };
    loop {
        if let Err(error) = servers.pass().await {
            tracing::warn!(%error, "the endpoints of the kubernetes service were not written");
        }
        servers.env.clock.sleep(REPAIR).await;
    }
}

/// The environment that these writes are made in.
pub fn env(plane: &ControlPlane) -> Env {
    Env::new(std::sync::Arc::new(plane.registry.client(Identity::admin(), "kube-apiserver")), &plane.system)
}

struct Servers {
    env: Env,
    own: SocketAddr,
    /// This server's name, where there may be others.
    identity: Option<String>,
    /// What each lease said last, and since when.
    seen: BTreeMap<String, (Option<MicroTime>, Instant)>,
}

impl Servers {
    async fn pass(&mut self) -> Result<(), ApiError> {
        let mut live: BTreeSet<(IpAddr, u16)> = [(self.own.ip(), self.own.port())].into();
        if let Some(identity) = self.identity.clone() {
            self.renew(&identity).await?;
            live.extend(self.others().await?);
        }
        controllers::kubernetes_endpoints(&self.env, &live).await
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.env.client.clone(), "kube-system")
    }

    async fn renew(&self, identity: &str) -> Result<(), ApiError> {
        let name = lease_name(identity);
        let now = MicroTime(self.env.clock.now());
        let leases = self.leases();
        let endpoint = self.own.to_string();
        let renewed = leases.modify(&name, |lease| {
            lease.metadata.annotations.get_or_insert_default().insert(ENDPOINT.to_owned(), endpoint.clone());
            lease.spec.get_or_insert_default().renew_time = Some(now.clone());
        });
        match renewed.await {
            Err(error) if error.is_not_found() => {}
            other => return other.map(drop),
        }
        let mut lease = Lease::default();
        lease.metadata.name = Some(name);
        lease.metadata.labels = Some([(LABEL.0.to_owned(), LABEL.1.to_owned())].into());
        lease.metadata.annotations = Some([(ENDPOINT.to_owned(), endpoint)].into());
        let seconds = i32::try_from(GONE.as_secs()).unwrap_or(i32::MAX);
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(identity.to_owned()),
            lease_duration_seconds: Some(seconds),
            renew_time: Some(now),
            ..LeaseSpec::default()
        });
        leases.create(&lease).await.map(drop)
    }

    /// The addresses of the servers that are alive; forgets those that are long gone.
    async fn others(&mut self) -> Result<Vec<(IpAddr, u16)>, ApiError> {
        let labels = Selector::parse(&format!("{}={}", LABEL.0, LABEL.1)).map_err(ApiError::internal)?;
        let select = Selection { labels, ..Selection::default() };
        let found = self.leases().list(&ListOptions { select, ..ListOptions::default() }).await?.items;
        let (now, mut live) = (Instant::now(), Vec::new());
        let names: BTreeSet<&str> = found.iter().filter_map(|lease| lease.metadata.name.as_deref()).collect();
        self.seen.retain(|name, _| names.contains(name.as_str()));
        for lease in &found {
            let name = lease.metadata.name.clone().unwrap_or_default();
            let renewed = lease.spec.as_ref().and_then(|spec| spec.renew_time.clone());
            let seen = self.seen.entry(name.clone()).or_insert_with(|| (renewed.clone(), now));
            if seen.0 != renewed {
                *seen = (renewed, now);
            }
            let silent = now - seen.1;
            let endpoint = lease.metadata.annotations.as_ref().and_then(|all| all.get(ENDPOINT));
            match endpoint.and_then(|text| text.parse::<SocketAddr>().ok()) {
                Some(address) if silent < GONE => live.push((address.ip(), address.port())),
                _ if silent > FORGOTTEN => self.leases().delete(&name, DeleteOptions::default()).await?,
                _ => {}
            }
        }
        Ok(live)
    }
}

fn lease_name(identity: &str) -> String {
    let tail = identity.rsplit('_').next().unwrap_or(identity);
    format!("apiserver-{tail}")
}
