//! The node's signs of life: a Lease every ten seconds, the Node's status every five minutes or when it changed.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use orc_core::ApiError;
use orc_reconcile::CancellationToken;
use orc_store::{Api, Env};

use super::context::Context;
use super::node;

/// The kubelet's namespace, life and rhythm of leases.
const NAMESPACE: &str = "kube-node-lease";
const LIFE: i32 = 40;
const EVERY: Duration = Duration::from_secs(10);
/// Beats between two statuses of a node that did not change: five minutes.
const STATUS_BEATS: u32 = 30;
/// Between tries to register.
const RETRY: Duration = Duration::from_secs(1);
/// Leases written at the same time by [`renew_all`].
const AT_ONCE: usize = 32;

/// Registers the node, then gives signs of life for ever.
pub(super) async fn run(context: Arc<Context>) {
    while let Err(error) = node::register(&context).await {
        tracing::warn!(node = %context.config.node_name, %error, "the node could not be registered");
        context.env.clock.sleep(RETRY).await;
    }
    if !context.config.heartbeats {
        return;
    }
    let name = context.config.node_name.clone();
    let mut told = context.runtime.runtime_status().await;
    for beat in 0_u32.. {
        match renew(&context.env, &name).await {
            // No lease and no Node to own it: somebody deleted both.
            Err(error) if error.is_not_found() => again(&context).await,
            Err(error) => tracing::warn!(node = %name, %error, "the node's lease could not be renewed"),
            Ok(()) => {}
        }
        let runtime = context.runtime.runtime_status().await;
        if runtime != told || beat % STATUS_BEATS == STATUS_BEATS - 1 {
            match node::write_status(&context).await {
                Ok(()) => told = runtime,
                Err(error) if error.is_not_found() => again(&context).await,
                Err(error) => tracing::warn!(node = %name, %error, "the node's status could not be written"),
            }
        }
        context.env.clock.sleep(EVERY).await;
    }
}

/// Somebody deleted the Node: it is made again, as the kubelet does.
async fn again(context: &Context) {
    if let Err(error) = node::register(context).await {
        tracing::warn!(node = %context.config.node_name, %error, "the node could not be registered again");
    }
}

/// Renews the leases of many nodes in one task until `stop`: for fleets of simulated nodes. The leases of a round are spread
/// over its ten seconds, as those of kubelets are that started at different times; a round that takes longer is followed by
/// the next one at once.
pub async fn renew_all(env: Env, nodes: Vec<String>, stop: CancellationToken) {
    loop {
        let begun = env.clock.now();
        let after = |wait| begun.checked_add(wait).unwrap_or(begun);
        let turns = stream::iter(&nodes).enumerate().then(|(place, node)| {
            let (env, at) = (&env, after(turn(place, nodes.len())));
            async move {
                env.clock.sleep_until(at).await;
                node
            }
        });
        let renewed = turns.for_each_concurrent(AT_ONCE, |node| renew_of_fleet(&env, node));
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = renewed => {}
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = env.clock.sleep_until(after(EVERY)) => {}
        }
    }
}

/// When in a round the lease at a place among so many has its turn.
fn turn(place: usize, count: usize) -> Duration {
    let part = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    EVERY * part(place) / part(count).max(1)
}

async fn renew_of_fleet(env: &Env, node: &str) {
    match renew(env, node).await {
        // Its agent has not registered it yet, or somebody deleted it: the next round looks again.
        Err(error) if error.is_not_found() => tracing::debug!(%node, "there is no such node to keep a lease for"),
        Err(error) => tracing::warn!(%node, %error, "the node's lease could not be renewed"),
        Ok(()) => {}
    }
}

async fn renew(env: &Env, node: &str) -> Result<(), ApiError> {
    let api: Api<Lease> = Api::namespaced(env.client.clone(), NAMESPACE);
    let now = env.clock.now();
    let renewed = api
        .modify(node, |lease| {
            let spec = lease.spec.get_or_insert_default();
            spec.renew_time = Some(MicroTime(now));
            spec.holder_identity = Some(node.to_owned());
            spec.lease_duration_seconds = Some(LIFE);
        })
        .await;
    match renewed {
        Err(error) if error.is_not_found() => create(env, node, now).await,
        other => other.map(drop),
    }
}

async fn create(env: &Env, node: &str, now: Timestamp) -> Result<(), ApiError> {
    let nodes: Api<Node> = Api::all(env.client.clone());
    let owner = nodes.get(node).await?;
    let owner = OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: node.to_owned(),
        uid: owner.metadata.uid.clone().unwrap_or_default(),
        ..Default::default()
    };
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(node.to_owned()),
            namespace: Some(NAMESPACE.to_owned()),
            owner_references: Some(vec![owner]),
            ..Default::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(node.to_owned()),
            lease_duration_seconds: Some(LIFE),
            renew_time: Some(MicroTime(now)),
            ..Default::default()
        }),
    };
    let api: Api<Lease> = Api::namespaced(env.client.clone(), NAMESPACE);
    match api.create(&lease).await {
        Err(error) if error.is_already_exists() => Ok(()),
        other => other.map(drop),
    }
}
