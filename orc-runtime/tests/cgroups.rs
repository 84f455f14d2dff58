//! Limits as the kernel keeps them, over a real cgroup v2 hierarchy. Where there is none each test says that it is skipped, and
//! why; `tools/vm` runs them in a virtual machine that has one.

#[path = "support/cluster.rs"]
mod cluster;
mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cluster::*;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use orc_runtime::process::Limits;
use orc_store::Api;
use orc_store::client::DeleteOptions;
use serde_json::{Value, json};
use support::*;

fn before_main() {}

/// A node with limits, and the directory of its pods. A test without a hierarchy of its own has nothing to look at.
fn with_limits<F: Future<Output = ()>>(test: impl FnOnce(Arc<Node>, PathBuf) -> F) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    if let Limits::Unenforced { reason } = Limits::detect(Path::new("/probe")) {
        eprintln!("skipped: {name}: {reason}");
        return;
    }
    on_a_node(|node| async move {
        let Limits::Cgroups(base) = node.config().limits else { panic!("limits went away") };
        test(node, base.clone()).await;
        for dir in [base.join("burstable"), base.join("besteffort"), base] {
            if dir.exists() {
                std::fs::remove_dir(&dir).unwrap_or_else(|error| panic!("{} stays: {error}", dir.display()));
            }
        }
    });
}

fn read(dir: &Path, file: &str) -> String {
    std::fs::read_to_string(dir.join(file)).unwrap_or_else(|error| panic!("{}/{file}: {error}", dir.display()))
}

/// A number of a file with a name and a number in each line.
fn count(dir: &Path, file: &str, name: &str) -> u64 {
    let text = read(dir, file);
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{file} has no {name}: {text}")).parse().unwrap()
}

/// The directories of all pods: those of each class.
fn pod_dirs(base: &Path) -> Vec<PathBuf> {
    let classes = [base.to_owned(), base.join("burstable"), base.join("besteffort")];
    let all = classes.iter().filter_map(|class| std::fs::read_dir(class).ok()).flatten().flatten();
    let pods = all.filter(|entry| entry.file_name().to_string_lossy().starts_with("pod"));
    pods.map(|entry| entry.path()).collect()
}

fn pod_dir(base: &Path, pod: &Pod) -> PathBuf {
    let wanted = format!("pod{}", pod.metadata.uid.as_ref().unwrap());
    pod_dirs(base).into_iter().find(|dir| dir.ends_with(&wanted)).unwrap()
}

/// The directory of the container of this name.
fn container_dir(pod: &Path, name: &str) -> PathBuf {
    let mut all = std::fs::read_dir(pod).unwrap().flatten().filter(|entry| entry.path().is_dir());
    let ours = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().contains(&format!("-{name}-"));
    all.find(ours).unwrap_or_else(|| panic!("{} has no container {name}", pod.display())).path()
}

fn sh(name: &str, script: &str, resources: Value) -> Value {
    json!({"name": name, "image": "host", "command": ["sh", "-c", script], "resources": resources})
}

fn spec(containers: &[Value]) -> Value {
    json!({"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": containers})
}

fn end_of(pod: &Pod, name: &str) -> Option<ContainerStateTerminated> {
    let mut all = pod.status.as_ref()?.container_statuses.iter().flatten();
    all.find(|status| status.name == name)?.state.clone()?.terminated
}

async fn gone(pods: &Api<Pod>, base: &Path) {
    let now = DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() };
    for pod in pods.list(&Default::default()).await.unwrap().items {
        pods.delete(pod.metadata.name.as_ref().unwrap(), now.clone()).await.unwrap();
    }
    eventually("no pod has a cgroup", || async { pod_dirs(base).is_empty().then_some(()) }).await;
}

/// More data each turn, until the kernel says stop. One program alone: a shell without a pipe.
const EAT: &str = "x=0123456789abcdef; while :; do x=$x$x; done";

#[test]
fn a_containers_limits_are_written_and_hold() {
    with_limits(|node, base| async move {
        let env = env().await;
        let running = agent_with(&node, &env, node.config(), |config| config.pod_pids_limit = Some(24)).await;
        let sizes = json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "200m", "memory": "64Mi"}});
        let mut busy = sh("busy", "while :; do :; done", sizes);
        // What is executed later is limited too.
        busy["readinessProbe"] =
            json!({"exec": {"command": ["grep", "-q", "/burstable/pod", "/proc/self/cgroup"]}, "periodSeconds": 1});
        let pods = create(&env, "busy", spec(&[busy])).await;
        let pod = until(&pods, "busy", is_ready).await;
        let whole = pod_dir(&base, &pod);
        let own = container_dir(&whole, "busy");
        for (dir, file, value) in [
            (&own, "cpu.max", "20000 100000\n"),
            (&own, "cpu.weight", "17\n"),
            (&own, "memory.max", "67108864\n"),
            (&own, "memory.oom.group", "1\n"),
            (&whole, "cpu.max", "20000 100000\n"),
            (&whole, "memory.max", "67108864\n"),
            (&whole, "pids.max", "24\n"),
            (&base.join("burstable"), "cpu.weight", "17\n"),
        ] {
            assert_eq!(read(dir, file), value, "{file} of {}", dir.display());
        }
        assert!(read(&own, "cgroup.procs").lines().count() >= 2, "the init and its program");
        // The kernel takes the CPU away in at least ten of its periods, and gives no more than the quota in any of them.
        eventually("it is throttled", || async { (count(&own, "cpu.stat", "nr_throttled") >= 10).then_some(()) }).await;
        let (periods, used) = (count(&own, "cpu.stat", "nr_periods"), count(&own, "cpu.stat", "usage_usec"));
        assert!(used <= (periods + 2) * 25_000, "{used} microseconds in {periods} periods of 20000 each");
        // A pod that makes processes without end.
        let bomb = sh("bomb", "sh -c 'for i in $(seq 60); do sleep 600 & done; wait'; exec sleep 600", json!({}));
        let pods = create(&env, "bomb", spec(&[bomb])).await;
        let pod = eventually("the pod has its cgroup", || async {
            let pod = pods.get("bomb").await.unwrap();
            (phase(&pod) == "Running").then_some(pod)
        })
        .await;
        let whole = pod_dir(&base, &pod);
        let own = container_dir(&whole, "bomb");
        // Before 6.11 the kernel counts where the process is, not where the limit stands.
        eventually("the limit of processes is met", || async {
            (count(&own, "pids.events", "max") + count(&whole, "pids.events", "max") > 0).then_some(())
        })
        .await;
        assert!(read(&whole, "pids.current").trim().parse::<u64>().unwrap() <= 24);
        gone(&pods, &base).await;
        running.stop.cancel();
        running.task.await.unwrap();
    });
}

#[test]
fn requests_divide_the_cpu_that_two_pods_want() {
    with_limits(|node, base| async move {
        let env = env().await;
        let running = agent(&node, &env).await;
        // As many loops as the machine has CPUs in each pod, so that they must share each of them.
        let cpus = std::thread::available_parallelism().unwrap().get();
        let script = "while :; do :; done & ".repeat(cpus) + "wait";
        let asks = |cpu: &str| json!({"requests": {"cpu": cpu}});
        create(&env, "small", spec(&[sh("c", &script, asks("20m"))])).await;
        let pods = create(&env, "large", spec(&[sh("c", &script, asks("400m"))])).await;
        let small = pod_dir(&base, &*until(&pods, "small", is_ready).await);
        let large = pod_dir(&base, &*until(&pods, "large", is_ready).await);
        let used = || [&small, &large].map(|dir| count(dir, "cpu.stat", "usage_usec"));
        let before = used();
        let after = eventually("the large one has used three seconds", || async {
            let now = used();
            (now[1] - before[1] > 3_000_000).then_some(now)
        })
        .await;
        // Weights of 5 and 48; half of that leaves room for a busy machine.
        let (small, large) = (after[0] - before[0], after[1] - before[1]);
        assert!(large > small * 4, "{small} and {large} microseconds");
        gone(&pods, &base).await;
        running.stop.cancel();
        running.task.await.unwrap();
    });
}

#[test]
fn a_container_that_eats_memory_is_oom_killed() {
    with_limits(|node, base| async move {
        let env = env().await;
        let running = agent(&node, &env).await;
        let little = || json!({"limits": {"memory": "24Mi"}});
        let keeps = sh("keeps", "exec sleep 600", little());
        let pods = create(&env, "greedy", spec(&[sh("eats", EAT, little()), keeps])).await;
        let pod = until(&pods, "greedy", |pod| end_of(pod, "eats").is_some()).await;
        let end = end_of(&pod, "eats").unwrap();
        assert_eq!((end.reason.as_deref(), end.exit_code), (Some("OOMKilled"), 137));
        assert!(end_of(&pod, "keeps").is_none(), "the other container goes on");
        // A child that eats takes its whole container along, and the next run is told what the last one died of.
        let mut again = spec(&[sh("eats", &format!("({EAT}) & wait; sleep 600"), little())]);
        again["restartPolicy"] = json!("Always");
        create(&env, "again", again).await;
        let last = |pod: &Pod| {
            let status = pod.status.as_ref()?.container_statuses.as_ref()?.first()?.clone();
            Some((status.restart_count, status.last_state?.terminated?.reason?))
        };
        let pod = until(&pods, "again", |pod| last(pod).is_some_and(|(restarts, _)| restarts > 0)).await;
        assert_eq!(last(&pod).unwrap().1, "OOMKilled");
        // Memory that is a volume counts: what is written there is the container's.
        let mut disk = sh("fills", "head -c 64000000 /dev/zero > /m/file; exit 0", little());
        disk["volumeMounts"] = json!([{"name": "m", "mountPath": "/m"}]);
        let mut filled = spec(&[disk]);
        filled["volumes"] = json!([{"name": "m", "emptyDir": {"medium": "Memory"}}]);
        create(&env, "filled", filled).await;
        let pod = until(&pods, "filled", |pod| end_of(pod, "fills").is_some()).await;
        assert_eq!(end_of(&pod, "fills").unwrap().reason.as_deref(), Some("OOMKilled"));
        gone(&pods, &base).await;
        running.stop.cancel();
        running.task.await.unwrap();
    });
}

#[test]
fn a_resize_changes_the_cgroup_that_runs() {
    with_limits(|node, base| async move {
        let env = env().await;
        let capacity: BTreeMap<_, _> = [("cpu", "4"), ("memory", "4Gi")].map(|(k, v)| (k.into(), v.into())).into();
        let running = agent_with(&node, &env, node.config(), |config| config.capacity = capacity).await;
        let sizes = |cpu: &str, memory: &str| json!({"limits": {"cpu": cpu, "memory": memory}});
        // About 16 MiB of its own, held for good.
        let hold =
            "x=0123456789abcdef; i=0; while [ $i -lt 20 ]; do x=$x$x; i=$((i+1)); done; while :; do sleep 1; done";
        let pods = create(&env, "web", spec(&[sh("c", hold, sizes("500m", "128Mi"))])).await;
        let pod = until(&pods, "web", is_ready).await;
        let whole = pod_dir(&base, &pod);
        let own = container_dir(&whole, "c");
        let now = || [&own, &whole].map(|dir| (read(dir, "cpu.max"), read(dir, "memory.max")));
        assert_eq!(now(), [(); 2].map(|()| ("50000 100000\n".to_owned(), "134217728\n".to_owned())));
        let procs = read(&own, "cgroup.procs");
        eventually("it holds its memory", || async { (count(&own, "memory.stat", "anon") > 15 << 20).then_some(()) })
            .await;
        let ask = async |cpu: &str, memory: &str| {
            let wanted: k8s_openapi::api::core::v1::ResourceRequirements = serde_json::from_value(
                json!({"limits": {"cpu": cpu, "memory": memory}, "requests": {"cpu": cpu, "memory": memory}}),
            )
            .unwrap();
            let change = |pod: &mut Pod| pod.spec.as_mut().unwrap().containers[0].resources = Some(wanted.clone());
            pods.modify("web", change).await.unwrap();
        };
        ask("1500m", "256Mi").await;
        eventually("both have grown", || async {
            (now() == [(); 2].map(|()| ("150000 100000\n".to_owned(), "268435456\n".to_owned()))).then_some(())
        })
        .await;
        ask("250m", "64Mi").await;
        eventually("both have shrunk", || async {
            (now() == [(); 2].map(|()| ("25000 100000\n".to_owned(), "67108864\n".to_owned()))).then_some(())
        })
        .await;
        // Less than it holds is refused, and nothing is killed for it.
        ask("250m", "4Mi").await;
        let error = |pod: &Pod| {
            let mut all = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            all.find(|one| one.type_ == "PodResizeInProgress").and_then(|one| one.reason.clone())
        };
        until(&pods, "web", |pod| error(pod).as_deref() == Some("Error")).await;
        assert_eq!(now().map(|(_, memory)| memory), ["67108864\n", "67108864\n"]);
        let running_still = read(&own, "cgroup.procs");
        assert_eq!(procs.lines().next(), running_still.lines().next(), "the same processes");
        assert_eq!(count(&own, "memory.events", "oom_kill"), 0);
        gone(&pods, &base).await;
        running.stop.cancel();
        running.task.await.unwrap();
    });
}

#[test]
fn nothing_of_an_ended_pod_stays() {
    with_limits(|node, base| async move {
        let env = env().await;
        let running = agent(&node, &env).await;
        let sizes = || json!({"limits": {"cpu": "1", "memory": "64Mi"}});
        // A process that left its parent and hears no signal; a pod among the host's processes; one that ends by itself; one that is evicted.
        let stray =
            "(trap '' TERM HUP; setsid sh -c \"trap '' TERM; sleep 700\" & ); trap '' TERM; while :; do sleep 1; done";
        create(&env, "stray", spec(&[sh("c", stray, sizes())])).await;
        let mut host = spec(&[sh("c", stray, json!({}))]);
        host["hostPID"] = json!(true);
        create(&env, "host", host).await;
        create(&env, "short", spec(&[sh("c", "true", json!({"requests": {"cpu": "1m"}}))])).await;
        let mut full = sh("c", "head -c 4000000 /dev/zero > /v/file; exec sleep 700", json!({}));
        full["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
        let mut evicted = spec(&[full]);
        evicted["volumes"] = json!([{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]);
        let pods = create(&env, "evicted", evicted).await;
        for name in ["stray", "host"] {
            until(&pods, name, is_ready).await;
        }
        until(&pods, "short", |pod| phase(pod) == "Succeeded").await;
        until(&pods, "evicted", |pod| pod.status.as_ref().is_some_and(|s| s.reason.as_deref() == Some("Evicted")))
            .await;
        eventually("only what runs has a cgroup", || async { (pod_dirs(&base).len() == 2).then_some(()) }).await;
        gone(&pods, &base).await;
        running.stop.cancel();
        running.task.await.unwrap();
    });
}
