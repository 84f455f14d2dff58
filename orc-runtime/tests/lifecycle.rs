//! The life of a pod with real programs: what starts when, what is run at the edges, and which last words are kept.

#[path = "support/cluster.rs"]
mod cluster;
mod support;

use std::path::Path;

use cluster::*;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Event, Pod};
use orc_store::client::{DeleteOptions, ListOptions};
use orc_store::{Api, Env};
use serde_json::{Value, json};
use support::*;

fn before_main() {}

fn sh(name: &str, script: &str, more: Value) -> Value {
    let mut container = json!({"name": name, "image": "host", "command": ["sh", "-c", script]});
    container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    container
}

fn end(pod: &Pod) -> Option<ContainerStateTerminated> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()?.state.clone()?.terminated
}

async fn told(env: &Env, pod: &str) -> Vec<String> {
    let events: Api<Event> = Api::namespaced(env.client.clone(), "default");
    let all = events.list(&ListOptions::default()).await.unwrap().items;
    let own = all.into_iter().filter(|event| event.involved_object.name.as_deref() == Some(pod));
    own.map(|event| format!("{} {}", event.reason.clone().unwrap(), event.message.clone().unwrap())).collect()
}

/// Says its name, then again when it is asked to end.
fn stays(name: &str, order: &Path) -> String {
    let order = order.display();
    format!(
        "echo {name} >> {order}; trap 'echo {name}-ends >> {order}; exit 0' TERM; touch {order}.{name}; while :; do sleep 0.05; done"
    )
}

#[test]
fn init_containers_sidecars_and_hooks_have_their_order() {
    on_a_node(|node| async move {
        let env = env().await;
        let running = agent(&node, &env).await;
        let out = node.dir.path().join("out");
        std::fs::create_dir(&out).unwrap();
        let order = out.join("order");
        let says = |what: &str| format!("sleep 0.2; echo {what} >> {}", order.display());
        let mounted = json!({"volumeMounts": [{"name": "out", "mountPath": out}]});
        let with = |more: Value| {
            let mut all = mounted.clone();
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            all
        };
        let exec = |script: &str| json!({"exec": {"command": ["sh", "-c", script]}});
        // What comes after a sidecar waits for its startup probe.
        let mut probe = exec(&format!("test -e {0}.side && sleep 0.3 && echo side-started >> {0}", order.display()));
        probe
            .as_object_mut()
            .unwrap()
            .extend(json!({"periodSeconds": 1, "timeoutSeconds": 5}).as_object().unwrap().clone());
        let side = with(json!({"restartPolicy": "Always", "startupProbe": probe}));
        let hooks = with(json!({"lifecycle": {"postStart": exec(&says("post")), "preStop": exec(&says("pre"))}}));
        let spec = json!({
            "terminationGracePeriodSeconds": 20,
            "initContainers": [
                sh("first", &says("first"), mounted.clone()),
                sh("side", &stays("side", &order), side),
                sh("second", &says("second"), mounted.clone()),
            ],
            "containers": [sh("web", &stays("web", &order), hooks)],
            "volumes": [{"name": "out", "hostPath": {"path": out}}],
        });
        let pods = create(&env, "ordered", spec).await;
        until(&pods, "ordered", is_ready).await;
        let lines = || std::fs::read_to_string(&order).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
        eventually("the hook has run", || async { lines().iter().any(|line| line == "post").then_some(()) }).await;
        assert_eq!(lines(), ["first", "side", "side-started", "second", "web", "post"]);
        pods.delete("ordered", DeleteOptions::default()).await.unwrap();
        // The API of this test deletes at once; the node gives the pod its grace all the same.
        eventually("the sidecar has ended", || async { lines().iter().any(|line| line == "side-ends").then_some(()) })
            .await;
        assert_eq!(lines()[6..], ["pre", "web-ends", "side-ends"]);
        running.stop.cancel();
        running.task.await.unwrap();
    });
}

#[test]
fn a_failed_hook_after_the_start_ends_the_container() {
    on_a_node(|node| async move {
        let env = env().await;
        let running = agent_with(&node, &env, node.config(), |config| config.events = true).await;
        let hook = json!({"lifecycle": {"postStart": {"exec": {"command": ["sh", "-c", "echo no >&2; exit 7"]}}}});
        let spec = json!({"restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
            "containers": [sh("web", "sleep 5000", hook)]});
        let pods = create(&env, "hooked", spec).await;
        until(&pods, "hooked", |pod| phase(pod) == "Failed").await;
        for wanted in ["FailedPostStartHook PostStartHook failed", "Killing FailedPostStartHook"] {
            eventually(wanted, || async { told(&env, "hooked").await.iter().any(|one| one == wanted).then_some(()) })
                .await;
        }
        running.stop.cancel();
        running.task.await.unwrap();
    });
}

#[test]
fn the_last_words_are_those_that_the_policy_names() {
    on_a_node(|node| async move {
        let env = env().await;
        let running = agent(&node, &env).await;
        let falls_back = || json!({"terminationMessagePolicy": "FallbackToLogsOnError"});
        let long_file = "a".repeat(4092) + "end\n";
        let cases = [
            ("fallback", "echo one; echo two >&2; exit 3", falls_back(), Some("one\ntwo\n")),
            ("fallback-good", "echo one", falls_back(), None),
            ("fallback-file", "echo log; echo file > /dev/termination-log; exit 3", falls_back(), Some("file\n")),
            ("file-alone", "echo log; exit 3", json!({}), None),
            (
                "long-file",
                "head -c 5000 /dev/zero | tr '\\0' a > /dev/termination-log; echo end >> /dev/termination-log",
                json!({}),
                Some(&*long_file),
            ),
            ("other-path", "echo why > /tmp/why; exit 3", json!({"terminationMessagePath": "/tmp/why"}), Some("why\n")),
        ];
        for (name, script, more, _) in &cases {
            let spec = json!({"restartPolicy": "Never", "containers": [sh("c", script, more.clone())]});
            create(&env, name, spec).await;
        }
        let pods: Api<Pod> = Api::namespaced(env.client.clone(), "default");
        for (name, _, _, message) in &cases {
            let pod = until(&pods, name, |pod| end(pod).is_some()).await;
            let said = end(&pod).unwrap().message.filter(|text| !text.is_empty());
            assert_eq!(said.as_deref(), *message, "{name}");
        }
        // Only the end of a long log: as much as a message may hold, from the beginning of a line or not.
        let long = "i=0; while [ $i -lt 400 ]; do echo line $i of a long log that nobody wants to read; i=$((i+1)); done; exit 3";
        let spec = json!({"restartPolicy": "Never", "containers": [sh("c", long, falls_back())]});
        create(&env, "long", spec).await;
        let pod = until(&pods, "long", |pod| end(pod).is_some()).await;
        let said = end(&pod).unwrap().message.unwrap();
        assert!(said.len() <= 2048 && said.lines().count() <= 80, "{} bytes", said.len());
        assert!(said.ends_with("line 399 of a long log that nobody wants to read\n"), "{said}");
        running.stop.cancel();
        running.task.await.unwrap();
    });
}
