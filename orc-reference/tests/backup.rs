//! Backup of a running cluster, and a new cluster from it.

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use support::{As, Cluster, text};

fn orc(cluster: &Cluster, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orc"));
    command.args(args).env("KUBECONFIG", cluster.kubeconfig()).current_dir(cluster.folder.path()).output().unwrap()
}

fn orc_ok(cluster: &Cluster, args: &[&str]) -> String {
    let output = orc(cluster, args);
    assert!(output.status.success(), "orc {args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn a_cluster_is_restored_at_the_revision_of_its_backup() {
    let mut cluster = Cluster::up(As::Me, &["--nodes", "0"]);
    cluster.ok(&["create", "configmap", "before", "--from-literal=a=1"]);
    cluster.ok(&["create", "secret", "generic", "hidden", "--from-literal=password=hunter2"]);
    let said = orc_ok(&cluster, &["backup", "-o", "all.orc"]);
    assert!(said.contains("objects at revision"), "{said}");
    let file = cluster.folder.path().join("all.orc");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "it holds the Secrets");
    let before = cluster.ok(&["get", "configmap", "before", "-o", "jsonpath={.metadata.resourceVersion}"]);
    cluster.ok(&["create", "configmap", "after", "--from-literal=a=1"]);

    // A second one does not overwrite the first by accident, and a broken one does not restore.
    assert!(text(&orc(&cluster, &["backup", "-o", "all.orc"]).stderr).contains("--overwrite"));
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(cluster.folder.path().join("broken.orc"), &bytes).unwrap();
    let refused = orc(&cluster, &["restore", "broken.orc", "--data-dir", "elsewhere"]);
    assert!(!refused.status.success());
    assert!(text(&refused.stderr).contains("nothing was restored"), "{}", text(&refused.stderr));
    let refused = orc(&cluster, &["restore", "all.orc", "--data-dir", "data"]);
    assert!(!refused.status.success(), "a running cluster's folder is not written over");
    assert!(orc_ok(&cluster, &["restore", "all.orc", "--check"]).contains("checked"));

    // The cluster is lost, but for its keys.
    cluster.kill();
    std::fs::remove_dir_all(cluster.data().join("store")).unwrap();
    orc_ok(&cluster, &["restore", "all.orc", "--data-dir", "data"]);
    cluster.again();
    assert_eq!(cluster.ok(&["get", "configmap", "before", "-o", "jsonpath={.metadata.resourceVersion}"]), before);
    let password = cluster.ok(&["get", "secret", "hidden", "-o", "jsonpath={.data.password}"]);
    assert_eq!(password, "aHVudGVyMg==");
    assert!(cluster.refused(&["get", "configmap", "after"], "").contains("not found"));
    // A watch from the old life is told to list again instead of being given another history.
    cluster.ok(&["create", "configmap", "new", "--from-literal=a=1"]);
    let new: u64 =
        cluster.ok(&["get", "configmap", "new", "-o", "jsonpath={.metadata.resourceVersion}"]).parse().unwrap();
    assert!(new > before.parse::<u64>().unwrap() + 1_000_000_000, "revisions go on far above: {new}");
    let watch = format!("/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=5&resourceVersion={before}");
    let output = cluster.kubectl(&["get", "--raw", &watch]);
    assert!((text(&output.stdout) + &text(&output.stderr)).contains("too old resource version"), "{output:?}");
}

#[test]
fn only_administrators_may_read_a_backup() {
    let cluster = Cluster::up(As::Me, &["--nodes", "0"]);
    let refused = cluster.refused(&["get", "--raw", "/backup", "--as", "mallory"], "");
    assert!(refused.contains("forbidden") && refused.contains("/backup"), "{refused}");
}
