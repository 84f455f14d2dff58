//! What jobs, stateful sets, daemon sets and the rules for pods come to, seen with `wait`, `rollout` and `get`.

use crate::row::{Row, row};

pub fn rows() -> Vec<Row> {
    [jobs(), sets(), defaults()].concat()
}

/// A Job of a shell line, with more of a specification.
macro_rules! job {
    ($more:literal, $line:literal) => {
        concat!(
            "{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {",
            $more,
            ", template: {spec: {restartPolicy: Never, terminationGracePeriodSeconds: 1, ",
            "containers: [{name: c, image: host, command: [sh, -c, '",
            $line,
            "']}]}}}}"
        )
    };
}

fn jobs() -> Vec<Row> {
    const POLICY: &str =
        job!("podFailurePolicy: {rules: [{action: FailJob, onExitCodes: {operator: In, values: [42]}}]}", "exit 42");
    const SUCCESS: &str = job!(
        "completions: 3, parallelism: 3, completionMode: Indexed, successPolicy: {rules: [{succeededIndexes: '0'}]}",
        "test $JOB_COMPLETION_INDEX = 0 || exec sleep 86400"
    );
    const INDEXES: &str = job!(
        "completions: 2, parallelism: 2, completionMode: Indexed, backoffLimitPerIndex: 0",
        "exit $JOB_COMPLETION_INDEX"
    );
    const WHY: &str = "kubectl get job j -o jsonpath='{range .status.conditions[*]}{.type}:{.reason} {end}'";
    vec![
        row("wait", "kubectl wait --for=condition=Failed job/j --timeout=60s")
            .file("j.yaml", POLICY)
            .given("kubectl apply -f j.yaml")
            .is("job.batch/j condition met")
            .then(WHY, "FailureTarget:PodFailurePolicy Failed:PodFailurePolicy")
            .then_holds("kubectl describe job j", "failed with exit code 42 matching FailJob rule at index 0"),
        row("wait", "kubectl wait --for=condition=Complete job/j --timeout=60s")
            .file("j.yaml", SUCCESS)
            .given("kubectl apply -f j.yaml")
            .is("job.batch/j condition met")
            .then(WHY, "SuccessCriteriaMet:SuccessPolicy Complete:SuccessPolicy")
            .then("kubectl get pods -o jsonpath='{.items[*].status.phase}'", "Succeeded"),
        row("wait", "kubectl wait --for=condition=Failed job/j --timeout=60s")
            .file("j.yaml", INDEXES)
            .given("kubectl apply -f j.yaml")
            .is("job.batch/j condition met")
            .then("kubectl get job j -o jsonpath='{.status.completedIndexes} {.status.failedIndexes}'", "0 1"),
        row("wait", "kubectl patch job j -p '{\"spec\":{\"suspend\":false}}' >&2 && kubectl wait --for=condition=Complete job/j --timeout=60s")
            .file("j.yaml", job!("suspend: true", "true"))
            .given("kubectl apply -f j.yaml && kubectl wait --for=condition=Suspended job/j --timeout=60s")
            .is("job.batch/j condition met")
            .then_holds("kubectl describe job j", "Job resumed"),
        row("wait", "kubectl wait --for=delete job/j --timeout=60s")
            .since(24)
            .file("j.yaml", job!("ttlSecondsAfterFinished: 1", "true"))
            .given("kubectl apply -f j.yaml")
            .fits("it goes by itself", |said| said.trim().is_empty() || said.trim() == "job.batch/j condition met"),
    ]
}

fn sets() -> Vec<Row> {
    const SET: &str = "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: s}, spec: {serviceName: s, replicas: 2, podManagementPolicy: Parallel, updateStrategy: {rollingUpdate: {partition: 1}}, persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete, whenScaled: Delete}, selector: {matchLabels: {a: s}}, template: {metadata: {labels: {a: s}}, spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: host, command: [sleep, '86400'], volumeMounts: [{name: d, mountPath: /d}]}]}}, volumeClaimTemplates: [{metadata: {name: d}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}]}}";
    const SURGE: &str = "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: a}, spec: {updateStrategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}, selector: {matchLabels: {a: a}}, template: {metadata: {labels: {a: a}}, spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: host, command: [sleep, '86400']}]}}}}";
    const GENERATIONS: &str = "kubectl get pods --sort-by=.metadata.name -o jsonpath='{range .items[*]}{.metadata.name}={..env[0].value} {end}'";
    let set = |row: Row| {
        row.file("s.yaml", SET).given("kubectl apply -f s.yaml && kubectl rollout status sts/s --timeout=60s")
    };
    vec![
        set(row("rollout status", "kubectl set env sts/s GEN=2 >&2 && kubectl rollout status sts/s --timeout=60s"))
            .says("partitioned roll out complete: 1 new pods have been updated...")
            .then(GENERATIONS, "s-0= s-1=2"),
        set(row("rollout undo", "kubectl rollout undo sts/s"))
            .given("kubectl set env sts/s GEN=2 && kubectl rollout status sts/s --timeout=60s")
            .is("statefulset.apps/s rolled back")
            .then("kubectl rollout status sts/s --timeout=60s >&2; kubectl rollout history sts/s | grep -c none", "2")
            .then(GENERATIONS, "s-0= s-1="),
        set(row("scale", "kubectl scale sts s --replicas=1"))
            .is("statefulset.apps/s scaled")
            .then("kubectl get pvc -o name", "persistentvolumeclaim/d-s-0")
            .then("kubectl delete sts s >&2; kubectl get pvc -o name", ""),
        row("rollout undo", "kubectl rollout undo ds/a")
            .file("a.yaml", SURGE)
            .given("kubectl apply -f a.yaml && kubectl rollout status ds/a --timeout=60s")
            .given("kubectl set env ds/a GEN=2 && kubectl rollout status ds/a --timeout=60s")
            .is("daemonset.apps/a rolled back")
            .then("kubectl rollout status ds/a --timeout=60s >&2; kubectl get pods -o jsonpath='{..env}'", "")
            .then("kubectl rollout history ds/a | grep -c none", "2"),
    ]
}

fn defaults() -> Vec<Row> {
    const RANGE: &str = "{apiVersion: v1, kind: LimitRange, metadata: {name: l}, spec: {limits: [{type: Container, default: {cpu: 200m}, defaultRequest: {cpu: 50m}, max: {cpu: '1'}}]}}";
    const GREEDY: &str = "{apiVersion: v1, kind: Pod, metadata: {name: q}, spec: {containers: [{name: c, image: host, resources: {limits: {cpu: '2'}}}]}}";
    const SCOPED: &str =
        "{apiVersion: v1, kind: ResourceQuota, metadata: {name: q}, spec: {hard: {pods: '1'}, scopes: [BestEffort]}}";
    const SICK: &str = "{apiVersion: v1, kind: Pod, metadata: {name: p, labels: {app: p}}, spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: host, command: [sleep, '86400'], readinessProbe: {exec: {command: ['false']}}}]}}";
    const EVICTION: &str = "{\"apiVersion\": \"policy/v1\", \"kind\": \"Eviction\", \"metadata\": {\"name\": \"p\"}}";
    let sick = |row: Row| {
        row.file("p.yaml", SICK).file("e.json", EVICTION).given(
            "kubectl apply -f p.yaml && kubectl wait --for=condition=PodReadyToStartContainers pod/p --timeout=60s",
        )
    };
    vec![
        row("apply", "kubectl apply -f p.yaml")
            .file("p.yaml", super::POD)
            .file("l.yaml", RANGE)
            .given("kubectl apply -f l.yaml && try sh -c 'kubectl run probe --image=host --dry-run=server -o yaml | grep 50m'")
            .is("pod/p created")
            .then("kubectl get pod p -o jsonpath='{..limits.cpu} {..requests.cpu} {.metadata.annotations}'", r#"200m 50m {"kubectl.kubernetes.io/last-applied-configuration":"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"annotations\":{},\"labels\":{\"app\":\"p\"},\"name\":\"p\",\"namespace\":\"$NS\"},\"spec\":{\"containers\":[{\"command\":[\"sleep\",\"86400\"],\"image\":\"host\",\"name\":\"c\"}],\"terminationGracePeriodSeconds\":1}}\n","kubernetes.io/limit-ranger":"LimitRanger plugin set: cpu request for container c; cpu limit for container c"}"#),
        row("apply", "kubectl apply -f q.yaml")
            .file("q.yaml", GREEDY)
            .file("l.yaml", RANGE)
            .given("kubectl apply -f l.yaml && try sh -c '! kubectl apply -f q.yaml --dry-run=server'")
            .fails(1, "pods \"q\" is forbidden: maximum cpu usage per Container is 1, but limit is 2"),
        row("create", "try sh -c '! kubectl run r --image=host --dry-run=server' && kubectl run r --image=host")
            .file("p.yaml", super::POD)
            .file("q.yaml", SCOPED)
            .given("kubectl apply -f q.yaml -f p.yaml")
            .fails(1, "pods \"r\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1")
            .then("kubectl run s --image=host --dry-run=server -o name --overrides='{\"spec\":{\"containers\":[{\"name\":\"s\",\"image\":\"host\",\"resources\":{\"requests\":{\"cpu\":\"1m\"}}}]}}'", "pod/s"),
        sick(row("create", "kubectl create --raw /api/v1/namespaces/$NS/pods/p/eviction -f e.json"))
            .given("kubectl create pdb b --selector=app=p --min-available=1 && kubectl wait --for=jsonpath='{.status.expectedPods}'=1 pdb/b --timeout=60s")
            .since(23)
            .fails(1, "Cannot evict pod as it would violate the pod's disruption budget."),
        sick(row("create", "kubectl create --raw /api/v1/namespaces/$NS/pods/p/eviction -f e.json"))
            .given("kubectl create pdb b --selector=app=p --min-available=1 && kubectl patch pdb b -p '{\"spec\":{\"unhealthyPodEvictionPolicy\":\"AlwaysAllow\"}}' && kubectl wait --for=jsonpath='{.status.expectedPods}'=1 pdb/b --timeout=60s")
            .since(23)
            .says("\"status\":\"Success\"")
            .then("kubectl get pod p --ignore-not-found", ""),
    ]
}
