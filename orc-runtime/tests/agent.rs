//! The node agent over the process runtime: real programs, an in-memory API.

#[path = "support/cluster.rs"]
mod cluster;
mod support;

use std::time::Duration;

use cluster::*;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use orc_store::Api;
use orc_store::client::DeleteOptions;
use serde_json::json;
use support::*;

fn before_main() {}

#[test]
fn a_server_is_probed_logged_and_survives_the_agent() {
    on_a_node(|node| async move {
        let env = env().await;
        let running = agent(&node, &env).await;
        let maps: Api<ConfigMap> = Api::namespaced(env.client.clone(), "default");
        let map = json!({"metadata": {"name": "settings", "namespace": "default"}, "data": {"color": "red"}});
        maps.create(&serde_json::from_value(map).unwrap()).await.unwrap();
        let script = "cat /cfg/color; echo; echo $COLOR-$(hostname); cat /etc/hostname; \
                      mkdir -p /tmp/www; cd /tmp/www; exec python3 -m http.server 8080";
        let pods = create(
            &env,
            "web",
            json!({
                "volumes": [{"name": "cfg", "configMap": {"name": "settings"}}, {"name": "tmp", "emptyDir": {}}],
                "terminationGracePeriodSeconds": 2,
                "containers": [{
                    "name": "web", "image": "host", "command": ["sh", "-c", script],
                    "env": [{"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "color"}}}],
                    "volumeMounts": [{"name": "cfg", "mountPath": "/cfg"}, {"name": "tmp", "mountPath": "/tmp/www"}],
                    "readinessProbe": {"httpGet": {"port": 8080}, "periodSeconds": 1}
                }]
            }),
        )
        .await;
        let before = until(&pods, "web", is_ready).await;
        let log = logs(&running.service, "/containerLogs/default/web/web?tailLines=100").await;
        assert!(log.starts_with("red\nred-web\nweb\n"), "{log}");
        running.stop.cancel();
        running.task.await.unwrap();
        let running = agent(&node, &env).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let after = pods.get("web").await.unwrap();
        assert_eq!(before.status, after.status, "the pod did not notice");
        pods.delete("web", DeleteOptions::default()).await.unwrap();
        let runtime = node.runtime().await;
        let left = node.dir.path().join("agent/pods");
        eventually("everything of the pod is gone", || async {
            let empty = std::fs::read_dir(&left).is_ok_and(|mut entries| entries.next().is_none());
            empty.then_some(())
        })
        .await;
        drop(runtime);
        running.stop.cancel();
        running.task.await.unwrap();
    });
}

#[test]
fn programs_end_fail_and_leave_last_words() {
    on_a_node(|node| async move {
        let env = env().await;
        let running = agent(&node, &env).await;
        let one = |command: &str| {
            json!({"restartPolicy": "Never", "containers": [
            {"name": "c", "image": "host", "command": ["sh", "-c", command]}]})
        };
        let pods = create(&env, "good", one("true")).await;
        create(&env, "bad", one("echo so it ends > /dev/termination-log; exit 4")).await;
        create(&env, "image", json!({"containers": [{"name": "c", "image": "nginx", "command": ["x"]}]})).await;
        let absent = json!({"restartPolicy": "Never", "containers": [
            {"name": "c", "image": "host", "command": ["/no/such/program"]}]});
        create(&env, "absent", absent).await;
        until(&pods, "good", |pod| phase(pod) == "Succeeded").await;
        let state =
            |pod: &Pod| pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0].state.clone().unwrap();
        let bad = until(&pods, "bad", |pod| phase(pod) == "Failed").await;
        let end = state(&bad).terminated.unwrap();
        assert_eq!((end.exit_code, end.message.as_deref()), (4, Some("so it ends\n")));
        let absent = until(&pods, "absent", |pod| phase(pod) == "Failed").await;
        let end = state(&absent).terminated.unwrap();
        assert_eq!((end.exit_code, end.reason.as_deref()), (128, Some("StartError")));
        let image = until(&pods, "image", |pod| {
            let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
            statuses.into_iter().any(|c| {
                c.state.as_ref().is_some_and(|state| {
                    state.waiting.as_ref().is_some_and(|w| w.reason.as_deref() == Some("ImagePullBackOff"))
                })
            })
        });
        let waiting = state(&*image.await).waiting.unwrap();
        assert!(waiting.message.as_deref().unwrap().contains("image: host"), "{waiting:?}");
        running.stop.cancel();
        running.task.await.unwrap();
    });
}
