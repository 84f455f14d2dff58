//! Cluster DNS from within pods.

mod support;

use support::{As, Cluster, is_root};

/// Asks by the C library, and by hand for what it cannot ask.
const CLIENT: &str = r#"
import socket, struct, subprocess, time
server = [l.split()[1] for l in open("/etc/resolv.conf") if l.startswith("nameserver")][0]
def look(name):
    try: return ",".join(sorted({a[4][0] for a in socket.getaddrinfo(name, 80, socket.AF_INET)}))
    except socket.gaierror as e: return "none"
def raw(name, kind, tcp=False):
    q = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0)
    q += b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\0" + struct.pack(">2H", kind, 1)
    if tcp:
        s = socket.create_connection((server, 53), 5)
        s.sendall(struct.pack(">H", len(q)) + q)
        return s.recv(65535)[2:]
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(5); s.sendto(q, (server, 53))
    return s.recv(65535)
while look("heads") == "none" or look("web") == "none": time.sleep(0.2)
print("short", look("web"))
print("full", look("web.default.svc.cluster.local."))
print("across", look("kubernetes.default"))
print("headless", look("heads"))
print("host", look("one.heads"))
print("missing", look("nothing.default.svc.cluster.local"))
srv = raw("_http._tcp.web.default.svc.cluster.local", 33)
print("srv", struct.unpack(">H", srv[6:8])[0], struct.pack(">H", 8088) in srv)
print("tcp", struct.unpack(">H", raw("web.default.svc.cluster.local", 1, True)[6:8])[0])
print("rcode", raw("nothing.default.svc.cluster.local", 1)[3] & 15)
print("ptr", socket.gethostbyaddr(server)[0])
def getent(name):
    out = subprocess.run(["getent", "ahostsv4", name], capture_output=True, text=True).stdout.split("\n")
    return ",".join(sorted({l.split()[0] for l in out if l})) or "none"
print("getent", getent("web.default"))
print("alias", look("inner"), getent("inner"))
print("circle", look("circle"))
print("not ready", look("early"))
print("hosts file", look("from-the-pod.example"))
back = ".".join(reversed(look("one.heads").split("."))) + ".in-addr.arpa"
print("ptr of a host", b"\x03one\x05heads\x07default\x03svc" in raw(back, 12))
print("srv of hosts", b"\x03one\x05heads" in raw("_http._tcp.heads.default.svc.cluster.local", 33))
pod = look("one.heads").replace(".", "-") + ".default.pod.cluster.local"
print("pod", look(pod) == look("one.heads"))
print("outside", raw("localhost", 1)[-4:] == bytes([127, 0, 0, 1]))
print("resolv", " ".join(open("/etc/resolv.conf").read().split()))
print("done", flush=True)
time.sleep(3600)
"#;

fn objects() -> String {
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
            "spec": {"clusterIP": "10.96.3.4", "ports": [{"name": "http", "port": 8088}]}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "heads"},
            "spec": {"clusterIP": "None", "selector": {"app": "client"}, "ports": [{"name": "http", "port": 80}]}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "inner"},
            "spec": {"type": "ExternalName", "externalName": "web.default.svc.cluster.local"}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "circle"},
            "spec": {"type": "ExternalName", "externalName": "circle.default.svc.cluster.local"}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "early"},
            "spec": {"clusterIP": "None", "selector": {"app": "none"}, "ports": [{"port": 80}]}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "own"},
            "spec": {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["10.96.0.10"],
                    "searches": ["kube-system.svc.cluster.local"], "options": [{"name": "ndots", "value": "2"}]},
                "restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": "host",
                    "command": ["sh", "-c", "cat /etc/resolv.conf; until getent ahostsv4 kube-dns; do sleep 0.2; done"]}]}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "client", "labels": {"app": "client"}},
            "spec": {"hostname": "one", "subdomain": "heads", "terminationGracePeriodSeconds": 1,
                "hostAliases": [{"ip": "192.0.2.7", "hostnames": ["from-the-pod.example"]}],
                "containers": [{"name": "c", "image": "host", "command": ["python3", "-c", CLIENT]}]}},
    ]});
    list.to_string()
}

fn names_resolve(user: As) {
    let cluster = Cluster::up(user, &[]);
    cluster.ok_with(&["apply", "-f", "-"], &objects());
    let said = cluster.until(&["logs", "client"], "the client is done", |said| said.contains("done"));
    let ip = cluster.ok(&["get", "pod", "client", "-o", "jsonpath={.status.podIP}"]);
    let says = |line: &str| assert!(said.lines().any(|said| said == line), "no {line:?} in\n{said}");
    says("short 10.96.3.4");
    says("full 10.96.3.4");
    says("across 10.96.0.1");
    says(&format!("headless {ip}"));
    says(&format!("host {ip}"));
    says("missing none");
    says("srv 1 True");
    says("tcp 1");
    says("rcode 3");
    says("ptr kube-dns.kube-system.svc.cluster.local");
    says("getent 10.96.3.4");
    says("alias 10.96.3.4 10.96.3.4");
    says("circle none");
    says("not ready none");
    says("hosts file 192.0.2.7");
    says("ptr of a host True");
    says("srv of hosts True");
    says("pod True");
    says("outside True");
    let resolv = said.lines().find(|line| line.starts_with("resolv")).unwrap();
    assert!(resolv.contains("search default.svc.cluster.local svc.cluster.local cluster.local"), "{resolv}");
    assert!(resolv.contains("nameserver 10.96.0.10") && resolv.ends_with("options ndots:5"), "{resolv}");
    let service = cluster.ok(&["get", "service", "kube-dns", "-n", "kube-system", "-o", "jsonpath={.spec.clusterIP}"]);
    assert_eq!(service, "10.96.0.10");
    own_configuration(&cluster);
}

/// A pod with a configuration of its own has that and no more.
fn own_configuration(cluster: &Cluster) {
    let ended = ["get", "pod", "own", "-o", "jsonpath={.status.phase}"];
    cluster.until(&ended, "it has found the name", |phase| phase == "Succeeded");
    let said = cluster.ok(&["logs", "own"]);
    let lines: Vec<&str> = said.lines().take(3).collect();
    assert_eq!(lines, ["search kube-system.svc.cluster.local", "nameserver 10.96.0.10", "options ndots:2"], "{said}");
    assert!(said.lines().nth(3).is_some_and(|line| line.starts_with("10.96.0.10 ")), "{said}");
}

#[test]
fn pods_resolve_names_as_root() {
    if is_root() {
        names_resolve(As::Me);
    }
}

#[test]
fn pods_resolve_names_without_root() {
    names_resolve(if is_root() { As::Nobody } else { As::Me });
}
