//! What a pod's spec asks for is what its programs find: users, groups, folders, parts of volumes, the host's namespaces.

#[path = "support/cluster.rs"]
mod cluster;
mod support;

use cluster::*;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Pod};
use orc_store::Api;
use orc_store::client::ListOptions;
use serde_json::{Value, json};
use support::*;

fn before_main() {}

/// A pod that runs a script once.
fn once(script: &str, container: Value, more: Value) -> Value {
    let mut one = json!({"name": "c", "image": "host", "command": ["sh", "-c", script]});
    one.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
    let mut spec = json!({"restartPolicy": "Never", "containers": [one]});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}

/// What the pod said until it ended.
async fn said(running: &Running, pods: &Api<Pod>, name: &str) -> Vec<String> {
    let pod = until(pods, name, |pod| matches!(phase(pod), "Succeeded" | "Failed")).await;
    let text = logs(&running.service, &format!("/containerLogs/default/{name}/c")).await;
    assert_eq!(phase(&pod), "Succeeded", "{name} said: {text}");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn users_groups_folders_and_parts_of_volumes_are_as_asked() {
    on_a_node(|node| async move {
        let env = env().await;
        let running = agent(&node, &env).await;
        let script = "id -u; id -g; id -G | tr ' ' '\\n' | sort -n | tr '\\n' ' '; echo; pwd; \
            echo x > /all/file; stat -c '%u %g' /all/file; \
            echo part > /part/f; cat /all/a/b/f; echo named > /named/f; cat /all/$WHO/f; \
            cat /info/labels /info/cpu; echo; cat /info/memory; echo";
        let container = json!({
            "workingDir": "/made/for/it",
            "env": [{"name": "WHO", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            "resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}},
            "volumeMounts": [
                {"name": "all", "mountPath": "/all"},
                {"name": "all", "mountPath": "/part", "subPath": "a/b"},
                {"name": "all", "mountPath": "/named", "subPathExpr": "$(WHO)"},
                {"name": "info", "mountPath": "/info"},
            ],
        });
        let resource = |path: &str, name: &str, divisor: &str| json!({"path": path, "resourceFieldRef": {"containerName": "c", "resource": name, "divisor": divisor}});
        let info = json!([
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels['app']"}},
            resource("cpu", "limits.cpu", "1m"),
            resource("memory", "limits.memory", "1Mi"),
        ]);
        let spec = once(
            script,
            container,
            json!({
                "securityContext": {"runAsUser": 1000, "runAsGroup": 1001, "fsGroup": 2000, "supplementalGroups": [3000]},
                "volumes": [{"name": "all", "emptyDir": {}}, {"name": "info", "downwardAPI": {"items": info}}],
            }),
        );
        let mut spec = spec;
        spec["nodeName"] = json!("n1");
        let pod =
            json!({"metadata": {"name": "found", "namespace": "default", "labels": {"app": "blue"}}, "spec": spec});
        let pods: Api<Pod> = Api::namespaced(env.client.clone(), "default");
        pods.create(&serde_json::from_value(pod).unwrap()).await.unwrap();
        let want = ["1000", "1001", "1001 2000 3000 ", "/made/for/it", "1000 2000", "part", "named", "blue1500", "64"];
        assert_eq!(said(&running, &pods, "found").await, want);
        running.stop.cancel();
        running.task.await.unwrap();
    });
}

#[test]
fn the_hosts_namespaces_are_shared_where_asked_alone() {
    on_a_node(|node| async move {
        let env = env().await;
        let running = agent(&node, &env).await;
        let kinds = ["net", "uts", "ipc", "pid"];
        let script = "for kind in net uts ipc pid; do readlink /proc/self/ns/$kind; done";
        let own = kinds.map(|kind| std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string());
        // A pod in the host's network has the host's name too.
        for (name, more, shared) in [
            ("alone", json!({}), [false, false, false, false]),
            ("network", json!({"hostNetwork": true}), [true, true, false, false]),
            ("ipc", json!({"hostIPC": true}), [false, false, true, false]),
            ("pid", json!({"hostPID": true}), [false, false, false, true]),
        ] {
            let pods = create(&env, name, once(script, json!({}), more)).await;
            let found = said(&running, &pods, name).await;
            let same: Vec<bool> = own.iter().zip(&found).map(|(own, found)| own == found).collect();
            assert_eq!(same, shared, "{name}: {kinds:?}");
        }
        running.stop.cancel();
        running.task.await.unwrap();
    });
}

#[test]
fn the_class_of_service_follows_from_the_resources() {
    on_a_node(|node| async move {
        let env = env().await;
        let running = agent(&node, &env).await;
        let both = json!({"cpu": "10m", "memory": "16Mi"});
        for (name, resources, class) in [
            ("guaranteed", json!({"requests": both, "limits": both}), "Guaranteed"),
            ("burstable", json!({"requests": {"cpu": "10m"}}), "Burstable"),
            ("best-effort", json!({}), "BestEffort"),
        ] {
            let pods = create(&env, name, once("true", json!({"resources": resources}), json!({}))).await;
            let pod = until(&pods, name, |pod| phase(pod) == "Succeeded").await;
            assert_eq!(pod.status.as_ref().unwrap().qos_class.as_deref(), Some(class));
        }
        running.stop.cancel();
        running.task.await.unwrap();
    });
}

/// Mounts a small disk in memory, and takes it away whatever happens.
struct Disk(std::path::PathBuf);

impl Disk {
    fn mount(&self, options: &str) {
        let path = self.0.to_str().unwrap();
        let done = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs", path]).status();
        assert!(done.unwrap().success(), "mount {path}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_node_whose_disk_is_full_says_so_and_goes_on_when_there_is_room() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: a_node_whose_disk_is_full_says_so_and_goes_on_when_there_is_room: only root can mount");
        return;
    }
    on_a_node(|node| async move {
        let env = env().await;
        let disk = Disk(node.dir.path().join("agent"));
        std::fs::create_dir(&disk.0).unwrap();
        disk.mount("size=64k");
        let running = agent_with(&node, &env, node.config(), |config| config.events = true).await;
        let maps: Api<ConfigMap> = Api::namespaced(env.client.clone(), "default");
        let map = json!({"metadata": {"name": "big", "namespace": "default"}, "data": {"text": "x".repeat(200_000)}});
        maps.create(&serde_json::from_value(map).unwrap()).await.unwrap();
        let mount = json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]});
        let volume = json!({"volumes": [{"name": "v", "configMap": {"name": "big"}}]});
        let pods = create(&env, "big", once("wc -c < /v/text", mount, volume)).await;
        let events: Api<Event> = Api::namespaced(env.client.clone(), "default");
        eventually("an event says why", || async {
            let all = events.list(&ListOptions::default()).await.unwrap().items;
            let failed = all.iter().filter(|event| event.reason.as_deref() == Some("FailedMount"));
            let mut texts = failed.filter_map(|event| event.message.clone());
            texts.any(|text| text.contains("No space left on device")).then_some(())
        })
        .await;
        assert_eq!(phase(&pods.get("big").await.unwrap()), "Pending");
        disk.mount("remount,size=8m");
        assert_eq!(said(&running, &pods, "big").await, ["200000"]);
        running.stop.cancel();
        running.task.await.unwrap();
    });
}
