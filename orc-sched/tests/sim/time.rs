//! Virtual time.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use orc_sched::sim::{Act, Grow, Simulation, Workload, files};
use orc_sched::{FactKind, NodeInfo, Profile};
use serde_json::{Value, json};

fn node(name: &str) -> Arc<NodeInfo> {
    let allocatable = [("cpu", 4000), ("memory", 8 << 30), ("pods", 110)].map(|(name, amount)| (name.into(), amount));
    Arc::new(NodeInfo { name: name.into(), allocatable: allocatable.into(), ..NodeInfo::default() })
}

fn pod(cpu: &str, priority: i32) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": format!("p{priority}-"), "namespace": "default"},
        "spec": {"priority": priority, "containers": [{"name": "a", "resources": {"requests": {"cpu": cpu}}}]},
    }))
    .unwrap()
}

#[test]
fn pods_wait_for_room_and_departures_make_it() {
    // Two fit at a time; each runs 10 s; all come at once.
    let workload = Workload::new().pods(0, 0, 6, &pod("2", 0), Some(10_000));
    let report = Simulation::new(vec![node("a")], workload).policy(Profile::default()).run();
    let run = &report.runs[0];
    assert_eq!((run.placed, run.unplaced), (6, 0));
    assert_eq!(run.delays, vec![0.0, 0.0, 10.0, 10.0, 20.0, 20.0]);
    assert_eq!(run.samples.last().unwrap().time, 30.0);
    assert!(run.samples.iter().filter(|sample| sample.time < 30.0).all(|sample| sample.cpu == 100.0));
}

#[test]
fn a_failed_node_gives_its_pods_back() {
    let workload = Workload::new()
        .pods(0, 0, 2, &pod("2", 0), None)
        .at(5_000, Act::NodeGone("a".into()))
        .at(65_000, Act::Node(node("a")));
    let run = &Simulation::new(vec![node("a")], workload).policy(Profile::default()).run().runs[0];
    assert_eq!((run.placed, run.restarted, run.unplaced), (4, 2, 0));
    assert_eq!(run.delay(1.0), 60.0);
    let nodes: Vec<usize> = run.samples.iter().map(|sample| sample.nodes).collect();
    assert_eq!(nodes, [1, 0, 1, 1]);
}

#[test]
fn higher_priorities_take_room_and_victims_wait_again() {
    let workload = Workload::new().pods(0, 0, 2, &pod("2", 0), None).pods(1_000, 0, 1, &pod("3", 10), Some(60_000));
    let run = &Simulation::new(vec![node("a")], workload).policy(Profile::default()).run().runs[0];
    assert_eq!(run.preemptions, (1, 2));
    assert_eq!((run.placed, run.unplaced), (5, 0), "two, the preemptor, and the two again");
    assert_eq!(run.delay(1.0), 60.0);
}

#[test]
fn an_autoscaler_adds_nodes_and_takes_them_away() {
    let workload = Workload::new().pods(0, 0, 8, &pod("2", 0), Some(100_000));
    let simulation = Simulation::new(vec![node("a")], workload)
        .policy(Profile::default())
        .autoscaler(|| Grow::new(NodeInfo::clone(&node("b")), 10));
    let run = &simulation.run().runs[0];
    assert_eq!((run.placed, run.unplaced), (8, 0));
    assert_eq!(run.samples.iter().map(|sample| sample.nodes).max(), Some(4), "three more for six waiting pods");
    assert_eq!(run.samples.last().unwrap().nodes, 1, "idle nodes went");
    assert_eq!(run.delay(1.0), 60.0, "a node takes a minute to come");
}

#[test]
fn failures_and_reports_follow_the_seed() {
    let make = |seed| {
        let workload = Workload::new().pods(0, 500, 200, &pod("1500m", 0), Some(20_000));
        let nodes = (0..5).map(|number| node(&format!("n{number}"))).collect();
        let simulation = Simulation::new(nodes, workload).failures(10_000, 5_000).seed(seed);
        let report = simulation.policy(Profile::default()).policy(Profile::empty("Any")).run();
        assert!(report.runs.iter().all(|run| run.restarted > 0));
        (report.csv(), report.json().to_string(), orc_sched::sim::chart::svg(&report.charts()))
    };
    assert_eq!(make(1), make(1));
    assert_ne!(make(1).0, make(2).0);
}

fn file(test: &str, value: &Value) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("orc-test-sim-{test}-{}.json", std::process::id()));
    std::fs::write(&path, value.to_string()).unwrap();
    path
}

#[test]
fn pods_are_made_in_sets_and_deleted_by_label() {
    let template =
        |app: &str| json!({"metadata": {"generateName": "p-", "labels": {"app": app}}, "spec": pod("1", 0).spec});
    let path = file(
        "sets",
        &json!({"ops": [
            {"op": "createNodes", "count": 1, "node": {"status": {"capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"}}}},
            {"op": "createPodSets", "count": 2, "namespacePrefix": "s", "createPodsOp":
                {"op": "createPods", "count": 2, "pod": template("a")}},
            {"op": "createPods", "count": 3, "namespace": "s-1", "pod": template("b")},
            {"op": "deletePods", "namespace": "s-1", "labelSelector": {"app": "a"}, "deletePodsPerSecond": 10},
            {"op": "deletePods", "namespace": "s-1", "labelSelector": {"app": "a"}},
            {"op": "deletePods", "namespace": "s-0"},
        ]}),
    );
    let recorded = files::workload(&path).unwrap();
    assert_eq!(recorded.workload.end(), 7 + 200, "7 pods a millisecond apart, and two of them deleted");
    let run = &Simulation::new(recorded.nodes, recorded.workload).policy(Profile::default()).run().runs[0];
    assert_eq!((run.placed, run.unplaced), (7, 0), "there is room for four at a time");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn the_workload_of_services_runs() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../benches/workloads");
    let recorded =
        files::workload(&std::path::Path::new(folder).join("DeploymentsBehindServices-5000Nodes-10000Pods.json"))
            .unwrap();
    let services = |(_, act): &(u64, Act)| matches!(act, Act::Fact(key, _) if key.kind == FactKind::Service);
    assert_eq!(recorded.workload.acts().filter(|act| services(act)).count(), 3);
    let run = &Simulation::new(recorded.nodes, recorded.workload).policy(Profile::default()).run().runs[0];
    assert_eq!((run.placed, run.unplaced), (15_000, 0));
}

#[test]
fn workload_files_run() {
    let template = |cpu: &str| json!({"metadata": {"generateName": "p-"}, "spec": pod(cpu, 0).spec});
    let path = file(
        "workload",
        &json!({"ops": [
            {"op": "createNodes", "count": 3, "node": {"metadata": {"generateName": "n-"},
                "status": {"capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"}}},
                "nodeLabel": {"key": "zone", "values": ["a", "b"]}},
            {"op": "createNamespaces", "prefix": "s", "count": 1},
            {"op": "churn", "mode": "recreate", "number": 1, "intervalMilliseconds": 100, "objects": [
                {"kind": "Pod", "metadata": {"generateName": "big-"}, "spec": pod("9", 10).spec},
                {"kind": "Node", "metadata": {"generateName": "c-"}, "status": {"capacity": {"pods": "0"}}},
                {"kind": "Service", "metadata": {"generateName": "svc-"}, "spec": {"selector": {"app": "x"}}}]},
            {"op": "createPods", "count": 200, "namespace": "s-0", "pod": template("50m")},
            {"op": "sleep", "durationMilliseconds": 1000}, {"op": "barrier"},
            {"op": "createPods", "count": 50, "pod": template("20m")},
        ]}),
    );
    let recorded = files::workload(&path).unwrap();
    assert_eq!(recorded.nodes[2].labels["zone"], "a");
    let run = &Simulation::new(recorded.nodes, recorded.workload).policy(Profile::default()).run().runs[0];
    assert_eq!((run.placed, run.unplaced), (250, 0), "11 of 12 CPU");
    assert!(run.samples.iter().any(|sample| sample.waiting == 1), "the churned pod fits nowhere");
    assert_eq!(run.samples.iter().map(|sample| sample.nodes).max(), Some(4), "one churned node at a time");
    std::fs::remove_file(path).unwrap();
    let refused = |ops: Value| {
        let path = file("refused", &json!({"ops": ops}));
        let error = files::workload(&path).unwrap_err();
        std::fs::remove_file(path).unwrap();
        (error.field.unwrap_or_default(), error.reason)
    };
    assert_eq!(refused(json!([{"op": "createNodes", "node": {}}])).0, "ops[0].count");
    assert!(refused(json!([{"op": "explode"}])).1.contains("\"explode\""));
    assert_eq!(refused(json!([{"op": "createPods", "count": 1, "pod": {"spec": 1}}])).0, "ops[0].pod");
}

#[test]
fn recorded_clusters_go_on() {
    let bound = json!({"kind": "Pod", "metadata": {"name": "a", "namespace": "d", "uid": "1"},
        "spec": {"nodeName": "n", "containers": [{"name": "a", "resources": {"requests": {"cpu": "3"}}}]}});
    let waiting =
        json!({"kind": "Pod", "metadata": {"name": "b", "namespace": "d", "uid": "2"}, "spec": pod("2", 0).spec});
    let machine = json!({"kind": "Node", "metadata": {"name": "n"},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}}});
    let path = file("cluster", &json!({"kind": "List", "items": [machine, bound, waiting]}));
    let recorded = files::cluster(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    let simulation = Simulation::new(recorded.nodes, recorded.workload).placed(recorded.placed);
    let run = &simulation.policy(Profile::default()).run().runs[0];
    assert_eq!((run.placed, run.unplaced), (0, 1));
    assert_eq!(run.samples.last().unwrap().cpu, 75.0);
}
