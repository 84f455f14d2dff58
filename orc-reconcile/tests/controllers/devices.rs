//! Claims of devices from a template to the end of their pod.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::resource::v1::{ResourceClaim, ResourceClaimTemplate};
use orc_store::Api;
use orc_store::client::DeleteOptions;
use serde_json::json;

use crate::cluster::Cluster;

#[tokio::test(start_paused = true)]
async fn a_claim_is_made_given_back_and_goes_with_its_pod() {
    let cluster = Cluster::start(5, Some(8)).await;
    let client = cluster.env.client.clone();
    let read = |value: serde_json::Value| serde_json::from_value(value).unwrap();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.create(&serde_json::from_value(json!({"metadata": {"name": "d"}})).unwrap()).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(client.clone(), "d");
    let claims: Api<ResourceClaim> = Api::namespaced(client.clone(), "d");
    let templates: Api<ResourceClaimTemplate> = Api::namespaced(client, "d");
    let pod: Pod = read(json!({"metadata": {"name": "p", "namespace": "d"}, "spec": {"containers": [],
        "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "t"}]}}));
    pods.create(&pod).await.unwrap();
    // The template comes later than the pod.
    let template = json!({"metadata": {"name": "t", "namespace": "d"}, "spec": {"spec": {"devices": {"requests": [
        {"name": "r", "exactly": {"deviceClassName": "gpu"}}]}}}});
    templates.create(&serde_json::from_value(template).unwrap()).await.unwrap();
    let tick = || cluster.env.clock.sleep(Duration::from_secs(1));
    let mut made = None;
    for _ in 0..600 {
        let statuses = pods.get("p").await.unwrap().status.clone().and_then(|status| status.resource_claim_statuses);
        made = statuses.and_then(|all| all[0].resource_claim_name.clone());
        if made.is_some() {
            break;
        }
        tick().await;
    }
    let name = made.expect("the pod is told the claim's name");
    let pod = pods.get("p").await.unwrap();
    let give = |claim: &mut ResourceClaim| {
        let user = json!({"resource": "pods", "name": "p", "uid": pod.metadata.uid});
        claim.status = Some(serde_json::from_value(json!({"allocation": {}, "reservedFor": [user]})).unwrap());
    };
    let finalizer = |claim: &mut ResourceClaim| {
        claim.metadata.finalizers = Some(vec!["resource.kubernetes.io/delete-protection".to_owned()]);
    };
    claims.modify(&name, finalizer).await.unwrap();
    claims.modify_status(&name, give).await.unwrap();
    for _ in 0..30 {
        tick().await;
        assert!(claims.get(&name).await.unwrap().status.clone().unwrap().allocation.is_some(), "its pod is there");
    }
    pods.delete("p", DeleteOptions::default()).await.unwrap();
    for _ in 0..3600 {
        if claims.get_opt(&name).await.unwrap().is_none() {
            return;
        }
        tick().await;
    }
    panic!("the claim stayed: {:?}, {:?}", claims.get(&name).await, pods.get_opt("p").await);
}
