//! Volumes with the real kubectl: claims get folders, keep what is in them, and give them back; limits of volumes hold.

mod support;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use support::{As, Cluster, is_root, wait_for};

const DB: &str = r#"
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 1
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: c
        image: host
        command: [sh, -c, "test -e /data/first || date +%s%N > /data/first; cat /data/first; exec sleep 3600"]
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 16Mi}}}
"#;

/// A pod that runs a script once, with a volume at `/v`.
fn pod(name: &str, script: &str, volume: &str, mount: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  restartPolicy: Never\n  terminationGracePeriodSeconds: 1\n  \
         containers:\n  - name: c\n    image: host\n    command: [sh, -c, '{script}']\n    \
         volumeMounts: [{{name: v, mountPath: /v{mount}}}]\n  volumes: [{{name: v, {volume}}}]\n"
    )
}

/// A claim of 1 Mi.
fn claim(name: &str, class: &str) -> String {
    format!(
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {name}}}\nspec: {{accessModes: [ReadWriteOnce]{class}, \
         resources: {{requests: {{storage: 1Mi}}}}}}\n---\n"
    )
}

fn ended(cluster: &Cluster, name: &str) -> String {
    cluster.until(&["get", "pod", name, "-o", "jsonpath={.status.phase}"], "the pod ended", |phase| {
        phase == "Succeeded" || phase == "Failed"
    })
}

/// The folders of the cluster's local volumes.
fn folders(cluster: &Cluster) -> BTreeSet<PathBuf> {
    let nodes = std::fs::read_dir(cluster.data().join("nodes")).unwrap();
    let homes = nodes.map(|node| node.unwrap().path().join("local-volumes"));
    homes.filter_map(|home| std::fs::read_dir(home).ok()).flatten().map(|entry| entry.unwrap().path()).collect()
}

const READY: [&str; 5] = ["get", "statefulset", "db", "-o", "jsonpath={.status.readyReplicas}/{.status.replicas}"];

#[test]
fn claims_get_folders_that_outlive_pods_and_go_with_the_claim() {
    let cluster = Cluster::up(As::Me, &[]);
    assert!(cluster.ok(&["get", "storageclass"]).contains("local-path (default)"));
    cluster.ok_with(&["apply", "-f", "-"], DB);
    cluster.until(&READY, "the first is ready", |text| text == "1/1");
    cluster.ok(&["scale", "statefulset/db", "--replicas=3"]);
    cluster.until(&READY, "all are ready", |text| text == "3/3");
    let phases = cluster.ok(&["get", "pv", "-o", "jsonpath={.items[*].status.phase}"]);
    assert_eq!(phases, "Bound Bound Bound", "three replicas, three volumes");
    assert_eq!(folders(&cluster).len(), 3);

    let written = cluster.ok(&["logs", "db-1"]);
    let uid = cluster.ok(&["get", "pod", "db-1", "-o", "jsonpath={.metadata.uid}"]);
    cluster.ok(&["delete", "pod", "db-1"]);
    let is = ["get", "pod", "db-1", "-o", "jsonpath={.metadata.uid} {.status.containerStatuses[0].ready}"];
    cluster.until(&is, "another pod took its place", |text| text.ends_with(" true") && !text.starts_with(&uid));
    assert_eq!(cluster.ok(&["logs", "db-1"]), written, "the data was kept");
    assert!(written.trim().parse::<u64>().is_ok(), "{written}");

    // A pod that only reads, beside the one that writes.
    let only = pod(
        "reader",
        "cat /v/first; touch /v/second",
        "persistentVolumeClaim: {claimName: data-db-1}",
        ", readOnly: true",
    );
    cluster.ok_with(&["apply", "-f", "-"], &only);
    assert_eq!(ended(&cluster, "reader"), "Failed");
    let said = cluster.ok(&["logs", "reader"]);
    assert!(said.contains(written.trim()) && said.contains("Read-only file system"), "{said}");

    cluster.ok(&["delete", "pod/reader", "statefulset/db"]);
    cluster.until(&["get", "pods", "-o", "name"], "the pods are gone", |text| !text.contains("pod/"));
    let gone = cluster.ok(&["get", "pvc", "data-db-2", "-o", "jsonpath={.spec.volumeName}"]);
    cluster.ok(&["delete", "pvc", "data-db-2"]);
    cluster.until(&["get", "pv", "-o", "name"], "the volume is gone", |text| !text.contains(&gone));
    let left = folders(&cluster);
    assert!(left.len() == 2 && left.iter().all(|path| !path.ends_with(&gone)), "{left:?}");
    unknown_class(&cluster);
    growing(&cluster);
}

fn unknown_class(cluster: &Cluster) {
    let stuck = claim("nowhere", ", storageClassName: nowhere")
        + &pod("stuck", "true", "persistentVolumeClaim: {claimName: nowhere}", "");
    cluster.ok_with(&["apply", "-f", "-"], &stuck);
    let scheduled = r#"jsonpath={.status.phase} {.status.conditions[?(@.type=="PodScheduled")].message}"#;
    cluster.until(&["get", "pod", "stuck", "-o", scheduled], "the scheduler says why", |text| {
        text.starts_with("Pending") && text.contains("pod has unbound immediate PersistentVolumeClaims")
    });
    cluster.until(&["describe", "pvc", "nowhere"], "the claim says why", |text| {
        text.contains("ProvisioningFailed") && text.contains(r#"storageclass.storage.k8s.io "nowhere" not found"#)
    });
    cluster.ok(&["delete", "pod/stuck", "pvc/nowhere"]);
}

fn growing(cluster: &Cluster) {
    let patch = r#"{"spec":{"resources":{"requests":{"storage":"32Mi"}}}}"#;
    cluster.ok(&["patch", "pvc", "data-db-0", "-p", patch]);
    let size = ["get", "pvc", "data-db-0", "-o", "jsonpath={.status.capacity.storage}"];
    cluster.until(&size, "the claim has grown", |text| text == "32Mi");
}

#[test]
fn volumes_that_are_full_or_may_not_be_written_say_so() {
    let cluster = Cluster::up(As::Me, &[]);
    in_memory(&cluster);
    let greedy = pod("greedy", "head -c 4194304 /dev/zero > /v/x; exec sleep 3600", "emptyDir: {sizeLimit: 1Mi}", "");
    cluster.ok_with(&["apply", "-f", "-"], &greedy);
    assert_eq!(ended(&cluster, "greedy"), "Failed");
    let why = cluster.ok(&["get", "pod", "greedy", "-o", "jsonpath={.status.reason}: {.status.message}"]);
    assert_eq!(why, r#"Evicted: Usage of EmptyDir volume "v" exceeds the limit "1Mi". "#);
    cluster.until(&["describe", "pod", "greedy"], "an event tells", |text| text.contains("Warning  Evicted"));
    if is_root() {
        full_disk(&cluster);
    }
}

/// A volume in memory holds what it may, and the program that writes more is told by the kernel.
fn in_memory(cluster: &Cluster) {
    let script = "stat -f -c %T /v; head -c 4194304 /dev/zero > /v/x";
    cluster.ok_with(&["apply", "-f", "-"], &pod("memory", script, "emptyDir: {medium: Memory, sizeLimit: 1Mi}", ""));
    assert_eq!(ended(cluster, "memory"), "Failed");
    let said = cluster.ok(&["logs", "memory"]);
    assert!(said.starts_with("tmpfs") && said.contains("No space left on device"), "{said}");
    cluster.ok(&["delete", "pod", "memory"]);
    let below = cluster.data().join("nodes/node-1/pods");
    let mounted = || std::fs::read_to_string("/proc/self/mounts").unwrap().contains(below.to_str().unwrap());
    wait_for("the mount is gone", || (!mounted()).then_some(())).expect("nothing stays mounted");
}

/// A volume made by hand, on a disk that has room for nothing.
fn full_disk(cluster: &Cluster) {
    let disk = cluster.folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let run = |program: &str, args: &[&str]| assert!(Command::new(program).args(args).status().unwrap().success());
    run("mount", &["-t", "tmpfs", "-o", "nr_inodes=1", "tmpfs", disk.to_str().unwrap()]);
    let volume = format!(
        "apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: full}}\nspec: {{accessModes: [ReadWriteOnce], \
         capacity: {{storage: 1Mi}}, hostPath: {{path: {}}}}}\n---\n",
        disk.display()
    );
    let user = pod("full", "true", "persistentVolumeClaim: {claimName: full}", ", subPath: below");
    cluster.ok_with(&["apply", "-f", "-"], &(volume + &claim("full", r#", storageClassName: """#) + &user));
    let waits = "jsonpath={.status.phase} {.status.containerStatuses[0].state.waiting.reason}";
    cluster
        .until(&["get", "pod", "full", "-o", waits], "it waits", |text| text == "Pending CreateContainerConfigError");
    cluster.until(&["describe", "pod", "full"], "an event says why", |text| {
        text.contains("failed to create subPath directory") && text.contains("No space left on device")
    });
    cluster.ok(&["delete", "pod/full", "pvc/full"]);
    let phase = ["get", "pv", "full", "-o", "jsonpath={.status.phase}"];
    cluster.until(&phase, "what was made by hand is kept", |text| text == "Released");
    run("umount", &[disk.to_str().unwrap()]);
}

#[test]
fn volumes_of_an_ordinary_user() {
    if !is_root() {
        eprintln!("skipped: volumes_of_an_ordinary_user (the other tests did it: this is no root)");
        return;
    }
    let cluster = Cluster::up(As::Nobody, &[]);
    in_memory(&cluster);
    let user =
        claim("c", "") + &pod("writer", "echo here > /v/x; cat /v/x", "persistentVolumeClaim: {claimName: c}", "");
    cluster.ok_with(&["apply", "-f", "-"], &user);
    assert_eq!(ended(&cluster, "writer"), "Succeeded");
    assert_eq!(folders(&cluster).len(), 1);
    cluster.ok(&["delete", "pod/writer", "pvc/c"]);
    wait_for("the folder is gone", || folders(&cluster).is_empty().then_some(())).unwrap();
}

#[test]
fn simulated_nodes_have_volumes_too() {
    let cluster = Cluster::up(As::Me, &["--nodes", "0", "--sim-nodes", "3"]);
    cluster.ok_with(&["apply", "-f", "-"], &DB.replace("replicas: 1", "replicas: 2"));
    cluster.until(&READY, "both are ready", |text| text == "2/2");
    cluster.ok(&["delete", "statefulset/db"]);
    cluster.until(&["get", "pods", "-o", "name"], "the pods are gone", |text| !text.contains("pod/"));
    cluster.ok(&["delete", "pvc", "--all"]);
    cluster.until(&["get", "pv", "-o", "name"], "the volumes are gone", |text| !text.contains("persistentvolume/"));
}
