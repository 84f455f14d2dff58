//! Many simulated nodes: how their start is told, and that they take pods and let go of them.

mod support;

use std::collections::BTreeSet;

use support::{As, Cluster};

/// Enough that a person at a terminal would see a bar.
const NODES: usize = 60;
const PODS: usize = 200;

fn lines(cluster: &Cluster, resource: &str, path: &str) -> Vec<String> {
    let each = format!("jsonpath={{range .items[*]}}{{{path}}}{{\"\\n\"}}{{end}}");
    cluster.ok(&["get", resource, "-o", &each]).lines().map(str::to_owned).collect()
}

#[test]
fn simulated_nodes_run_the_pods_of_a_deployment() {
    let cluster = Cluster::up(As::Me, &["--nodes", "0", "--sim-nodes", &NODES.to_string()]);
    assert!(cluster.said.contains(&format!("{NODES} simulated")), "{}", cluster.said);
    let log = cluster.log();
    for told in [&cluster.said, &log] {
        assert!(!told.contains("starting nodes"), "a bar is for terminals: {told}");
        assert!(!told.contains(['\r', '\u{1b}']), "no control characters where there is no terminal: {told:?}");
    }
    // The ready line says that all of them are.
    let ready = lines(&cluster, "nodes", ".status.conditions[?(@.type==\"Ready\")].status");
    assert_eq!(ready, vec!["True"; NODES]);

    cluster.ok(&["create", "deployment", "web", "--image=x", &format!("--replicas={PODS}")]);
    let count = ["get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}"];
    cluster.until(&count, "all pods are Ready", |text| text == PODS.to_string());
    let addresses: BTreeSet<String> = lines(&cluster, "pods", ".status.podIP").into_iter().collect();
    assert_eq!(addresses.len(), PODS, "each pod has an address of its own");
    let nodes: BTreeSet<String> = lines(&cluster, "pods", ".spec.nodeName").into_iter().collect();
    assert_eq!(nodes.len(), NODES, "the pods are spread over all nodes");

    cluster.ok(&["scale", "deployment", "web", "--replicas=0"]);
    cluster.until(&["get", "pods", "-o", "name"], "all pods are gone", str::is_empty);
    let ready = lines(&cluster, "nodes", ".status.conditions[?(@.type==\"Ready\")].status");
    assert_eq!(ready, vec!["True"; NODES], "the nodes stay");
}
