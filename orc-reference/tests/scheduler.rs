//! The scheduler as a process of its own beside a real cluster, and what it says of its decisions.

mod support;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use support::{As, Cluster, text, wait_for};
use tempfile::TempDir;

const TOKEN: &str = "a-token-of-the-scheduler";

/// A cluster with simulated nodes, and a kubeconfig of `system:kube-scheduler`.
struct World {
    cluster: Cluster,
    kubeconfig: PathBuf,
    _folder: TempDir,
}

impl World {
    fn up(nodes: usize) -> Self {
        let folder = TempDir::new_in("/tmp").unwrap();
        let tokens = folder.path().join("tokens");
        std::fs::write(&tokens, format!("{TOKEN},system:kube-scheduler,1\n")).unwrap();
        let (nodes, tokens) = (nodes.to_string(), tokens.to_string_lossy().into_owned());
        let flags = ["--nodes", "0", "--sim-nodes", &nodes, "--token-auth-file", &tokens];
        let cluster = Cluster::up(As::Me, &flags);
        let admin = std::fs::read_to_string(cluster.kubeconfig()).unwrap();
        let line = admin
            .lines()
            .find_map(|line| line.trim().trim_start_matches("- ").strip_prefix("certificate-authority-data:"));
        let ca = line.expect(&admin).trim().trim_matches('"').to_owned();
        let kubeconfig = folder.path().join("kubeconfig");
        let file = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": cluster.url, "certificate-authority-data": ca}}],
            "users": [{"name": "c", "user": {"token": TOKEN}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        });
        std::fs::write(&kubeconfig, file.to_string()).unwrap();
        Self { cluster, kubeconfig, _folder: folder }
    }

    fn explain(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orc"));
        command.arg("explain-scheduling").args(args).env("KUBECONFIG", self.cluster.kubeconfig()).output().unwrap()
    }

    fn scheduled(&self, field: &str) -> Vec<Value> {
        let events = self.cluster.ok(&["get", "events", "-o", "json", "--field-selector", field]);
        let events: Value = serde_json::from_str(&events).unwrap();
        events["items"].as_array().unwrap().clone()
    }

    fn running(&self, count: usize) {
        let args = ["get", "pods", "--no-headers", "--field-selector", "status.phase=Running"];
        self.cluster
            .until(&args, "the pods run", |text| text.lines().filter(|line| line.contains("Running")).count() == count);
    }
}

/// A scheduler in a process of its own. Killed when it is dropped.
struct Scheduler {
    process: Child,
    metrics: String,
}

impl Scheduler {
    fn start(kubeconfig: &Path, flags: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_orc"))
            .args(["scheduler", "--metrics-listen", "127.0.0.1:0", "--kubeconfig"])
            .arg(kubeconfig)
            .args(flags)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let line = lines.find(|line| line.contains("http://")).expect("it did not start");
        std::thread::spawn(move || lines.for_each(drop));
        let (_, address) = line.split_once("http://").unwrap();
        let metrics = address.trim_end_matches("/metrics").to_owned();
        Self { process, metrics }
    }

    fn page(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.metrics);
        let output = Command::new("curl").args(["-sS", "--max-time", "10", &url]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    }

    /// The sum of the attempts that ended so, and whether it schedules at all.
    fn attempts(&self, result: &str) -> u64 {
        attempts(&self.page("/metrics"), result)
    }

    fn stop(mut self) {
        Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().unwrap();
        let ended = wait_for("the scheduler ends", || self.process.try_wait().unwrap()).unwrap();
        assert!(ended.success(), "{ended}");
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn attempts(metrics: &str, result: &str) -> u64 {
    let of = |line: &&str| {
        line.starts_with("scheduler_schedule_attempts_total{") && line.contains(&format!("result=\"{result}\""))
    };
    let samples = metrics.lines().filter(of).filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    samples.sum()
}

fn pod(name: &str, scheduler: &str, cpu: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "schedulerName": scheduler, "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": "x", "resources": {"requests": {"cpu": cpu}}}],
        },
    })
}

fn list(pods: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": pods}).to_string()
}

#[test]
fn schedulers_of_two_names_bind_their_own_pods() {
    let world = World::up(2);
    let own = Scheduler::start(&world.kubeconfig, &["--scheduler-name", "own"]);
    let pods: Vec<Value> = (0..10)
        .map(|number| pod(&format!("p-{number}"), if number % 2 == 0 { "own" } else { "default-scheduler" }, "100m"))
        .collect();
    world.cluster.ok_with(&["create", "-f", "-"], &list(&pods));
    world.running(10);
    for pod in &pods {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let told = wait_for("the event", || {
            Some(world.scheduled(&format!("reason=Scheduled,involvedObject.name={name}")))
                .filter(|told| !told.is_empty())
        });
        let told = told.unwrap();
        assert_eq!((told.len(), &told[0]["source"]["component"]), (1, &pod["spec"]["schedulerName"]), "{name}");
    }
    assert_eq!((own.attempts("scheduled"), own.attempts("error")), (5, 0));
    assert_eq!(own.page("/healthz"), "ok");
    let page = own.page("/metrics");
    for name in [
        "scheduler_pending_pods{queue=\"active\"} 0",
        "scheduler_pod_scheduling_sli_duration_seconds_count{attempts=\"1\"} 5",
        "scheduler_scheduling_algorithm_duration_seconds_count 5",
        "scheduler_queue_incoming_pods_total{event=\"PodAdd\",queue=\"active\"} 5",
        "leader_election_master_status{name=\"kube-scheduler\"} 1",
    ] {
        assert!(page.lines().any(|line| line == name), "{name} is not in\n{page}");
    }
    let holder = ["get", "lease", "-n", "kube-system", "kube-scheduler", "-o", "jsonpath={.spec.holderIdentity}"];
    assert!(world.cluster.ok(&holder).contains('_'));
    own.stop();
    assert_eq!(world.cluster.ok(&holder), "", "a scheduler that stops gives the lease back");

    explains(&world);
    an_overcommitted_node_refuses(&world);
}

#[test]
fn schedulers_of_one_name_bind_each_pod_once() {
    const PODS: usize = 200;
    let world = World::up(4);
    let other = Scheduler::start(&world.kubeconfig, &["--leader-elect=false"]);
    // It has seen the cluster before there is anything to compete for.
    world.cluster.ok_with(&["create", "-f", "-"], &pod("first", "default-scheduler", "10m").to_string());
    world.running(1);
    world.cluster.ok(&["create", "deployment", "web", "--image=x", &format!("--replicas={PODS}")]);
    world.running(PODS + 1);
    let of_cluster = || attempts(&world.cluster.ok(&["get", "--raw", "/metrics"]), "scheduled");
    let bound = wait_for("all bindings are counted", || {
        let (a, b) = (of_cluster(), other.attempts("scheduled"));
        (a + b == PODS as u64 + 1).then_some((a, b))
    });
    let (a, b) = bound.unwrap_or_else(|| panic!("bound {} and {}", of_cluster(), other.attempts("scheduled")));
    assert!(a > 0 && b > 0, "both took part: {a} and {b}");
    assert!(other.page("/metrics").contains("scheduler_pending_pods{queue=\"backoff\"} 0"));
    let told = world.scheduled("reason=FailedScheduling");
    assert!(told.is_empty(), "losing against another scheduler is nothing to tell of: {told:?}");
    other.stop();
}

/// What `orc explain-scheduling` says of pods that wait, run, or are not there.
fn explains(world: &World) {
    world.cluster.ok_with(&["create", "-f", "-"], &pod("large", "default-scheduler", "100").to_string());
    let shown = text(&world.explain(&["large"]).stdout);
    assert!(shown.contains("goes nowhere: 0/2 nodes are available: 2 Insufficient cpu"), "{shown}");
    assert!(shown.contains("NodeResourcesFit") && !shown.contains('\u{1b}'), "{shown}");
    let output = world.explain(&["pod/p-1", "--unbound", "-o", "json", "--seed", "3"]);
    let data: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    assert_eq!((&data["pod"], &data["seed"]), (&json!("default/p-1"), &json!(3)));
    let totals: Vec<i64> = data["nodes"].as_array().unwrap().iter().filter_map(|node| node["total"].as_i64()).collect();
    assert_eq!(totals.len(), 2, "{data}");
    for (args, said) in [
        (&["p-1"][..], "is bound to the node"),
        (&["nobody"], "`orc get pods -A` lists all"),
        (&["large", "-n", "elsewhere"], "there is no pod \"large\" in the namespace \"elsewhere\""),
        (&["p-0", "--unbound"], "say with --config how it is configured"),
    ] {
        let output = world.explain(args);
        assert!(!output.status.success() && text(&output.stderr).contains(said), "{args:?}: {}", text(&output.stderr));
    }
}

/// A scheduler that did not know of another's pod binds one too many: the node has the last word.
fn an_overcommitted_node_refuses(world: &World) {
    let nodes = world.cluster.ok(&["get", "nodes", "-o", "name"]);
    let node = nodes.lines().next().unwrap().trim_start_matches("node/").to_owned();
    for name in ["one", "many"] {
        world.cluster.ok_with(&["create", "-f", "-"], &pod(name, "nobody", "20").to_string());
        let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"kind": "Node", "name": node}});
        let path = format!("/api/v1/namespaces/default/pods/{name}/binding");
        world.cluster.ok_with(&["create", "--raw", &path, "-f", "-"], &binding.to_string());
        let phase = if name == "one" { "Running" } else { "Failed" };
        world.cluster.until(&["get", "pod", name, "-o", "jsonpath={.status.phase}"], phase, |text| text == phase);
    }
    let why = world.cluster.ok(&["get", "pod", "many", "-o", "jsonpath={.status.reason}"]);
    assert_eq!(why, "OutOfcpu");
}
