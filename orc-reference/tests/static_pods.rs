//! `orc up --static-pods DIR` with the real kubectl: a file is a pod, whatever the API is told.

mod support;

use std::path::Path;

use support::{As, Cluster, text, wait_for};
use tempfile::TempDir;

/// What tells a static pod's process from all others of this machine: the folder's name in its command line.
fn write(folder: &Path, file: &str, name: &str, says: &str) {
    let script = format!("echo {says}; : {}; sleep 3600; true", folder.display());
    let manifest = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {name}}}}}\nspec:\n  \
         terminationGracePeriodSeconds: 1\n  containers:\n  - {{name: c, image: host, command: [sh, -c, {script:?}]}}\n"
    );
    std::fs::write(folder.join(file), manifest).unwrap();
}

/// The pod's only container: its id, and how often it was started anew.
fn container(cluster: &Cluster, pod: &str) -> String {
    let of = "jsonpath={.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}";
    cluster.ok(&["get", "pod", pod, "-o", of])
}

fn ready(cluster: &Cluster, pod: &str) {
    let is = ["get", "pod", pod, "-o", "jsonpath={.status.containerStatuses[0].ready}"];
    cluster.until(&is, "the static pod is ready", |said| said == "true");
}

fn uid(cluster: &Cluster, pod: &str) -> String {
    text(&cluster.kubectl(&["get", "pod", pod, "-o", "jsonpath={.metadata.uid}"]).stdout)
}

/// Whether a process says `says` and names the folder.
fn runs(folder: &Path, says: &str) -> bool {
    let (says, folder) = (format!("echo {says};"), folder.display().to_string());
    let lines = std::fs::read_dir("/proc").unwrap().flatten();
    let mut lines = lines.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok()).map(|line| text(&line));
    lines.any(|line| line.contains(&says) && line.contains(&folder))
}

fn ends(folder: &Path, says: &str) {
    wait_for("the program ends", || (!runs(folder, says)).then_some(())).expect("the program still runs");
}

#[test]
fn files_are_pods_whatever_the_api_is_told() {
    let folder = TempDir::new_in("/tmp").unwrap();
    let folder = folder.path();
    write(folder, "web.yaml", "web", "first");
    let mut cluster = Cluster::up(As::Me, &["--nodes", "1", "--static-pods", folder.to_str().unwrap()]);
    ready(&cluster, "web-node-1");
    assert_eq!(cluster.ok(&["logs", "web-node-1"]), "first\n");
    let mirror = r"jsonpath={.metadata.annotations.kubernetes\.io/config\.source} {.metadata.ownerReferences[0].kind} {.spec.nodeName}";
    assert_eq!(cluster.ok(&["get", "pod", "web-node-1", "-o", mirror]), "file Node node-1");

    // A file that comes while the cluster runs; one that cannot be read is told of by name, and harms no other.
    std::fs::write(folder.join("broken.yaml"), "kind: [").unwrap();
    write(folder, "late.yaml", "late", "second");
    ready(&cluster, "late-node-1");
    wait_for("the broken file is reported", || cluster.log().contains("broken.yaml").then_some(()))
        .unwrap_or_else(|| panic!("broken.yaml is not named:\n{}", cluster.log()));

    // The mirror is only a picture: without it the pod goes on, and it is drawn again.
    let (before, first) = (container(&cluster, "web-node-1"), uid(&cluster, "web-node-1"));
    cluster.ok(&["delete", "pod", "web-node-1", "--wait=false"]);
    wait_for("the mirror is made again", || {
        let now = uid(&cluster, "web-node-1");
        (!now.is_empty() && now != first).then_some(())
    })
    .expect("no other mirror");
    ready(&cluster, "web-node-1");
    assert_eq!(container(&cluster, "web-node-1"), before, "the pod did not notice");

    // A crash of the control plane is not noticed either.
    cluster.kill();
    assert!(runs(folder, "first") && runs(folder, "second"), "static pods outlive the control plane");
    cluster.again();
    cluster.until(&["get", "pod", "web-node-1"], "the API has it", |said| said.contains("Running"));
    assert_eq!(container(&cluster, "web-node-1"), before, "the same container");

    // Another content is another pod; the file's end is the pod's.
    write(folder, "web.yaml", "web", "third");
    cluster.until(&["logs", "web-node-1"], "the new content runs", |said| said == "third\n");
    ends(folder, "first");
    std::fs::remove_file(folder.join("late.yaml")).unwrap();
    cluster.until(&["get", "pods", "-o", "name"], "its mirror goes", |said| !said.contains("late-node-1"));
    ends(folder, "second");
    assert!(runs(folder, "third"), "the other pod stays");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_orc"))
        .args(["up", "--data-dir", "/tmp/orc-test-no-static", "--static-pods", "/no/such/folder"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = text(&output.stderr);
    assert!(said.contains("--static-pods /no/such/folder: there is no such folder"), "{said}");
    assert!(!Path::new("/tmp/orc-test-no-static/control-plane").exists(), "nothing was begun");
}
