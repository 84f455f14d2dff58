//! What operators look at: metrics, health and `orc status` of a real cluster.

mod support;

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use support::{As, Cluster, text};

fn orc(cluster: &Cluster, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orc"));
    command.args(args).env("KUBECONFIG", cluster.kubeconfig()).current_dir(cluster.folder.path()).output().unwrap()
}

/// The sum of the samples of a family with these labels.
fn value(metrics: &str, name: &str, labels: &[&str]) -> f64 {
    let of = |line: &&str| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && labels.iter().all(|label| line.contains(label))
    };
    let samples: Vec<f64> =
        metrics.lines().filter(of).filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
    assert!(!samples.is_empty(), "{name} {labels:?} is not in\n{metrics}");
    samples.iter().sum()
}

#[test]
fn a_cluster_shows_how_it_does() {
    let cluster = Cluster::up(As::Me, &["--nodes", "0", "--sim-nodes", "20"]);
    let log = cluster.log();
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("WARN") && line.contains("lease")).collect();
    assert!(warnings.is_empty(), "a start is nothing to warn of: {warnings:?}");
    cluster.ok(&["create", "deployment", "web", "--image=x", "--replicas=5"]);
    let running = ["get", "pods", "--no-headers"];
    cluster.until(&running, "the pods run", |text| text.lines().filter(|line| line.contains("Running")).count() == 5);

    let metrics = cluster.ok(&["get", "--raw", "/metrics"]);
    assert!(
        value(&metrics, "apiserver_request_total", &["resource=\"deployments\"", "verb=\"POST\"", "code=\"201\""])
            >= 1.0
    );
    assert!(
        value(&metrics, "apiserver_request_duration_seconds_count", &["resource=\"pods\"", "verb=\"LIST\""]) >= 1.0
    );
    assert!(value(&metrics, "apiserver_storage_objects", &["resource=\"pods\""]) >= 5.0);
    assert!(value(&metrics, "apiserver_current_inflight_requests", &["readOnly"]) >= 1.0, "this one");
    assert!(
        value(&metrics, "etcd_request_duration_seconds_count", &["operation=\"create\"", "resource=\"pods\""]) >= 5.0
    );
    assert!(value(&metrics, "workqueue_adds_total", &["name=\"deployment-controller\""]) >= 1.0);
    assert!(value(&metrics, "workqueue_work_duration_seconds_count", &["name=\"replicaset-controller\""]) >= 1.0);
    assert!(value(&metrics, "scheduler_schedule_attempts_total", &["result=\"scheduled\""]) >= 5.0);
    assert!(value(&metrics, "apiserver_flowcontrol_dispatched_requests_total", &["priority_level=\"exempt\""]) >= 1.0);
    assert!(value(&metrics, "apiserver_flowcontrol_nominal_limit_seats", &["priority_level=\"workload-low\""]) >= 1.0);
    assert!((value(&metrics, "kubernetes_build_info", &["minor=\"36\"", "git_version=\"v1.36"]) - 1.0).abs() < 1e-9);
    assert!(value(&metrics, "process_resident_memory_bytes", &[]) > 1e7);

    let ready = cluster.ok(&["get", "--raw", "/readyz?verbose"]);
    for line in
        ["[+]ping ok", "[+]loops ok", "[+]store ok", "[+]informer-sync ok", "[+]shutdown ok", "readyz check passed"]
    {
        assert!(ready.contains(line), "{line} is not in\n{ready}");
    }
    assert_eq!(cluster.ok(&["get", "--raw", "/livez/loops"]), "ok");
    for path in ["/metrics", "/status"] {
        let refused = cluster.refused(&["get", "--raw", path, "--as=nobody"], "");
        assert!(refused.contains("Forbidden") && refused.contains(path), "{refused}");
    }

    let shown = text(&orc(&cluster, &["status"]).stdout);
    assert!(shown.contains("20 of 20 ready") && shown.contains("5 Running"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "no colours where there is no terminal");
    let status: Value = serde_json::from_slice(&orc(&cluster, &["status", "-o", "json"]).stdout).unwrap();
    let names: Vec<&str> = status["loops"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect();
    for name in ["deployment-controller", "job-controller", "scheduler"] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    assert!(status["store"]["bytes"].as_u64().unwrap() > 0 && status["store"]["revision"].as_u64().unwrap() > 10);
}

/// `orc api` alone, with its log.
struct Server {
    folder: tempfile::TempDir,
    process: Child,
}

impl Server {
    fn start(flags: &[&str]) -> Self {
        let folder = tempfile::TempDir::new_in("/tmp").unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let listen = support::free_address().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_orc"));
        command.args(["api", "--listen", &listen, "--data-dir"]).arg(folder.path().join("data")).args(flags);
        let mut process = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.starts_with("ready: ")), "it did not become ready");
        Self { folder, process }
    }

    fn kubectl(&self, args: &[&str]) -> Output {
        let mut command = Command::new("kubectl");
        command.args(args).env("KUBECONFIG", self.folder.path().join("data/kubeconfig"));
        command.env("HOME", self.folder.path()).output().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn log_lines_are_json_where_asked_and_hold_no_secrets() {
    let server = Server::start(&["--log-format", "json", "--log", "orc_api=debug"]);
    server.kubectl(&["get", "pods", "--as=somebody"]);
    server.kubectl(&["create", "secret", "generic", "x", "--from-literal=password=s3cret-in-body"]);
    server.kubectl(&["get", "--raw", "/version?hidden=s3cret-in-query"]);
    let log = std::fs::read_to_string(server.folder.path().join("log")).unwrap();
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    let answered: Vec<&Value> = lines.iter().filter(|line| line["message"] == "a request was answered").collect();
    assert!(answered.iter().any(|line| line["path"] == "/version" && line["code"] == 200), "{log}");
    assert!(answered.iter().any(|line| line["user"] == "somebody" && line["code"] == 403), "{log}");
    assert!(answered.iter().any(|line| line["method"] == "POST" && line["code"] == 201), "{log}");
    assert!(!log.contains("s3cret"), "{log}");
}
