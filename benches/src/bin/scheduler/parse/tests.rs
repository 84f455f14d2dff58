use super::*;

/// The workloads that Kubernetes' own runs are measured with, and ours.
const GIVEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/workloads");

fn wrong(ops: &str) -> String {
    let measured = r#"{"op": "createPods", "count": 1, "measure": true, "pod": {"metadata": {"generateName": "p-"}}}"#;
    let text = format!("{{\"name\": \"x\", \"workload\": \"y\", \"ops\": [\n{measured},\n{ops}]}}");
    parse(Path::new("w.json"), &text).err().map_or_else(|| "nothing".to_owned(), |error| error.to_string())
}

#[test]
fn every_given_file_reads() {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(GIVEN).unwrap() {
        let path = entry.unwrap().path();
        let workload = read(&path).unwrap_or_else(|error| panic!("{error}"));
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert_eq!(stem, format!("{}-{}", workload.name, workload.variant.replace('_', "-")));
        let made = |name: &str| -> usize {
            workload.operations.iter().filter(|op| op.name() == name).map(Operation::count).sum()
        };
        assert_eq!(made("createNodes"), 5000, "{stem}");
        let measured = workload.operations.iter().filter_map(Operation::pods).find(|pods| pods.measure).unwrap();
        let count = stem.rsplit_once('-').and_then(|(_, last)| last.strip_suffix("Pods")?.parse().ok());
        assert_eq!(measured.count, count.unwrap_or(5000), "{stem}");
        // Kubernetes has no run of our own workload, and so no threshold.
        let own = workload.name == "DeploymentsBehindServices";
        assert!(own || workload.threshold.is_some_and(|threshold| threshold >= 35.0), "{stem}");
        names.push(stem);
    }
    assert_eq!(names.len(), 9, "{names:?}");
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let told = |ops: &str, want: &str| assert_eq!(wrong(ops), want);
    told(
        r#"{"op": "frob"}"#,
        &format!("w.json:3: ops[1].op: Unsupported value: \"frob\": supported values: {OPERATIONS}"),
    );
    told(
        "{\"op\": \"createNamespaces\", \"prefix\": \"a\",\n\"count\": 1,\n\"colour\": 2}",
        "w.json:5: ops[1].colour: unknown field of this operation",
    );
    told(r#"{"op": "sleep"}"#, "w.json:3: ops[1].durationMilliseconds: Required value");
    told(
        r#"{"op": "createNodes", "count": 1, "node": {}}"#,
        "w.json:3: ops[1].node.metadata.generateName: Required value",
    );
    let mode = "w.json:3: ops[1].mode: Unsupported value: \"x\": supported values: \"create\", \"recreate\"";
    told(r#"{"op": "churn", "mode": "x", "objects": []}"#, mode);
    let inner =
        r#"{"op": "createPodSets", "count": 2, "namespacePrefix": "n", "createPodsOp": {"count": 1, "pd": {}}}"#;
    told(inner, "w.json:3: ops[1].createPodsOp.pod: Required value");
    assert!(
        wrong(r#"{"op": "createNamespaces", "count": "many", "prefix": "a"}"#)
            .starts_with("w.json:3: ops[1].count: Invalid value: ")
    );
    assert_eq!(wrong(r#"{"op": "barrier", "namespaces": ["a"]}"#), "nothing");
}

#[test]
fn the_other_operations_read() {
    let text = "
name: x
workload: y
ops:
- {op: createPodSets, count: 2, namespacePrefix: ns, createPodsOp: {op: createPods, count: 3, measure: true, pod: {metadata: {name: p}}}}
- {op: deletePods, namespace: ns-0, labelSelector: {a: b}, deletePodsPerSecond: 50}
- {op: sleep, durationMilliseconds: 1500}
- {op: churn, mode: create, number: 2, objects: [{kind: Pod}]}
";
    let read = parse(Path::new("w.yaml"), text).unwrap();
    assert_eq!(read.operations[0].count(), 6);
    let Operation::DeletePods { labels, rate, wait: true, .. } = &read.operations[1] else { panic!("{read:?}") };
    assert_eq!((labels.as_slice(), *rate), ([("a".to_owned(), "b".to_owned())].as_slice(), Some(50)));
    assert!(matches!(read.operations[2], Operation::Sleep(time) if time == Duration::from_millis(1500)));
    assert!(matches!(&read.operations[3], Operation::Churn(Churn { keep: None, rounds: Some(2), .. })));
}
