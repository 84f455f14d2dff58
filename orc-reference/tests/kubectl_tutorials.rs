//! `examples/manifests/`: each is applied with the real kubectl, and what its head promises is looked at.

mod support;

use std::collections::BTreeSet;

use support::{As, Cluster, free_node_port, get, wait_for};

/// A manifest with a free node port instead of the one that it names.
fn with_port(manifest: &str, named: &str) -> (String, String) {
    assert!(manifest.contains(named), "the manifest names node port {named}");
    let port = free_node_port().to_string();
    (manifest.replace(named, &port), format!("127.0.0.1:{port}"))
}

/// The answer to `GET path`, once it satisfies a predicate.
fn answer(address: &str, path: &str, what: &str, holds: impl Fn(&str) -> bool) -> String {
    let mut last = String::new();
    wait_for(what, || {
        last = support::get_path(address, path).unwrap_or_else(|error| error.to_string());
        holds(&last).then(|| last.clone())
    })
    .unwrap_or_else(|| panic!("{what}: never held; last: {last}"))
}

fn guestbook(cluster: &Cluster) {
    let (manifest, at) = with_port(include_str!("../../examples/manifests/guestbook.yaml"), "30081");
    cluster.ok_with(&["apply", "-f", "-"], &manifest);
    cluster.ok(&["rollout", "status", "deployment/guestbook", "--timeout=90s"]);
    assert_eq!(answer(&at, "/cgi-bin/read", "nothing is written yet", |said| !said.is_empty()), "no entries yet\n");
    let mut fronts = BTreeSet::new();
    for entry in ["first", "second"] {
        let said = answer(&at, &format!("/cgi-bin/sign?{entry}"), "the entry is taken", |said| said.contains("added"));
        fronts.insert(said.split(':').next().unwrap_or_default().to_owned());
    }
    assert!(fronts.iter().all(|front| front.starts_with("guestbook-")), "{fronts:?}");
    // Each frontend gives what the other took: the entries are the store's.
    for _ in 0..4 {
        let said = answer(&at, "/cgi-bin/read", "the entries are read", |said| said.contains("second"));
        assert_eq!(said, "first\nsecond\n");
    }
    cluster.ok_with(&["delete", "-f", "-"], &manifest);
}

fn ordered_set(cluster: &Cluster) {
    let manifest = include_str!("../../examples/manifests/ordered-set.yaml");
    cluster.ok_with(&["apply", "-f", "-"], manifest);
    cluster.ok(&["rollout", "status", "statefulset/ordered", "--timeout=90s"]);
    let started =
        cluster.ok(&["get", "pods", "-l", "app=ordered", "--sort-by=.metadata.creationTimestamp", "-o", "name"]);
    assert_eq!(started, "pod/ordered-0\npod/ordered-1\npod/ordered-2\n", "they started in order");
    let ask = ["exec", "ordered-2", "--", "busybox", "wget", "-q", "-O", "-", "http://ordered-0.ordered:8080/"];
    cluster.until(&ask, "a pod is found by its name", |said| said.contains("I am ordered-0"));
    let uid = ["get", "pod", "ordered-1", "-o", "jsonpath={.metadata.uid} {.status.phase}"];
    let births = ["exec", "ordered-1", "--", "cat", "/data/births"];
    let (before, first) = (cluster.ok(&uid), cluster.ok(&births));
    assert_eq!(first.lines().count(), 1, "one birth: {first:?}");
    cluster.ok(&["delete", "pod", "ordered-1"]);
    cluster.until(&uid, "it comes back under its name", |said| said.ends_with(" Running") && said != before);
    cluster.until(&births, "its data is kept", |said| said.starts_with(&first) && said.lines().count() == 2);
    cluster.ok_with(&["delete", "-f", "-"], manifest);
    let bound = r#"jsonpath={range .items[?(@.status.phase=="Bound")]}{.metadata.name} {end}"#;
    assert_eq!(cluster.ok(&["get", "pvc", "-o", bound]), "data-ordered-0 data-ordered-1 data-ordered-2 ");
    cluster.ok(&["delete", "pvc", "--all"]);
}

fn every_minute(cluster: &Cluster) {
    let manifest = include_str!("../../examples/manifests/every-minute.yaml");
    cluster.ok_with(&["apply", "-f", "-"], manifest);
    cluster.ok(&["create", "job", "now", "--from=cronjob/report"]);
    cluster.ok(&["wait", "--for=condition=Complete", "job/now", "--timeout=60s"]);
    assert!(cluster.ok(&["logs", "job/now"]).starts_with("report of "), "the job has made its report");
    // The clock starts one as well, at the next minute.
    let jobs = ["get", "jobs", "-o", "jsonpath={range .items[?(@.status.succeeded==1)]}{.metadata.name} {end}"];
    cluster.until(&jobs, "a minute has its report", |said| said.contains("report-"));
    cluster.ok_with(&["delete", "-f", "-"], manifest);
}

fn log_agent(cluster: &Cluster) {
    let manifest = include_str!("../../examples/manifests/log-agent.yaml");
    let named = "/var/lib/orc/nodes";
    assert!(manifest.contains(named), "the manifest names the nodes' folder");
    let manifest = manifest.replace(named, &cluster.data().join("nodes").to_string_lossy());
    cluster.ok_with(&["apply", "-f", "-"], &manifest);
    cluster.ok(&["rollout", "status", "daemonset/log-agent", "--timeout=90s"]);
    let counted = |said: &str, node: &str| said.lines().any(|line| line.starts_with(node) && !line.contains("has 0 "));
    let logs = ["logs", "-l", "app=log-agent"];
    cluster.until(&logs, "each node has an agent that sees logs", |said| {
        counted(said, "node-1 has ") && counted(said, "node-2 has ")
    });
    cluster.ok_with(&["delete", "-f", "-"], &manifest);
}

fn blue_green(cluster: &Cluster) {
    let (manifest, at) = with_port(include_str!("../../examples/manifests/blue-green.yaml"), "30082");
    cluster.ok_with(&["apply", "-f", "-"], &manifest);
    for colour in ["blue", "green"] {
        cluster.ok(&["rollout", "status", &format!("deployment/{colour}"), "--timeout=90s"]);
    }
    let is = |colour: &'static str| move |said: &str| said.trim() == colour;
    answer(&at, "/", "blue serves first", is("blue"));
    for colour in ["green", "blue"] {
        let patch = format!(r#"{{"spec": {{"selector": {{"version": "{colour}"}}}}}}"#);
        cluster.ok(&["patch", "service", "colour", "-p", &patch]);
        answer(&at, "/", "the switch is made", is(colour));
        // Once it is made, it is made for every request.
        for _ in 0..20 {
            assert_eq!(get(&at).unwrap().trim(), colour);
        }
    }
    cluster.ok_with(&["delete", "-f", "-"], &manifest);
}

#[test]
fn the_manifests_keep_their_promises() {
    let cluster = Cluster::up(As::Me, &["--nodes", "2"]);
    guestbook(&cluster);
    ordered_set(&cluster);
    log_agent(&cluster);
    blue_green(&cluster);
    every_minute(&cluster);
}
