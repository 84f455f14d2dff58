//! What Services can be: datagrams, affinity, policies, external addresses, pods that are not ready, what is told of the rest.

mod support;

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::time::Duration;

use serde_json::{Value, json};
use support::{As, Cluster, free_node_port, get, is_root, wait_for};

/// Answers with its pod's name, over both transports.
const SERVER: &str = r#"
import http.server, os, socket, threading
name = os.uname().nodename.encode()
def datagrams():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("0.0.0.0", 9000))
    while True:
        data, who = s.recvfrom(2048)
        s.sendto(name + b" " + data, who)
threading.Thread(target=datagrams, daemon=True).start()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(name)
http.server.ThreadingHTTPServer(("0.0.0.0", 9000), Handler).serve_forever()
"#;

/// Asks the Services from a pod.
const CLIENT: &str = r#"
import os, socket, time, urllib.request
def host(name): return os.environ[name + "_SERVICE_HOST"]
def udp(at):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(1); s.connect(at); s.send(b"hi")
    try: return s.recv(2048).decode().split(" ")[0]
    except OSError: return None
def tcp(at):
    try: return urllib.request.urlopen("http://%s:%d/" % at, timeout=5).read().decode()
    except OSError: return None
def until(ask, at):
    while not (said := ask(at)): time.sleep(0.1)
    return said
def names(ask, at, count): return sorted({until(ask, at) for _ in range(count)})
both = set()
while len(both) < 2: both.add(until(udp, (host("ECHO"), 53)))
print("udp", *sorted(both))
print("port", os.environ["ECHO_PORT_53_UDP_PORT"], os.environ["ECHO_SERVICE_PORT_ASK"])
for name in ["STICKY", "NEAR"]:
    at = (host(name), 80)
    print(name, "tcp", *names(tcp, at, 8))
    print(name, "udp", *names(udp, (host(name), 53), 8))
print("early", until(tcp, (host("EARLY"), 80)))
print("done", flush=True)
time.sleep(3600)
"#;

/// TEST-NET-3: an address that no host has.
const NOBODYS: &str = "203.0.113.7";

fn pod(name: &str, app: &str, node: &str, script: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": app}}, "spec": {
        "nodeName": node, "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "c", "image": "host", "command": ["python3", "-c", script],
            "readinessProbe": {"tcpSocket": {"port": 9000}, "periodSeconds": 1}}]}})
}

fn service(name: &str, app: &str, more: Value) -> Value {
    let ports = json!([
        {"name": "ask", "port": 80, "targetPort": 9000},
        {"name": "datagrams", "port": 53, "targetPort": 9000, "protocol": "UDP"},
    ]);
    let mut spec = json!({"selector": {"app": app}, "ports": ports});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})
}

fn list(items: Vec<Value>) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

/// The host's own address, if it has one beside loopback: the one that it would reach the world from. Nothing is sent.
fn own_address() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect((NOBODYS, 9)).ok()?;
    Some(socket.local_addr().unwrap().ip().to_string())
}

/// The first word of the answer to a datagram; only from the address that was asked.
fn ask_udp(address: &str) -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    socket.connect(address).ok()?;
    socket.send(b"hi").ok()?;
    let mut buffer = [0; 2048];
    let length = socket.recv(&mut buffer).ok()?;
    support::text(&buffer[..length]).split(' ').next().map(str::to_owned)
}

/// Asks until both pods have answered.
fn both(what: &str, ask: impl Fn() -> Option<String>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    wait_for(what, || {
        names.extend(ask());
        (names.len() == 2).then_some(())
    });
    names
}

fn services(user: As) {
    let cluster = Cluster::up(user, &["--nodes", "2"]);
    let (tcp_port, udp_port) = (free_node_port(), free_node_port());
    let echo = json!({"type": "NodePort", "ports": [
        {"name": "ask", "port": 80, "targetPort": 9000, "nodePort": tcp_port},
        {"name": "datagrams", "port": 53, "targetPort": 9000, "protocol": "UDP", "nodePort": udp_port}]});
    let affinity =
        json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}});
    let sctp = json!({"ports": [{"port": 7, "protocol": "SCTP"}]});
    // Services first: a pod has the variables of those that were there when it began.
    cluster.ok_with(
        &["apply", "-f", "-"],
        &list(vec![
            service("echo", "echo", echo),
            service("sticky", "echo", affinity),
            service("near", "echo", json!({"internalTrafficPolicy": "Local"})),
            service("early", "early", json!({"publishNotReadyAddresses": true})),
            service(
                "outside",
                "echo",
                json!({"externalIPs": own_address().into_iter().chain([NOBODYS.to_owned()]).collect::<Vec<_>>()}),
            ),
            service("streams", "echo", sctp),
        ]),
    );
    let mut unready = pod("early", "early", "node-1", SERVER);
    unready["spec"]["containers"][0]["readinessProbe"]["tcpSocket"]["port"] = json!(9);
    let pods = vec![pod("one", "echo", "node-1", SERVER), pod("two", "echo", "node-2", SERVER), unready];
    cluster.ok_with(&["apply", "-f", "-"], &list(pods));
    cluster.ok(&["wait", "--for=condition=Ready", "pod/one", "pod/two", "--timeout=90s"]);
    cluster.ok_with(&["apply", "-f", "-"], &list(vec![pod("client", "client", "node-2", CLIENT)]));
    from_a_pod(&cluster);

    let wanted: BTreeSet<String> = ["one", "two"].map(str::to_owned).into();
    assert_eq!(both("the node port answers datagrams", || ask_udp(&format!("127.0.0.1:{udp_port}"))), wanted);
    assert_eq!(both("the node port answers", || get(&format!("127.0.0.1:{tcp_port}")).ok()), wanted);
    if user == As::Me && is_root() {
        let ip = cluster.ok(&["get", "service", "echo", "-o", "jsonpath={.spec.clusterIP}"]);
        assert_eq!(both("the cluster address answers datagrams", || ask_udp(&format!("{ip}:53"))), wanted);
    }
    // Ports below 1024 of the host's own address are not an ordinary user's.
    if let (Some(own), As::Me, true) = (own_address(), user, is_root()) {
        assert_eq!(both("the external address answers", || get(&format!("{own}:80")).ok()), wanted);
        assert_eq!(both("and so it does datagrams", || ask_udp(&format!("{own}:53"))), wanted);
    }
    warnings(&cluster);
}

fn from_a_pod(cluster: &Cluster) {
    let said = cluster.until(&["logs", "client"], "the client is done", |said| said.contains("done"));
    let says = |line: &str| assert!(said.lines().any(|said| said == line), "no {line:?} in\n{said}");
    says("udp one two");
    says("port 53 80");
    says("early early");
    // The client is on the second node.
    says("NEAR tcp two");
    says("NEAR udp two");
    let one_of = |start: &str| {
        let line = said.lines().find(|line| line.starts_with(start)).unwrap_or_default();
        assert_eq!(line.split(' ').count(), 3, "one pod answers: {line:?} in\n{said}");
    };
    one_of("STICKY tcp");
    one_of("STICKY udp");
}

fn warnings(cluster: &Cluster) {
    let of = |service: &str, what: &str, holds: &dyn Fn(&str) -> bool| {
        let field = format!("involvedObject.name={service},reason=FailedToRoute");
        let events = ["get", "events", "--field-selector", &field, "-o", "jsonpath={.items[*].message}"];
        cluster.until(&events, what, holds);
    };
    of("streams", "SCTP is told of", &|text| text.contains("SCTP is not routed by this data plane"));
    of("outside", "the address of nobody is told of", &|text| {
        text.contains(&format!("external address {NOBODYS}:80")) && text.contains("this host does not have the address")
    });
}

#[test]
fn services_route_what_they_promise() {
    services(As::Me);
}

#[test]
fn services_route_what_they_promise_without_root() {
    if !is_root() {
        eprintln!("skipped: services_route_what_they_promise_without_root (the other test did it: this is no root)");
        return;
    }
    services(As::Nobody);
}
