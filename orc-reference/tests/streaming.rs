//! exec, attach, port-forward, cp and proxy with real clients: kubectl over WebSocket and over SPDY, kube-rs, and the Python client.

mod support;

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Output, Stdio};

use futures::SinkExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, AttachParams, TerminalSize};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use support::{As, Cluster, PATIENCE, free_address, text, wait_for};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: web, image: host, command: [python3, -m, http.server, "8080"], env: [{name: COLOUR, value: blue}],
     workingDir: /etc, ports: [{containerPort: 8080}], readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}}
---
apiVersion: v1
kind: Pod
metadata: {name: echo}
spec:
  terminationGracePeriodSeconds: 1
  restartPolicy: Never
  containers:
  - {name: echo, image: host, stdin: true, stdinOnce: true, command: [sh, -c, "while read line; do echo got $line; done"]}
---
apiVersion: v1
kind: Pod
metadata: {name: two}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: first, image: host, command: [sleep, "3600"]}
  - {name: second, image: host, command: [sleep, "3600"]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"#;

/// How kubectl reaches the server.
#[derive(Clone, Copy, Debug)]
enum Over {
    WebSocket,
    Spdy,
}

fn command(cluster: &Cluster, over: Over, program: &str, args: &[&str]) -> Command {
    let websockets = matches!(over, Over::WebSocket).to_string();
    let mut command = Command::new(program);
    command
        .args(args)
        .env("KUBECONFIG", cluster.kubeconfig())
        .env("HOME", cluster.folder.path())
        .env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", &websockets)
        .env("KUBECTL_PORT_FORWARD_WEBSOCKETS", &websockets)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs kubectl with bytes on its input.
fn kubectl(cluster: &Cluster, over: Over, args: &[&str], input: &[u8]) -> Output {
    let mut child = command(cluster, over, "kubectl", args).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writing = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    output
}

fn up() -> Cluster {
    let cluster = Cluster::up(As::Me, &[]);
    cluster.ok_with(&["apply", "-f", "-"], PODS);
    cluster.ok(&["wait", "--for=condition=Ready", "pod/web", "pod/echo", "pod/two", "--timeout=60s"]);
    cluster
}

fn exec_works(cluster: &Cluster, over: Over) {
    let both = kubectl(cluster, over, &["exec", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 3"], b"");
    assert_eq!(both.status.code(), Some(3), "{over:?}: {}", text(&both.stderr));
    assert_eq!(text(&both.stdout), "out\n");
    assert_eq!(text(&both.stderr), "err\ncommand terminated with exit code 3\n");

    let inside = kubectl(cluster, over, &["exec", "web", "--", "sh", "-c", "echo $COLOUR; pwd; hostname"], b"");
    assert_eq!(text(&inside.stdout), "blue\n/etc\nweb\n", "the container's environment, directory and namespaces");

    let input: Vec<u8> = (0..1_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let echoed = kubectl(cluster, over, &["exec", "-i", "web", "--", "cat"], &input);
    assert!(echoed.status.success(), "{over:?}: {}", text(&echoed.stderr));
    assert!(echoed.stdout == input, "{over:?}: {} bytes of {} came back", echoed.stdout.len(), input.len());

    let missing = kubectl(cluster, over, &["exec", "web", "--", "no-such-program"], b"");
    let said = text(&missing.stderr);
    assert!(said.contains("\"no-such-program\": executable file not found in $PATH"), "{over:?}: {said}");
    let wrong = kubectl(cluster, over, &["exec", "two", "-c", "third", "--", "true"], b"");
    assert!(text(&wrong.stderr).contains("container third is not valid for pod two"), "{}", text(&wrong.stderr));

    let terminal = format!("stty cols 132 rows 50; {}", "kubectl exec -it web -- sh -c 'tty; stty size; exit 4'");
    let terminal = command(cluster, over, "script", &["-qec", &terminal, "/dev/null"]).output().unwrap();
    let said = text(&terminal.stdout);
    assert!(said.contains("/dev/pts/"), "{over:?}: {said}");
    assert_eq!(terminal.status.code(), Some(4), "{over:?}: {said}");
}

fn files_are_copied(cluster: &Cluster, over: Over) {
    let (there, back) = (cluster.folder.path().join("there"), cluster.folder.path().join(format!("back{over:?}")));
    let content = "a line of a file\n".repeat(10_000);
    std::fs::write(&there, &content).unwrap();
    let args = ["cp", &*there.to_string_lossy(), "web:/tmp/copied"];
    let output = kubectl(cluster, over, &args, b"");
    assert!(output.status.success(), "{over:?}: {}", text(&output.stderr));
    let output = kubectl(cluster, over, &["cp", "web:/tmp/copied", &back.to_string_lossy()], b"");
    assert!(output.status.success(), "{over:?}: {}", text(&output.stderr));
    assert!(std::fs::read_to_string(back).unwrap() == content, "{over:?}: the file came back otherwise");
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ports_are_forwarded(cluster: &Cluster, over: Over) {
    let local = free_address();
    let map = format!("{}:8080", local.port());
    let _forward = Running(command(cluster, over, "kubectl", &["port-forward", "pod/web", &map]).spawn().unwrap());
    let address = local.to_string();
    let first = wait_for("a forwarded port", || support::get(&address).ok());
    assert!(first.is_some_and(|page| page.contains("Directory listing")), "{over:?}");
    let pages: Vec<_> = (0..8)
        .map(|_| {
            let address = address.clone();
            std::thread::spawn(move || support::get(&address))
        })
        .collect();
    for page in pages {
        let page = page.join().unwrap();
        assert!(page.as_ref().is_ok_and(|page| page.contains("Directory listing")), "{over:?}: {page:?}");
    }
}

#[test]
fn kubectl_over_both_protocols() {
    let cluster = up();
    for over in [Over::WebSocket, Over::Spdy] {
        exec_works(&cluster, over);
        files_are_copied(&cluster, over);
        ports_are_forwarded(&cluster, over);
    }
    // The container ends with its input (`stdinOnce`), and the attached client hears it to its end.
    let attached = kubectl(&cluster, Over::Spdy, &["attach", "-i", "echo"], b"one\ntwo\n");
    assert!(text(&attached.stdout).contains("got one\ngot two\n"), "{}", text(&attached.stdout));
    cluster.until(&["get", "pod", "echo"], "the pod completed", |said| said.contains("Completed"));
    let late = kubectl(&cluster, Over::Spdy, &["exec", "echo", "--", "true"], b"");
    assert!(text(&late.stderr).contains("cannot exec into a container in a completed pod"), "{}", text(&late.stderr));
    killed_with_its_client(&cluster);
    services_and_pods_are_proxied(&cluster);
}

/// The program of an exec does not outlive its client.
fn killed_with_its_client(cluster: &Cluster) {
    for over in [Over::WebSocket, Over::Spdy] {
        let mut child = Running(
            command(cluster, over, "kubectl", &["exec", "web", "--", "sh", "-c", "echo $$; sleep 4242"])
                .spawn()
                .unwrap(),
        );
        let mut first = [0; 1];
        child.0.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
        let count =
            || text(&Command::new("pgrep").args(["-fc", "^sleep 4242"]).output().unwrap().stdout).trim().to_owned();
        assert!(wait_for("the program runs", || (count() == "1").then_some(())).is_some(), "{over:?}: {}", count());
        drop(child);
        assert!(wait_for("the program ended", || (count() == "0").then_some(())).is_some(), "{over:?}: {}", count());
    }
}

fn services_and_pods_are_proxied(cluster: &Cluster) {
    cluster.until(&["get", "endpoints", "web"], "the service has an endpoint", |said| said.contains(":8080"));
    for path in ["services/web", "services/web:80", "services/http:web:", "pods/web", "pods/web:8080"] {
        let page = cluster.ok(&["get", "--raw", &format!("/api/v1/namespaces/default/{path}/proxy/")]);
        assert!(page.contains("Directory listing for /"), "{path}: {page}");
    }
    // The server redirects a directory without a slash; the redirection stays inside the proxy.
    let page = cluster.ok(&["get", "--raw", "/api/v1/namespaces/default/pods/web/proxy/ssl"]);
    assert!(page.contains("Directory listing for /ssl/"), "{page}");
    assert_eq!(cluster.ok(&["get", "--raw", "/api/v1/nodes/node-1/proxy/healthz"]), "ok");
    let refused = |path: &str| cluster.refused(&["get", "--raw", path], "");
    let said = refused("/api/v1/namespaces/default/services/web:81/proxy/");
    assert!(said.contains("no service port 81 found for service \"web\""), "{said}");
    let said = refused("/api/v1/namespaces/default/pods/web:9/proxy/");
    assert!(said.contains("error trying to reach service: dial tcp"), "{said}");
    let said = refused("/api/v1/namespaces/default/pods/ftp:web:1/proxy/");
    assert!(said.contains("invalid pod request \"ftp:web:1\""), "{said}");
    let said = refused("/api/v1/namespaces/default/pods/web/exec?command=ls&stdout=1");
    assert!(said.contains("Upgrade request required"), "{said}");
}

async fn kube_rs(client: Client) -> Result<(), Box<dyn std::error::Error>> {
    let pods: Api<Pod> = Api::default_namespaced(client);
    let params = AttachParams::default().stdin(true).stderr(true);
    let mut run = pods.exec("web", ["sh", "-c", "read line; echo got $line; exit 7"], &params).await?;
    let mut stdin = run.stdin().ok_or("no stdin")?;
    let mut stdout = run.stdout().ok_or("no stdout")?;
    stdin.write_all(b"words\n").await?;
    let mut said = String::new();
    stdout.read_to_string(&mut said).await?;
    assert_eq!(said, "got words\n");
    let status = run.take_status().ok_or("no status")?.await.ok_or("no status came")?;
    assert_eq!(status.reason.as_deref(), Some("NonZeroExitCode"));
    let causes = status.details.and_then(|details| details.causes).unwrap_or_default();
    assert_eq!(causes.first().and_then(|cause| cause.message.as_deref()), Some("7"));

    let mut run = pods.exec("web", ["sh", "-c", "read go; stty size"], &AttachParams::interactive_tty()).await?;
    run.terminal_size().ok_or("no sizes")?.send(TerminalSize { width: 132, height: 50 }).await?;
    let (mut stdin, mut stdout) = (run.stdin().ok_or("no stdin")?, run.stdout().ok_or("no stdout")?);
    stdin.write_all(b"\n").await?;
    let mut said = String::new();
    stdout.read_to_string(&mut said).await?;
    assert!(said.contains("50 132"), "{said:?}");

    let mut forward = pods.portforward("web", &[8080, 9]).await?;
    let mut stream = forward.take_stream(8080).ok_or("no stream")?;
    stream.write_all(b"GET / HTTP/1.0\r\nHost: test\r\n\r\n").await?;
    let mut page = Vec::new();
    stream.read_to_end(&mut page).await?;
    assert!(text(&page).contains("Directory listing"), "{}", text(&page));
    let refused = forward.take_error(9).ok_or("no error stream")?.await.unwrap_or_default();
    assert!(refused.contains("error forwarding port 9 to pod web"), "{refused}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kube_rs_and_python() {
    let cluster = tokio::task::spawn_blocking(up).await.unwrap();
    let file = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    let client = Client::try_from(config).unwrap();
    tokio::time::timeout(PATIENCE, kube_rs(client)).await.expect("kube-rs in time").unwrap();

    let python = std::env::var("ORC_TEST_PYTHON")
        .unwrap_or_else(|_| format!("{}/../target/test-venv/bin/python", env!("CARGO_MANIFEST_DIR")));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python_stream.py");
    let output = Command::new(&python)
        .args([script, &cluster.kubeconfig().to_string_lossy()])
        .output()
        .unwrap_or_else(|error| panic!("{python}: {error}; run `tools/test setup` first"));
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    tokio::task::spawn_blocking(move || drop(cluster)).await.unwrap();
}
