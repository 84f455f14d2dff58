//! A node is drained under load, with the real kubectl and three nodes: everything moves within its budget, and no request fails.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use support::{As, Cluster, free_node_port, get_path, is_root, wait_for};

const MANIFEST: &str = include_str!("manifests/drain.yaml");
const DRAINED: &str = "node-2";
/// The nodes of the pods of the Deployment that nobody has asked to go.
const WHERE: &str =
    r#"go-template={{range .items}}{{if not .metadata.deletionTimestamp}}{{.spec.nodeName}}{{"\n"}}{{end}}{{end}}"#;

/// Requests without end, each over a connection of its own.
struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    /// A client for each address and path.
    fn on(targets: &[(String, &'static str)]) -> Self {
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = |(address, path): &(String, &'static str)| {
            let (stop, asked, address, path) = (stop.clone(), asked.clone(), address.clone(), *path);
            std::thread::spawn(move || {
                let mut failed = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    failed.extend(get_path(&address, path).err().map(|error| format!("{address}{path}: {error}")));
                    asked.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                failed
            })
        };
        let clients = targets.iter().map(client).collect();
        Self { stop, asked, clients }
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Ends the load: how many requests there were, and what failed.
    fn end(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let failed = self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        (self.asked.load(Ordering::Relaxed), failed)
    }
}

fn nodes_of(cluster: &Cluster, app: &str) -> Vec<String> {
    let said = cluster.ok(&["get", "pods", "-l", &format!("app={app}"), "-o", WHERE]);
    said.lines().map(str::to_owned).collect()
}

/// How far the budget was used, as long as something runs: the fewest pods that it found healthy.
fn fewest_healthy(cluster: &Cluster, is_over: &AtomicBool) -> u32 {
    let healthy = ["get", "pdb", "web", "-o", "jsonpath={.status.currentHealthy}"];
    let mut fewest = u32::MAX;
    while !is_over.load(Ordering::Relaxed) {
        fewest = fewest.min(cluster.ok(&healthy).parse().unwrap());
    }
    fewest
}

fn drains(user: As) {
    let cluster = Cluster::up(user, &["--nodes", "3"]);
    let port = free_node_port();
    cluster.ok_with(&["apply", "-f", "-"], &MANIFEST.replace("NODE_PORT", &port.to_string()));
    cluster.ok(&["rollout", "status", "deployment/web", "--timeout=90s"]);
    cluster.ok(&["rollout", "status", "daemonset/everywhere", "--timeout=90s"]);
    let before = nodes_of(&cluster, "web");
    assert_eq!(before.iter().collect::<BTreeSet<_>>().len(), 3, "on every node: {before:?}");
    let budget = ["get", "pdb", "web", "-o", "jsonpath={.status.currentHealthy}/{.status.disruptionsAllowed}"];
    cluster.until(&budget, "the budget allows one", |text| text == "6/1");

    let at_node = format!("127.0.0.1:{port}");
    let mut targets = vec![(at_node.clone(), "/"), (at_node.clone(), "/"), (at_node.clone(), "/slow")];
    if user == As::Me && is_root() {
        let ip = cluster.ok(&["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"]);
        targets.extend([(format!("{ip}:80"), "/"), (format!("{ip}:80"), "/slow")]);
    }
    wait_for("the service answers", || get_path(&at_node, "/").ok()).expect("an answer");
    let load = Load::on(&targets);
    let is_over = AtomicBool::new(false);
    let (said, fewest) = std::thread::scope(|scope| {
        let watching = scope.spawn(|| fewest_healthy(&cluster, &is_over));
        let drain = ["drain", DRAINED, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s"];
        let output = cluster.kubectl(&drain);
        is_over.store(true, Ordering::Relaxed);
        (output, watching.join().unwrap())
    });
    let text = support::text(&said.stdout) + &support::text(&said.stderr);
    assert!(said.status.success(), "{text}");
    assert!(text.contains("evicting pod default/web-"), "{text}");
    cluster.ok(&["rollout", "status", "deployment/web", "--timeout=90s"]);
    // The load goes on for a while over what is left.
    let so_far = load.asked();
    wait_for("more requests", || (load.asked() > so_far + 50).then_some(())).expect("the load goes on");
    let (asked, failed) = load.end();
    println!("{asked} requests, {} failed, at least {fewest} of 6 healthy", failed.len());
    assert!(asked > 200, "only {asked} requests");
    assert!(failed.is_empty(), "{} of {asked} requests failed: {:?}", failed.len(), &failed[..failed.len().min(5)]);
    assert!(fewest >= 5, "the budget is one, but only {fewest} were healthy");

    let after = nodes_of(&cluster, "web");
    assert!(after.len() == 6 && after.iter().all(|node| node != DRAINED), "{after:?}");
    let daemons = nodes_of(&cluster, "everywhere");
    assert!(daemons.iter().any(|node| node == DRAINED), "a DaemonSet's pod stays: {daemons:?}");

    cluster.ok(&["uncordon", DRAINED]);
    cluster.ok(&["scale", "deployment/web", "--replicas=8"]);
    cluster.ok(&["rollout", "status", "deployment/web", "--timeout=90s"]);
    let nodes = nodes_of(&cluster, "web");
    assert!(nodes.iter().any(|node| node == DRAINED), "the node takes pods again: {nodes:?}");
}

#[test]
fn a_drain_loses_no_request() {
    drains(As::Me);
}

#[test]
fn a_drain_loses_no_request_without_root() {
    if !is_root() {
        eprintln!("skipped: a_drain_loses_no_request_without_root (the other test did it: this is no root)");
        return;
    }
    drains(As::Nobody);
}
