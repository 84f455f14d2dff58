//! `exec`, `attach`, `cp`, `port-forward`, `proxy`, `debug`.

use super::POD;
use crate::row::{Row, row};

pub fn rows() -> Vec<Row> {
    [exec(), attach(), cp(), port_forward(), proxy(), debug()].concat()
}

fn pod(row: Row) -> Row {
    row.file("p.yaml", POD).given("kubectl apply -f p.yaml && kubectl wait --for=condition=Ready pod/p --timeout=60s")
}

fn exec() -> Vec<Row> {
    vec![
        row("exec", "kubectl exec talker -c two -- sh -c 'echo out; echo err >&2'").seen().is("out").warns("err"),
        row("exec", "printf 'some words' | kubectl exec -i talker -c one -- wc -c").seen().is("10"),
        row("exec", "kubectl exec deploy/web -- sh -c 'echo $COLOUR'").seen().is("blue"),
        row("exec", "script -qec \"stty cols 132 rows 50; kubectl exec -it talker -c one -- sh -c 'tty; until stty size | grep 132; do sleep 0.1; done; exit 4'\" /dev/null")
            .seen()
            .says("/dev/pts/")
            .says("50 132")
            .exits(4),
        row("exec", "(until grep -q READY said; do sleep 0.1; done; echo 'echo $((6*7))'; has said 42; echo exit) | script -qec 'kubectl exec -it talker -c one -- sh -c \"PS1=READY; export PS1; exec sh\"' /dev/null > said; cat said")
            .seen()
            .says("42"),
        row("exec", "kubectl exec talker -c one -- sh -c 'exit 7'").seen().fails(7, "command terminated with exit code 7"),
        row("exec", "kubectl exec talker -c one -- none-such").seen().code_any().warns("\"none-such\": executable file not found in $PATH"),
        row("exec", "kubectl exec talker -c none -- true").seen().fails(1, "container none"),
        row("exec", "kubectl exec none -- true").seen().fails(1, "pods \"none\" not found"),
    ]
}

fn attach() -> Vec<Row> {
    const ECHO: &str = "{apiVersion: v1, kind: Pod, metadata: {name: echo}, spec: {restartPolicy: Never, containers: [{name: c, image: host, stdin: true, stdinOnce: true, command: [sh, -c, 'while read line; do echo got $line; done']}]}}";
    vec![
        row("attach", "printf 'one\\ntwo\\n' | kubectl attach -i echo")
            .file("echo.yaml", ECHO)
            .given("kubectl apply -f echo.yaml && kubectl wait --for=condition=Ready pod/echo --timeout=60s")
            .says("got one\ngot two\n")
            .then("kubectl get pod echo -o jsonpath='{.status.phase}'", "Succeeded"),
        row("attach", "kubectl attach talker -c none").seen().fails(1, "container"),
        row("attach", "kubectl attach none").seen().fails(1, "pods \"none\" not found"),
    ]
}

fn cp() -> Vec<Row> {
    vec![
        pod(row("cp", "kubectl cp d p:/tmp/d && kubectl cp p:/tmp/d back && diff -r d back && echo same"))
            .file("d/f", "a file")
            .file("d/sub/g", "another")
            .says("same")
            .then("kubectl exec p -- cat /tmp/d/sub/g", "another"),
        pod(row("cp", "kubectl cp $NS/p:/etc/hostname name -c c >&2 && cat name")).is("p"),
        row("cp", "kubectl cp none:/file there").seen().fails(1, "pods \"none\" not found"),
        row("cp", "kubectl cp none-such talker:/tmp -c one").seen().fails(1, "none-such"),
    ]
}

fn port_forward() -> Vec<Row> {
    // Port 0 lets kubectl choose; it says which.
    const ASK: &str = "has said Forwarding; port=$(sed -n 's/.*127.0.0.1:\\([0-9]*\\) .*/\\1/p' said | head -1); curl -sS --max-time 20 http://127.0.0.1:$port/; stop";
    vec![
        row("port-forward", concat_line(ASK, "kubectl port-forward service/web :80 > said &")).seen().says("web-"),
        row("port-forward", concat_line(ASK, "kubectl port-forward deployment/web :8080 > said &")).seen().says("web-"),
        row(
            "port-forward",
            concat_line(ASK, "kubectl port-forward $(kubectl get pod -l app=web -o name | head -1) :http > said &"),
        )
        .seen()
        .says("web-"),
        row("port-forward", "kubectl port-forward service/web :81")
            .seen()
            .fails(1, "Service web does not have a service port 81"),
        row("port-forward", "kubectl port-forward pod/none :81").seen().fails(1, "pods \"none\" not found"),
    ]
}

fn proxy() -> Vec<Row> {
    const ASK: &str = "has said Starting; port=$(sed -n 's/.*127.0.0.1:\\([0-9]*\\).*/\\1/p' said); curl -sS --max-time 20 http://127.0.0.1:$port$URL; stop";
    vec![
        row("proxy", concat_line(ASK, "URL=/api/v1/namespaces/seen/configmaps/settings; kubectl proxy --port=0 > said &")).seen().says("\"colour\": \"blue\""),
        row("proxy", concat_line(ASK, "URL=/api/v1/namespaces/seen/services/web:http/proxy/; kubectl proxy --port=0 > said &")).seen().says("web-"),
        row("proxy", concat_line(ASK, "URL=/page/f; mkdir -p page; echo served > page/f; kubectl proxy --port=0 --www=page --www-prefix=/page/ > said &")).seen().is("served"),
        row("proxy", concat_line(ASK, "URL=/api/v1/nonsense; kubectl proxy --port=0 > said &")).seen().says("the server could not find the requested resource"),
        row("proxy", "kubectl proxy --port=99999").seen().fails(1, "99999"),
    ]
}

/// One line that starts something and asks it.
fn concat_line(ask: &str, start: &str) -> &'static str {
    Box::leak(format!("{start} {ask}").into_boxed_str())
}

fn debug() -> Vec<Row> {
    vec![
        pod(row("debug", "kubectl debug p --image=host --container=look --target=c -- sh -c 'echo looked; exec sleep 86400'"))
            .since(23)
            .then("kubectl get pod p -o jsonpath='{.status.ephemeralContainerStatuses[0].state.running.startedAt}' | cut -c1-2", "20")
            .then("kubectl logs p -c look", "looked"),
        pod(row("debug", "kubectl debug p -i --image=host --container=look --target=c -- sh -c 'ps ax' "))
            .since(23)
            .then_holds("kubectl logs p -c look", "sleep 86400"),
        pod(row("debug", "kubectl debug p --copy-to=q --container=c --image=host -- sh -c 'echo copied; exec sleep 86400'"))
            .then("kubectl logs q", "copied"),
        row("debug", "kubectl debug node/node-1 --image=host -- sh -c 'echo on $(hostname)' 2>&1")
            .says("Creating debugging pod node-debugger-node-1-")
            .then_holds("kubectl get pods -o jsonpath='{.items[0].metadata.name} {.items[0].spec.nodeName} {.items[0].status.phase}'", "node-1 Succeeded"),
        row("debug", "kubectl debug none --image=host").fails(1, "pods \"none\" not found"),
    ]
}
