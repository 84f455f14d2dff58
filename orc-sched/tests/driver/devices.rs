//! Device claims on their way to the API.

use k8s_openapi::api::resource::v1::{DeviceClass, ResourceClaim, ResourceSlice};
use orc_store::Api;
use serde_json::{Value, json};

use crate::common::{pod, with};
use crate::{Cluster, condition, node_of};

fn read<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

/// A node with one device of a class.
async fn with_device(seed: u64) -> (Cluster, Api<ResourceClaim>) {
    let cluster = Cluster::with_nodes(seed, &[("n1", 4000), ("n2", 4000)]).await;
    let client = cluster.world.env.client.clone();
    let slice = json!({"metadata": {"name": "s"}, "spec": {"driver": "d", "nodeName": "n2",
        "devices": [{"name": "a"}], "pool": {"name": "n2", "generation": 1, "resourceSliceCount": 1}}});
    let slices: Api<ResourceSlice> = Api::all(client.clone());
    slices.create(&read(slice)).await.unwrap();
    let classes: Api<DeviceClass> = Api::all(client.clone());
    classes.create(&read(json!({"metadata": {"name": "gpu"}, "spec": {}}))).await.unwrap();
    let claims: Api<ResourceClaim> = Api::namespaced(client, "default");
    for name in ["one", "two"] {
        let spec = json!({"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu", "count": 1}}]}});
        claims.create(&read(json!({"metadata": {"name": name, "namespace": "default"}, "spec": spec}))).await.unwrap();
    }
    (cluster, claims)
}

fn asking(name: &str, claim: &str) -> k8s_openapi::api::core::v1::Pod {
    with(&pod(name, 100), json!({"spec": {"resourceClaims": [{"name": "x", "resourceClaimName": claim}]}}))
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_written_before_its_pod_is_bound() {
    let (cluster, claims) = with_device(31).await;
    cluster.pods.create(&asking("first", "one")).await.unwrap();
    let first = cluster.until("first", |pod| node_of(pod).is_some()).await;
    assert_eq!(node_of(&first).as_deref(), Some("n2"));
    let claim = claims.get("one").await.unwrap();
    let status = claim.status.clone().unwrap();
    assert_eq!(status.allocation.unwrap().devices.unwrap().results.unwrap()[0].device, "a");
    assert_eq!(Some(&status.reserved_for.unwrap()[0].uid), first.metadata.uid.as_ref());
    assert_eq!(claim.metadata.finalizers, Some(vec!["resource.kubernetes.io/delete-protection".to_owned()]));

    cluster.pods.create(&asking("second", "two")).await.unwrap();
    let second = cluster.until("second", |pod| condition(pod).is_some()).await;
    let message = condition(&second).unwrap().message.clone().unwrap();
    assert!(message.starts_with("0/2 nodes are available: 2 cannot allocate all claims."), "{message}");
    // What the controller of claims does once the first pod is gone.
    claims.modify_status("one", |claim| claim.status = None).await.unwrap();
    cluster.until("second", |pod| node_of(pod).is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn pods_share_a_claim() {
    let (cluster, claims) = with_device(32).await;
    for name in ["first", "second", "third"] {
        cluster.pods.create(&asking(name, "one")).await.unwrap();
    }
    for name in ["first", "second", "third"] {
        let placed = cluster.until(name, |pod| node_of(pod).is_some()).await;
        assert_eq!(node_of(&placed).as_deref(), Some("n2"));
    }
    assert_eq!(claims.get("one").await.unwrap().status.clone().unwrap().reserved_for.unwrap().len(), 3);
}
