//! What a node does on an ordinary day: looking into pods, limits, logs that grow, an orderly end.

#[path = "support/cluster.rs"]
mod cluster;
mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cluster::*;
use futures::StreamExt;
use k8s_openapi::api::core::v1::{ContainerStatus, Event, PersistentVolume, PersistentVolumeClaim, Pod};
use orc_runtime::agent::stop_pods;
use orc_runtime::process::Limits;
use orc_runtime::runtime::{ContainerResources, LogOptions, Observe, Runtime, RuntimeService, Streams};
use orc_store::Api;
use orc_store::client::{DeleteOptions, ListOptions};
use serde_json::{Value, json};
use support::*;

fn before_main() {}

fn extra<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let mut all = pod.status.as_ref()?.ephemeral_container_statuses.iter().flatten();
    all.find(|status| status.name == name)
}

#[test]
fn an_ephemeral_container_looks_into_a_running_pod() {
    on_a_node(|node| async move {
        let env = env().await;
        let running = agent(&node, &env).await;
        let web = json!({"terminationGracePeriodSeconds": 1,
            "containers": [{"name": "web", "image": "host", "command": ["sleep", "4321"]}]});
        let pods = create(&env, "web", web).await;
        until(&pods, "web", is_ready).await;
        let sh = |name: &str, script: &str| json!({"name": name, "image": "host", "command": ["sh", "-c", script]});
        let mut joined = sh("joined", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; exit 5");
        joined["targetContainerName"] = json!("web");
        let mut lost = sh("lost", "true");
        lost["targetContainerName"] = json!("nobody");
        let alone = sh("alone", "hostname; cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
        let extras = serde_json::from_value(json!([alone, joined, lost])).unwrap();
        pods.modify("web", move |pod| {
            let extras: &Vec<_> = &extras;
            pod.spec.as_mut().unwrap().ephemeral_containers = Some(extras.clone());
        })
        .await
        .unwrap();
        let ended = |pod: &Pod, name: &str| Some(extra(pod, name)?.state.clone()?.terminated?.exit_code);
        let pod = until(&pods, "web", |pod| ended(pod, "alone").is_some() && ended(pod, "joined").is_some()).await;
        assert_eq!((ended(&pod, "alone"), ended(&pod, "joined")), (Some(0), Some(5)));
        assert!(is_ready(&pod), "it counts for nothing");
        let alone = logs(&running.service, "/containerLogs/default/web/alone").await;
        assert!(alone.starts_with("web\n") && !alone.contains("4321"), "{alone}");
        let joined = logs(&running.service, "/containerLogs/default/web/joined").await;
        assert!(joined.contains("sleep 4321"), "{joined}");
        let waits = |pod: &Pod| Some(extra(pod, "lost")?.state.clone()?.waiting?.message.unwrap_or_default());
        let pod = until(&pods, "web", |pod| waits(pod).is_some_and(|text| !text.is_empty())).await;
        assert_eq!(waits(&pod).unwrap(), "unable to find target container \"nobody\"");
        running.stop.cancel();
        running.task.await.unwrap();
    });
}

/// A pod that waits for `open` in a directory of the node before it runs `then` (`$$` stands for one `$`, as in any pod).
fn gated(gate: &Path, then: &str, more: &Value) -> Value {
    let script = format!("while [ ! -e {}/open ]; do sleep 0.05; done; {then}", gate.display());
    let mut container = json!({"name": "c", "image": "host", "command": ["sh", "-c", script],
        "volumeMounts": [{"name": "gate", "mountPath": gate}]});
    for (key, value) in more.as_object().unwrap() {
        container[key] = value.clone();
    }
    json!({"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container],
        "volumes": [{"name": "gate", "hostPath": {"path": gate}}]})
}

fn only_entry(dir: &Path, beginning: &str) -> Option<PathBuf> {
    let mut all = std::fs::read_dir(dir).ok()?.flatten();
    all.find(|entry| entry.file_name().to_string_lossy().starts_with(beginning)).map(|entry| entry.path())
}

/// What the kernel would be told and what it would tell, with a plain directory in its place: not every machine that
/// runs the tests has a cgroup v2 hierarchy to itself.
#[test]
fn limits_are_written_and_running_out_of_memory_is_told() {
    on_a_node(|node| async move {
        let env = env().await;
        let (cgroups, gate) = (node.dir.path().join("cgroup"), node.dir.path().join("gate"));
        std::fs::create_dir_all(&cgroups).unwrap();
        std::fs::create_dir_all(&gate).unwrap();
        let mut config = node.config();
        config.limits = Limits::Cgroups(cgroups.join("orc/n1"));
        let running = agent_with(&node, &env, config.clone(), |config| config.pod_pids_limit = Some(99)).await;
        let limits = json!({"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "1500m", "memory": "64Mi"}}});
        let pods = create(&env, "greedy", gated(&gate, "kill -9 $$$$", &limits)).await;
        let pod = until(&pods, "greedy", is_ready).await;
        let pod_dir = cgroups.join(format!("orc/n1/burstable/pod{}", pod.metadata.uid.as_ref().unwrap()));
        let dir = only_entry(&pod_dir, pod.metadata.uid.as_ref().unwrap()).unwrap();
        let read = |dir: &Path, file: &str| std::fs::read_to_string(dir.join(file)).unwrap();
        for (of, file, value) in [
            (&dir, "cpu.max", "150000 100000"),
            (&dir, "cpu.weight", "100"),
            (&dir, "memory.max", "67108864"),
            (&dir, "memory.oom.group", "1"),
            (&dir, "cgroup.procs", "0"),
            (&pod_dir, "memory.max", "67108864"),
            (&pod_dir, "pids.max", "99"),
            (&cgroups.join("orc/n1/burstable"), "cpu.weight", "100"),
        ] {
            assert_eq!(read(of, file), value, "{file} of {}", of.display());
        }
        let runtime = orc_runtime::process::ProcessRuntime::new(config).await.unwrap();
        let id = runtime.list_containers(None).await.unwrap()[0].id.clone();
        let half = ContainerResources { cpu_limit_millis: Some(500), ..Default::default() };
        runtime.update(&id, &half).await.unwrap();
        assert_eq!((read(&dir, "cpu.max"), read(&dir, "memory.max")), ("50000 100000".to_owned(), "max".to_owned()));
        std::fs::write(dir.join("memory.events"), "low 0\noom 1\noom_kill 1\n").unwrap();
        std::fs::write(gate.join("open"), "").unwrap();
        let pod = until(&pods, "greedy", |pod| phase(pod) == "Failed").await;
        let status = pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0].clone();
        let end = status.state.unwrap().terminated.unwrap();
        assert_eq!((end.reason.as_deref(), end.exit_code), (Some("OOMKilled"), 137));
        running.stop.cancel();
        running.task.await.unwrap();
    });
}

#[test]
fn a_log_that_grows_is_rotated_and_a_follower_loses_nothing() {
    on_a_node(|node| async move {
        let env = env().await;
        let running = agent_with(&node, &env, node.config(), |config| {
            config.log_max_bytes = 2_000;
            config.log_max_files = 3;
            config.log_check_interval = Duration::from_millis(300);
        })
        .await;
        let script = "i=0; while :; do i=$((i+1)); echo line-$i; sleep 0.005; done";
        let chatty = json!({"terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": "host", "command": ["sh", "-c", script]}]});
        let pods = create(&env, "chatty", chatty).await;
        until(&pods, "chatty", is_ready).await;
        let runtime = node.runtime().await;
        let container = runtime.list_containers(None).await.unwrap()[0].clone();
        let follow = LogOptions { follow: true, ..LogOptions::default() };
        let mut chunks = runtime.logs(&container.id, &follow).await.unwrap();
        let dir = container.log_path.clone().unwrap().parent().unwrap().to_owned();
        let (mut text, mut packed) = (String::new(), false);
        while !packed || text.lines().count() < 300 {
            let chunk = tokio::time::timeout(Duration::from_secs(30), chunks.next()).await.expect("the log goes on");
            text.push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
            let names: Vec<PathBuf> = std::fs::read_dir(&dir).unwrap().flatten().map(|entry| entry.path()).collect();
            packed |= names.iter().any(|name| name.extension().is_some_and(|end| end == "gz"));
            // One more while a part is being packed.
            assert!(names.len() <= 4, "{names:?}");
        }
        let numbers: Vec<u32> = text.lines().map(|line| line.strip_prefix("line-").unwrap().parse().unwrap()).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
        running.stop.cancel();
        running.task.await.unwrap();
    });
}

#[test]
fn critical_pods_end_after_the_others() {
    on_a_node(|node| async move {
        let env = env().await;
        let running = agent(&node, &env).await;
        let out = node.dir.path().join("out");
        std::fs::create_dir(&out).unwrap();
        let pod = |name: &str, wait: &str, priority: i32| {
            let file = out.join("order");
            let script = format!(
                "trap 'sleep {wait}; echo {name} >> {}; exit 0' TERM; touch {}/{name}; while :; do sleep 0.05; done",
                file.display(),
                out.display()
            );
            json!({"priority": priority, "terminationGracePeriodSeconds": 1,
                "containers": [{"name": "c", "image": "host", "command": ["sh", "-c", script],
                    "volumeMounts": [{"name": "out", "mountPath": out}]}],
                "volumes": [{"name": "out", "hostPath": {"path": out}}]})
        };
        create(&env, "critical", pod("critical", "0", 2_000_001_000)).await;
        let pods = create(&env, "ordinary", pod("ordinary", "0.5", 0)).await;
        for name in ["critical", "ordinary"] {
            until(&pods, name, is_ready).await;
            eventually("its trap is set", || async { out.join(name).exists().then_some(()) }).await;
        }
        running.stop.cancel();
        running.task.await.unwrap();
        let runtime: Arc<dyn RuntimeService> = Arc::new(node.runtime().await);
        assert_eq!(stop_pods(&runtime, Duration::from_secs(10)).await.unwrap(), 2);
        assert_eq!(std::fs::read_to_string(out.join("order")).unwrap(), "ordinary\ncritical\n");
    });
}

#[test]
fn a_claim_leads_to_its_directory_once_it_is_bound() {
    on_a_node(|node| async move {
        let env = env().await;
        let running = agent(&node, &env).await;
        let data = node.dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let script = "echo kept > /data/file; echo no > /read/file; echo sub > /sub/file";
        let spec = json!({"restartPolicy": "Never",
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "claim"}},
                        {"name": "read", "persistentVolumeClaim": {"claimName": "claim", "readOnly": true}}],
            "containers": [{"name": "c", "image": "host", "command": ["sh", "-c", script], "volumeMounts": [
                {"name": "data", "mountPath": "/data"}, {"name": "read", "mountPath": "/read"},
                {"name": "data", "mountPath": "/sub", "subPath": "made/here"}]}]});
        let pods = create(&env, "keeper", spec).await;
        let events: Api<Event> = Api::namespaced(env.client.clone(), "default");
        let told = async |wanted: &str| {
            let list = events.list(&ListOptions::default()).await.unwrap();
            let mut mounts = list.items.iter().filter(|event| event.reason.as_deref() == Some("FailedMount"));
            mounts.any(|event| event.message.as_deref().unwrap_or_default().ends_with(wanted)).then_some(())
        };
        let absent = "failed to fetch PVC from API server: persistentvolumeclaims \"claim\" not found";
        eventually("the claim is missed", || told(absent)).await;
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(env.client.clone(), "default");
        let claim = json!({"metadata": {"name": "claim", "namespace": "default"}, "spec": {}});
        let claim = claims.create(&serde_json::from_value(claim).unwrap()).await.unwrap();
        eventually("it is waited for", || told("error processing PVC default/claim: PVC is not bound")).await;
        let volumes: Api<PersistentVolume> = Api::all(env.client.clone());
        let volume = json!({"metadata": {"name": "pv"},
            "spec": {"local": {"path": data}, "claimRef": {"name": "claim", "uid": claim.metadata.uid}}});
        volumes.create(&serde_json::from_value(volume).unwrap()).await.unwrap();
        claims
            .modify("claim", |claim| claim.spec.get_or_insert_default().volume_name = Some("pv".into()))
            .await
            .unwrap();
        let bound =
            |claim: &mut PersistentVolumeClaim| claim.status.get_or_insert_default().phase = Some("Bound".into());
        claims.modify_status("claim", bound).await.unwrap();
        until(&pods, "keeper", |pod| phase(pod) == "Succeeded").await;
        let read = |file: &str| std::fs::read_to_string(data.join(file)).unwrap();
        assert_eq!((read("file"), read("made/here/file")), ("kept\n".to_owned(), "sub\n".to_owned()));
        running.stop.cancel();
        running.task.await.unwrap();
    });
}

/// The limits are files again, of a plain directory.
#[test]
fn a_running_pod_is_resized_in_place() {
    on_a_node(|node| async move {
        let env = env().await;
        let (cgroups, gate) = (node.dir.path().join("cgroup"), node.dir.path().join("gate"));
        std::fs::create_dir_all(&cgroups).unwrap();
        std::fs::create_dir_all(&gate).unwrap();
        let mut config = node.config();
        config.limits = Limits::Cgroups(cgroups.join("orc/n1"));
        let running = agent_with(&node, &env, config, |config| {
            config.capacity = [("cpu".to_owned(), "4".to_owned()), ("memory".to_owned(), "4Gi".to_owned())].into();
        })
        .await;
        let sizes = |cpu: &str| json!({"requests": {"cpu": cpu}, "limits": {"cpu": cpu, "memory": "64Mi"}});
        let pods = create(&env, "small", gated(&gate, "true", &json!({"resources": sizes("1")}))).await;
        create(&env, "other", gated(&gate, "true", &json!({"resources": sizes("2")}))).await;
        let before = until(&pods, "small", is_ready).await;
        until(&pods, "other", is_ready).await;
        let pod_dir = cgroups.join(format!("orc/n1/pod{}", before.metadata.uid.as_ref().unwrap()));
        let dir = only_entry(&pod_dir, before.metadata.uid.as_ref().unwrap()).unwrap();
        let quota = |dir: &Path| std::fs::read_to_string(dir.join("cpu.max")).unwrap();
        assert_eq!((quota(&dir).as_str(), quota(&pod_dir).as_str()), ("100000 100000", "100000 100000"));
        let ask = |cpu: &'static str| {
            let pods = pods.clone();
            async move {
                let resources = serde_json::from_value(sizes(cpu)).unwrap();
                let change =
                    |pod: &mut Pod| pod.spec.as_mut().unwrap().containers[0].resources = Some(Clone::clone(&resources));
                pods.modify("small", change).await.unwrap();
            }
        };
        let reason = |pod: &Pod| {
            let mut all = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            all.find(|one| one.type_.starts_with("PodResize")).and_then(|one| one.reason.clone())
        };
        let has = |pod: &Pod| {
            let status = pod.status.as_ref()?.container_statuses.as_ref()?.first()?.clone();
            Some((status.resources?.limits?.get("cpu")?.0.clone(), status.restart_count, status.container_id?))
        };
        let id = has(&before).unwrap().2;
        ask("2").await;
        until(&pods, "small", |pod| has(pod) == Some(("2".to_owned(), 0, id.clone())) && reason(pod).is_none()).await;
        assert_eq!((quota(&dir).as_str(), quota(&pod_dir).as_str()), ("200000 100000", "200000 100000"));
        ask("5").await;
        until(&pods, "small", |pod| reason(pod).as_deref() == Some("Infeasible")).await;
        ask("3").await;
        let waits = until(&pods, "small", |pod| reason(pod).as_deref() == Some("Deferred")).await;
        assert_eq!(has(&waits).unwrap().0, "2", "it keeps what it has");
        // Room comes when the other pod goes.
        pods.delete("other", DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() }).await.unwrap();
        until(&pods, "small", |pod| has(pod) == Some(("3".to_owned(), 0, id.clone())) && reason(pod).is_none()).await;
        assert_eq!((quota(&dir).as_str(), quota(&pod_dir).as_str()), ("300000 100000", "300000 100000"));
        running.stop.cancel();
        running.task.await.unwrap();
    });
}
