//! Pods whose wishes cannot be granted: they wait and say why, and everybody else is scheduled.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::common::{pod, with};
use crate::{Cluster, condition, node_of};

const HOST: &str = "kubernetes.io/hostname";

fn term(app: &str) -> Value {
    json!([{"topologyKey": HOST, "labelSelector": {"matchLabels": {"app": app}}}])
}

fn wishing(name: &str, spec: Value) -> Pod {
    with(&pod(name, 100), json!({"metadata": {"labels": {"app": name}}, "spec": spec}))
}

fn affinity(kind: &str, app: &str) -> Value {
    json!({"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": term(app)}}})
}

#[tokio::test(start_paused = true)]
async fn contradictions_and_circles_wait_and_the_rest_is_scheduled() {
    let cluster = Cluster::with_nodes(21, &[("n1", 4000), ("n2", 4000)]).await;
    let mut both = affinity("podAffinity", "rest");
    both["affinity"]["podAntiAffinity"] = affinity("podAntiAffinity", "rest")["affinity"]["podAntiAffinity"].clone();
    let nowhere = json!({"matchExpressions": [
        {"key": HOST, "operator": "In", "values": ["n1"]}, {"key": HOST, "operator": "NotIn", "values": ["n1"]}]});
    let nowhere = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [nowhere]}});
    let spread = json!([{"maxSkew": 1, "topologyKey": "nobody/has-it", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "spread"}}}]);
    let waiting = [
        (wishing("both", both), "1 node(s) didn't match pod anti-affinity rules"),
        (
            wishing("nowhere", json!({"affinity": {"nodeAffinity": nowhere}})),
            "2 node(s) didn't match Pod's node affinity/selector",
        ),
        (wishing("spread", json!({"topologySpreadConstraints": spread})), "(missing required label)"),
        (wishing("hen", affinity("podAffinity", "egg")), "2 node(s) didn't match pod affinity rules"),
        (wishing("egg", affinity("podAffinity", "hen")), "2 node(s) didn't match pod affinity rules"),
    ];
    for (pod, _) in &waiting {
        cluster.pods.create(pod).await.unwrap();
    }
    for name in ["rest", "more"] {
        cluster.pods.create(&wishing(name, json!({}))).await.unwrap();
        cluster.until(name, |pod| node_of(pod).is_some()).await;
    }
    for (pod, text) in &waiting {
        let name = pod.metadata.name.clone().unwrap();
        let told = |pod: &Pod| condition(pod).is_some_and(|c| c.message.as_deref().unwrap_or_default().contains(text));
        let found = cluster.until(&name, told).await;
        assert_eq!(node_of(&found), None, "{name}");
    }
}
