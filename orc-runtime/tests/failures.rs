//! Pods that cannot run: each is left in the state, and with the event, that say why.

#[path = "support/cluster.rs"]
mod cluster;
mod support;

use cluster::*;
use k8s_openapi::api::core::v1::{Event, Pod};
use orc_store::client::ListOptions;
use orc_store::{Api, Env};
use serde_json::{Value, json};
use support::*;

fn before_main() {}

/// A pod, and what is to be seen of it.
struct Case {
    name: &'static str,
    spec: Value,
    /// `phase/reason` of the pod, then the reason of its container's state.
    state: (&'static str, &'static str),
    /// Beginnings of events, `reason message`.
    events: Vec<String>,
}

fn pod(more: Value, container: Value) -> Value {
    let mut spec = json!({"restartPolicy": "Never", "terminationGracePeriodSeconds": 1});
    let mut one = json!({"name": "c", "image": "host", "command": ["sleep", "5000"]});
    one.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
    spec["containers"] = json!([one]);
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}

fn case(name: &'static str, spec: Value, state: (&'static str, &'static str), events: &[&str]) -> Case {
    Case { name, spec, state, events: events.iter().map(|event| (*event).to_owned()).collect() }
}

fn cases(taken: u16) -> Vec<Case> {
    let env = |source: Value| json!({"env": [{"name": "A", "valueFrom": source}]});
    let volume = |source: Value| json!({"volumes": [source]});
    let port = |port: u16| json!({"ports": [{"containerPort": 80, "hostPort": port}]});
    let mounted = json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]});
    vec![
        case(
            "no-configmap",
            pod(json!({}), env(json!({"configMapKeyRef": {"name": "m", "key": "k"}}))),
            ("Pending/", "CreateContainerConfigError"),
            &["Failed Error: configmap \"m\" not found"],
        ),
        case(
            "no-secret",
            pod(json!({}), json!({"envFrom": [{"secretRef": {"name": "s"}}]})),
            ("Pending/", "CreateContainerConfigError"),
            &["Failed Error: secret \"s\" not found"],
        ),
        case(
            "no-volume",
            pod(volume(json!({"name": "v", "secret": {"secretName": "s"}})), mounted.clone()),
            ("Pending/", "ContainerCreating"),
            &["FailedMount MountVolume.SetUp failed for volume \"v\" : secret \"s\" not found"],
        ),
        case(
            "no-folder",
            pod(volume(json!({"name": "v", "hostPath": {"path": "/no/such", "type": "Directory"}})), mounted),
            ("Pending/", "ContainerCreating"),
            &[
                "FailedMount MountVolume.SetUp failed for volume \"v\" : hostPath type check failed: /no/such is not a directory",
            ],
        ),
        case(
            "root",
            pod(json!({}), json!({"securityContext": {"runAsNonRoot": true}})),
            ("Pending/", "CreateContainerConfigError"),
            &["Failed Error: container has runAsNonRoot and image will run as root (pod: \"root_default("],
        ),
        case(
            "no-command",
            pod(json!({}), json!({"command": null})),
            ("Pending/", "CreateContainerError"),
            &["Failed Error: no command specified"],
        ),
        case(
            "bad-cwd",
            pod(json!({}), json!({"workingDir": "/etc/passwd/x"})),
            ("Failed/", "StartError"),
            &["Failed Error: "],
        ),
        case(
            "no-program",
            pod(json!({}), json!({"command": ["/no/such"]})),
            ("Failed/", "StartError"),
            &["Failed Error: "],
        ),
        case(
            "no-image",
            pod(json!({}), json!({"image": "nginx"})),
            ("Pending/", "ImagePullBackOff"),
            &[
                "Failed Failed to pull image \"nginx\": ",
                "Failed Error: ErrImagePull",
                "BackOff Back-off pulling image \"nginx\"",
            ],
        ),
        case(
            "never-pulled",
            pod(json!({}), json!({"image": "nginx", "imagePullPolicy": "Never"})),
            ("Pending/", "ErrImageNeverPull"),
            &["ErrImageNeverPull Container image \"nginx\" is not present with pull policy of Never"],
        ),
        case(
            "no-name",
            pod(json!({}), json!({"image": "No Image"})),
            ("Pending/", "InvalidImageName"),
            &[
                "InspectFailed Failed to apply default image tag \"No Image\": couldn't parse image name \"No Image\": invalid reference format",
            ],
        ),
        case(
            "port-of-another",
            pod(json!({}), port(taken)),
            ("Pending/", "ContainerCreating"),
            &["FailedCreatePodSandBox Failed to create pod sandbox: "],
        ),
        case(
            "too-big",
            pod(json!({}), json!({"resources": {"requests": {"cpu": "1000"}}})),
            ("Failed/OutOfcpu", ""),
            &["OutOfcpu Node didn't have enough resource: cpu, requested: 1000000, used: "],
        ),
    ]
}

fn state(pod: &Pod) -> (String, String) {
    let status = pod.status.clone().unwrap_or_default();
    let container = status.container_statuses.iter().flatten().next().and_then(|status| status.state.clone());
    let reason = container.and_then(|state| {
        state.waiting.and_then(|waiting| waiting.reason).or(state.terminated.and_then(|end| end.reason))
    });
    let of_pod = format!("{}/{}", status.phase.unwrap_or_default(), status.reason.unwrap_or_default());
    (of_pod, reason.unwrap_or_default())
}

async fn told(env: &Env, pod: &str) -> Vec<String> {
    let events: Api<Event> = Api::namespaced(env.client.clone(), "default");
    let all = events.list(&ListOptions::default()).await.unwrap().items;
    let own = all.into_iter().filter(|event| event.involved_object.name.as_deref() == Some(pod));
    own.map(|event| format!("{} {}", event.reason.clone().unwrap(), event.message.clone().unwrap())).collect()
}

#[test]
fn each_failure_has_its_state_and_its_event() {
    on_a_node(|node| async move {
        let env = env().await;
        let running = agent_with(&node, &env, node.config(), |config| config.events = true).await;
        // A port of the host that a program has which is no pod.
        let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let cases = cases(listener.local_addr().unwrap().port());
        for case in &cases {
            create(&env, case.name, case.spec.clone()).await;
        }
        let pods: Api<Pod> = Api::namespaced(env.client.clone(), "default");
        for case in &cases {
            let pod = until(&pods, case.name, |pod| {
                let (of_pod, reason) = state(pod);
                // The first word of a pull is soon followed by the second.
                (of_pod.as_str(), reason.as_str()) == case.state
            });
            pod.await;
            for wanted in &case.events {
                eventually(&format!("{}: {wanted}", case.name), || async {
                    told(&env, case.name).await.iter().any(|one| one.starts_with(wanted.as_str())).then_some(())
                })
                .await;
            }
        }
        // The port is free again: what waited for it runs.
        drop(listener);
        until(&pods, "port-of-another", is_ready).await;
        // Two pods of this node cannot have one port.
        let twin = cases.iter().find(|case| case.name == "port-of-another").unwrap();
        create(&env, "twin", twin.spec.clone()).await;
        until(&pods, "twin", |pod| state(pod).0 == "Failed/NodePorts").await;
        running.stop.cancel();
        running.task.await.unwrap();
    });
}
