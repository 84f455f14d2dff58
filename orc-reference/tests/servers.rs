//! Several servers over one etcd: each reads what the others write, the loops run once, and a server that is killed is taken
//! over within seconds.

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use orc_store::testing::EtcdServer;
use support::{As, Cluster, text};

/// The longest that the loops may be nobody's: a lease, two looks at it, and a busy machine.
const TAKEN_OVER: Duration = Duration::from_secs(30);

fn etcd(runtime: &tokio::runtime::Runtime) -> EtcdServer {
    runtime.block_on(EtcdServer::start()).unwrap_or_else(|why| panic!("{why}"))
}

fn holder(cluster: &Cluster, lease: &str) -> String {
    cluster.ok(&["get", "lease", "-n", "kube-system", lease, "-o", "jsonpath={.spec.holderIdentity}"])
}

fn settings(cluster: &Cluster, name: &str) {
    cluster.ok(&["create", "configmap", name, "--from-literal=colour=blue"]);
}

#[test]
fn two_servers_are_one_cluster_and_one_is_enough() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let etcd = etcd(&runtime);
    let servers = etcd.endpoints().join(",");
    let pki = tempfile::tempdir().unwrap();
    let shared = ["--nodes", "0", "--etcd-servers", &servers, "--pki-dir", pki.path().to_str().unwrap()];
    let mut one = Cluster::up(As::Me, &shared);
    one.until(&["get", "lease", "-n", "kube-system"], "the first server leads", |out| {
        out.contains("kube-scheduler") && out.contains("kube-controller-manager")
    });
    let leader = holder(&one, "kube-scheduler");
    let two = one.beside(&[&shared[..], &["--sim-nodes", "4"]].concat());

    // The loops run in the first server, the nodes in the second, and the client may ask either.
    one.ok(&["create", "deployment", "web", "--image=host", "--replicas=3", "--", "sleep", "1000"]);
    let ready = ["get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}"];
    two.until(&ready, "the deployment is ready", |out| out == "3");
    assert_eq!(holder(&two, "kube-scheduler"), leader, "the second server did not take over");

    // What one server has acknowledged, the other one knows at once.
    for number in 0..10 {
        let (writer, reader) = if number % 2 == 0 { (&one, &two) } else { (&two, &one) };
        settings(writer, &format!("settings-{number}"));
        let found = reader.ok(&["get", "configmap", &format!("settings-{number}"), "-o", "jsonpath={.data.colour}"]);
        assert_eq!(found, "blue");
    }

    // A list begun at one server goes on at the other, at the same revision.
    let maps = "/api/v1/namespaces/default/configmaps";
    let first = one.ok(&["get", "--raw", &format!("{maps}?limit=4")]);
    let first: serde_json::Value = serde_json::from_str(&first).unwrap();
    settings(&two, "later");
    let token = first["metadata"]["continue"].as_str().unwrap();
    let rest = two.ok(&["get", "--raw", &format!("{maps}?limit=500&continue={token}")]);
    let rest: serde_json::Value = serde_json::from_str(&rest).unwrap();
    assert_eq!(rest["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    let names: Vec<&str> =
        rest["items"].as_array().unwrap().iter().filter_map(|item| item["metadata"]["name"].as_str()).collect();
    assert!(names.contains(&"settings-9") && !names.contains(&"later"), "{names:?}");

    // The leader dies in the middle of its work.
    two.ok(&["scale", "deployment", "web", "--replicas=20"]);
    one.kill();
    let died = Instant::now();
    two.until(&ready, "another server finished the work", |out| out == "20");
    assert_ne!(holder(&two, "kube-scheduler"), leader);
    assert!(died.elapsed() < TAKEN_OVER, "taken over after {:?}", died.elapsed());
    eprintln!("20 pods Ready {:.1} s after the leader was killed", died.elapsed().as_secs_f64());

    // It comes back as a follower.
    one.again();
    settings(&one, "again");
    two.ok(&["get", "configmap", "again"]);
    assert_ne!(holder(&one, "kube-controller-manager"), "");
}

#[test]
fn a_server_with_another_authority_is_refused() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let etcd = etcd(&runtime);
    let servers = etcd.endpoints().join(",");
    let one = Cluster::up(As::Me, &["--nodes", "0", "--etcd-servers", &servers]);
    one.until(&["get", "configmap", "-n", "kube-system", "kube-root-ca.crt"], "the authority is published", |out| {
        out.contains("kube-root-ca.crt") && !out.contains("not found")
    });
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_orc"))
        .args(["up", "--nodes", "0", "--listen", &support::free_address().to_string(), "--etcd-servers", &servers])
        .arg("--data-dir")
        .arg(folder.path())
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains("another certificate authority"), "{said}");
    assert!(said.contains("--pki-dir"), "the message says what to do: {said}");
}

#[test]
fn an_etcd_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("http://{}", support::free_address());
    let output = Command::new(env!("CARGO_BIN_EXE_orc"))
        .args(["api", "--listen", &support::free_address().to_string(), "--etcd-servers", &address, "--data-dir"])
        .arg(folder.path())
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains(&address), "{said}");
}
