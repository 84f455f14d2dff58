//! `logs` and `top`.

use crate::row::{Row, row};

pub fn rows() -> Vec<Row> {
    [chosen(), followed(), top()].concat()
}

fn chosen() -> Vec<Row> {
    vec![
        row("logs", "kubectl logs talker -c two").seen().is("two line 1"),
        row("logs", "kubectl logs talker").seen().since(22).says("one line 1"),
        row("logs", "kubectl logs talker -c before").seen().is("from before"),
        row("logs", "kubectl logs talker -c one --tail=2").seen().is("one line 4\none line 5"),
        row("logs", "kubectl logs talker -c one --limit-bytes=8").seen().is("one line"),
        row("logs", "kubectl logs talker -c two --timestamps").seen().fits("a time, then the line", |said| {
            said.trim().split_once(' ').is_some_and(|(time, line)| {
                time.len() >= 20 && time.starts_with("20") && time.contains('T') && line == "two line 1"
            })
        }),
        row("logs", "kubectl logs talker -c one --since=1h").seen().says("one line 1"),
        row("logs", "kubectl logs talker -c one --since-time=2100-01-01T00:00:00Z").seen().is(""),
        row("logs", "kubectl logs talker --all-containers --prefix")
            .seen()
            .says("[pod/talker/before] from before")
            .says("[pod/talker/one] one line 1")
            .says("[pod/talker/two] two line 1"),
        row("logs", "kubectl logs -l app=talker -c one --tail=1").seen().is("one line 5"),
        row("logs", "kubectl logs job/once")
            .seen()
            .given("kubectl wait --for=condition=Complete job/once --timeout=60s")
            .is("job done"),
        row("logs", "kubectl logs again --previous")
            .seen()
            .given("try sh -c 'kubectl logs again | grep second'")
            .is("first life"),
        row("logs", "kubectl logs again")
            .seen()
            .given("try sh -c 'kubectl logs again | grep second'")
            .is("second life"),
        row("logs", "kubectl logs talker -c none").seen().fails(1, "container none is not valid for pod talker"),
        row("logs", "kubectl logs none")
            .seen()
            .fails(1, "error: error from server (NotFound): pods \"none\" not found in namespace \"seen\"")
            .since(30),
        row("logs", "kubectl logs none")
            .seen()
            .fails(1, "Error from server (NotFound): pods \"none\" not found")
            .until(30),
        row("logs", "kubectl logs talker -c two --previous")
            .seen()
            .fails(1, "previous terminated container \"two\" in pod \"talker\" not found"),
    ]
}

fn followed() -> Vec<Row> {
    const CLOCK: &str = "{apiVersion: v1, kind: Pod, metadata: {name: clock}, spec: {restartPolicy: Never, terminationGracePeriodSeconds: 1, containers: [{name: c, image: host, command: [sh, -c, 'i=0; while [ ! -e /stop ]; do i=$((i+1)); echo tick $i; sleep 0.2; done; echo stopped']}]}}";
    vec![
        row("logs", "kubectl logs -f clock > said & has said 'tick 3'; kubectl exec clock -- touch /stop; wait $! && cat said")
            .file("clock.yaml", CLOCK)
            .given("kubectl apply -f clock.yaml && kubectl wait --for=condition=Ready pod/clock --timeout=60s")
            .says("tick 1\ntick 2\ntick 3\n")
            .says("stopped"),
        row("logs", "kubectl logs fresh").file("fresh.yaml", "{apiVersion: v1, kind: Pod, metadata: {name: fresh}, spec: {containers: [{name: c, image: none-such}]}}")
            .given("kubectl apply -f fresh.yaml && try sh -c 'kubectl get pod fresh | grep Image'")
            .fails(1, "container \"c\" in pod \"fresh\" is waiting to start: "),
    ]
}

fn top() -> Vec<Row> {
    vec![
        row("top node", "kubectl top node").seen().given("try kubectl top node node-1").fits("a line a node", |said| {
            said.contains("node-1") && said.lines().next().is_some_and(|head| head.contains("CPU(cores)"))
        }),
        row("top node", "kubectl top node none")
            .seen()
            .fails(1, "Error from server (NotFound): nodes.metrics.k8s.io \"none\" not found"),
        row("top pod", "kubectl top pod talker --containers").seen().given("try kubectl top pod talker").fits(
            "both containers",
            |said| {
                let of = |name: &str| {
                    said.lines().any(|line| line.split_whitespace().nth(1) == Some(name) && line.contains("Mi"))
                };
                of("one") && of("two")
            },
        ),
        row("top pod", "kubectl top pod -l app=web --sort-by=memory --no-headers")
            .seen()
            .given("try sh -c '[ $(kubectl top pod -l app=web --no-headers | wc -l) = 2 ]'")
            .says("web-"),
        row("top pod", "kubectl top pod none").seen().fails(1, "\"none\" not found"),
    ]
}
