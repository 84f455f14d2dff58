//! Answers as a function of objects, and the server over real sockets.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use orc_core::env::{Rng, Spawner};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use super::forward::framed;
use super::host::HostFiles;
use super::lookup::{Outcome, lookup};
use super::message::{Answer, Packet, Question, Transport};
use super::view::SERVICE_LABEL;
use super::{DnsConfig, DnsServer, Reach, View, Zone};

/// Some objects as a view.
#[derive(Default, Clone)]
struct Objects {
    services: Vec<Arc<Service>>,
    slices: Vec<Arc<EndpointSlice>>,
    filling: bool,
}

impl View for Objects {
    fn serial(&self) -> Option<u32> {
        (!self.filling).then_some(7)
    }
    fn service(&self, namespace: &str, name: &str) -> Option<Arc<Service>> {
        let is_it = |s: &&Arc<Service>| {
            s.metadata.name.as_deref() == Some(name) && s.metadata.namespace.as_deref() == Some(namespace)
        };
        self.services.iter().find(is_it).cloned()
    }
    fn has_services(&self, namespace: &str) -> bool {
        self.services.iter().any(|s| s.metadata.namespace.as_deref() == Some(namespace))
    }
    fn slices(&self, namespace: &str, service: &str) -> Vec<Arc<EndpointSlice>> {
        let of = |s: &&Arc<EndpointSlice>| {
            let owner = s.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_LABEL));
            s.metadata.namespace.as_deref() == Some(namespace) && owner.map(String::as_str) == Some(service)
        };
        self.slices.iter().filter(of).cloned().collect()
    }
    fn services_at(&self, address: IpAddr) -> Vec<Arc<Service>> {
        let at = |s: &&Arc<Service>| super::view::addresses_of(s).any(|ip| ip == address);
        self.services.iter().filter(at).cloned().collect()
    }
    fn slices_at(&self, address: IpAddr) -> Vec<Arc<EndpointSlice>> {
        let text = address.to_string();
        let at = |s: &&Arc<EndpointSlice>| s.endpoints.iter().flatten().any(|e| e.addresses.contains(&text));
        self.slices.iter().filter(at).cloned().collect()
    }
}

impl Objects {
    fn service(mut self, name: &str, spec: Value) -> Self {
        let object = json!({"metadata": {"namespace": "d", "name": name}, "spec": spec});
        self.services.push(Arc::new(serde_json::from_value(object).unwrap()));
        self
    }

    fn slice(mut self, service: &str, endpoints: Value) -> Self {
        let object = json!({"metadata": {"namespace": "d", "name": "s", "labels": {SERVICE_LABEL: service}}, "addressType": "IPv4",
            "endpoints": endpoints, "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]});
        self.slices.push(Arc::new(serde_json::from_value(object).unwrap()));
        self
    }
}

fn objects() -> Objects {
    let port = json!([{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}]);
    Objects::default()
        .service("web", json!({"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"], "ports": port}))
        .service("heads", json!({"clusterIP": "None", "clusterIPs": ["None"], "ports": port}))
        .service("early", json!({"clusterIP": "None", "publishNotReadyAddresses": true}))
        .service("out", json!({"type": "ExternalName", "externalName": "example.test"}))
        .service("circle", json!({"type": "ExternalName", "externalName": "circle.d.svc.cluster.local"}))
        .service("inner", json!({"type": "ExternalName", "externalName": "web.d.svc.cluster.local"}))
        .slice(
            "heads",
            json!([
            {"addresses": ["10.1.0.4"], "hostname": "h-0", "conditions": {"ready": true}},
            {"addresses": ["10.1.0.5"], "conditions": {}},
            {"addresses": ["10.1.0.6"], "conditions": {"ready": false}}]),
        )
        .slice("early", json!([{"addresses": ["10.1.0.8"], "hostname": "e-0", "conditions": {"ready": false}}]))
}

fn zone() -> Zone {
    let networks = vec![(Ipv4Addr::new(10, 96, 0, 0), 12), (Ipv4Addr::new(10, 1, 0, 0), 16)];
    Zone::new("cluster.local", Ipv4Addr::new(10, 96, 0, 10), networks).unwrap()
}

fn ask(name: &str, kind: RecordType) -> Outcome {
    lookup(&zone(), &objects(), &Name::from_ascii(name).unwrap(), kind)
}

/// The data of an answer in its order, or why there is none.
fn said(name: &str, kind: RecordType) -> String {
    match ask(name, kind) {
        Outcome::Found { answers, .. } => {
            assert!(answers.iter().all(|record| record.name == Name::from_ascii(name).unwrap()));
            answers.iter().map(|record| record.data.to_string()).collect::<Vec<_>>().join(" | ")
        }
        Outcome::Alias(_, target) => format!("alias {target}"),
        Outcome::NoData => "no data".to_owned(),
        Outcome::NoName => "no name".to_owned(),
        Outcome::Elsewhere => "elsewhere".to_owned(),
    }
}

#[test]
fn names_have_the_records_of_the_specification() {
    use RecordType as T;
    let table = [
        ("web.d.svc.cluster.local.", T::A, "10.96.0.7"),
        ("WEB.d.SVC.cluster.local.", T::A, "10.96.0.7"),
        ("web.d.svc.cluster.local.", T::AAAA, "no data"),
        ("web.d.svc.cluster.local.", T::MX, "no data"),
        ("web.other.svc.cluster.local.", T::A, "no name"),
        ("*.d.svc.cluster.local.", T::A, "no name"),
        ("d.svc.cluster.local.", T::A, "no data"),
        ("x.svc.cluster.local.", T::A, "no name"),
        ("svc.cluster.local.", T::A, "no data"),
        ("_http._tcp.web.d.svc.cluster.local.", T::SRV, "0 100 80 web.d.svc.cluster.local."),
        ("_dns._udp.web.d.svc.cluster.local.", T::SRV, "0 100 53 web.d.svc.cluster.local."),
        ("_dns._tcp.web.d.svc.cluster.local.", T::SRV, "no name"),
        ("_http._tcp.web.d.svc.cluster.local.", T::A, "no data"),
        ("_tcp.web.d.svc.cluster.local.", T::SRV, "no data"),
        ("_sctp.web.d.svc.cluster.local.", T::SRV, "no name"),
        ("heads.d.svc.cluster.local.", T::A, "10.1.0.4 | 10.1.0.5"),
        ("h-0.heads.d.svc.cluster.local.", T::A, "10.1.0.4"),
        ("10-1-0-5.heads.d.svc.cluster.local.", T::A, "10.1.0.5"),
        ("10-1-0-6.heads.d.svc.cluster.local.", T::A, "no name"),
        ("h-0.web.d.svc.cluster.local.", T::A, "no name"),
        ("early.d.svc.cluster.local.", T::A, "10.1.0.8"),
        (
            "_http._tcp.heads.d.svc.cluster.local.",
            T::SRV,
            "0 50 8080 10-1-0-5.heads.d.svc.cluster.local. | 0 50 8080 h-0.heads.d.svc.cluster.local.",
        ),
        ("out.d.svc.cluster.local.", T::CNAME, "example.test."),
        ("out.d.svc.cluster.local.", T::A, "alias example.test."),
        ("1-2-3-4.d.pod.cluster.local.", T::A, "1.2.3.4"),
        ("1-2-3.d.pod.cluster.local.", T::A, "no name"),
        ("1-2-3-256.d.pod.cluster.local.", T::A, "no name"),
        ("7.0.96.10.in-addr.arpa.", T::PTR, "web.d.svc.cluster.local."),
        ("4.0.1.10.in-addr.arpa.", T::PTR, "h-0.heads.d.svc.cluster.local."),
        ("6.0.1.10.in-addr.arpa.", T::PTR, "no name"),
        ("9.9.9.9.in-addr.arpa.", T::PTR, "elsewhere"),
        ("cluster.local.", T::NS, "ns.dns.cluster.local."),
        ("ns.dns.cluster.local.", T::A, "10.96.0.10"),
        ("cluster.local.", T::A, "no data"),
        ("dns-version.cluster.local.", T::TXT, "1.1.0"),
        ("example.com.", T::A, "elsewhere"),
        ("notcluster.local.", T::A, "elsewhere"),
    ];
    for (name, kind, want) in table {
        assert_eq!(said(name, kind), want, "{name} {kind}");
    }
    assert!(matches!(ask("cluster.local.", T::SOA), Outcome::Found { answers, .. } if answers[0].ttl == 30));
}

#[test]
fn ports_bring_the_addresses_of_their_targets() {
    let Outcome::Found { answers, additionals } = ask("_http._tcp.heads.d.svc.cluster.local.", RecordType::SRV) else {
        panic!("there are ports")
    };
    let glue: BTreeSet<String> = additionals.iter().map(|record| record.name.to_string()).collect();
    let targets = answers.iter().map(|record| record.data.to_string().rsplit(' ').next().unwrap().to_owned());
    assert_eq!(targets.collect::<BTreeSet<_>>(), glue);
}

fn packet(name: &str, kind: RecordType, payload: Option<u16>) -> Vec<u8> {
    let mut message = Message::query();
    message.metadata.id = 4711;
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    if let Some(payload) = payload {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        message.set_edns(edns);
    }
    message.to_vec().unwrap()
}

fn question(bytes: &[u8], transport: Transport) -> Question {
    match Question::read(bytes, transport) {
        Packet::Question(question) => *question,
        other => panic!("{other:?}"),
    }
}

proptest! {
    /// Whatever is asked, in the zone somebody knows: the same twice, and only records of the name and type asked for.
    #[test]
    fn lookups_stay_in_the_zone(labels in prop::collection::vec("(web|heads|out|d|svc|pod|_http|_tcp|h-0|1-2-3-4|[a-z0-9_*-]{1,9})", 0..6),
        kind in prop::sample::select(vec![RecordType::A, RecordType::AAAA, RecordType::SRV, RecordType::CNAME, RecordType::PTR])) {
        let name = Name::from_ascii(labels.iter().map(|l| format!("{l}.")).collect::<String>() + "cluster.local.").unwrap();
        let outcome = lookup(&zone(), &objects(), &name, kind);
        prop_assert_eq!(&outcome, &lookup(&zone(), &objects(), &name, kind));
        prop_assert_ne!(&outcome, &Outcome::Elsewhere);
        if let Outcome::Found { answers, .. } = outcome {
            prop_assert!(!answers.is_empty() && answers.iter().all(|r| r.name == name && r.record_type() == kind));
        }
    }

    /// A headless Service's addresses are exactly those of its ready endpoints.
    #[test]
    fn headless_is_its_ready_endpoints(ready in prop::collection::vec(any::<bool>(), 0..40)) {
        let endpoint = |(at, ready): (usize, &bool)| json!({"addresses": [format!("10.1.1.{at}")], "conditions": {"ready": ready}});
        let view = Objects::default().service("h", json!({"clusterIP": "None"}))
            .slice("h", ready.iter().enumerate().map(endpoint).collect());
        let found = match lookup(&zone(), &view, &Name::from_ascii("h.d.svc.cluster.local.").unwrap(), RecordType::A) {
            Outcome::Found { answers, .. } => answers.len(),
            Outcome::NoData => 0,
            other => panic!("{other:?}"),
        };
        prop_assert_eq!(found, ready.iter().filter(|ready| **ready).count());
    }

    /// Answers fit, and say so when they had to be cut; every turn gives the same records.
    #[test]
    fn answers_fit(count in 1_usize..300, payload in prop::option::of(0_u16..5000), turn: u16) {
        let bytes = packet("h.d.svc.cluster.local.", RecordType::A, payload);
        let name = Name::from_ascii("h.d.svc.cluster.local.").unwrap();
        let record = |n: usize| Record::from_rdata(name.clone(), 30, RData::A(A(Ipv4Addr::from(n as u32))));
        for transport in [Transport::Udp, Transport::Tcp] {
            let question = question(&bytes, transport);
            let answers: Vec<Record> = (0..count).map(record).collect();
            let written = question.write(Answer { answers, ..Answer::code(ResponseCode::NoError) }, turn);
            prop_assert!(written.len() <= question.limit());
            let read = Message::from_vec(&written).unwrap();
            prop_assert_eq!(read.metadata.id, 4711);
            let all: BTreeSet<String> = read.answers.iter().map(ToString::to_string).collect();
            prop_assert_eq!(all.len(), if read.metadata.truncation { 0 } else { count });
            prop_assert!(transport == Transport::Udp || !read.metadata.truncation);
        }
    }
}

struct Direct;

#[async_trait]
impl Reach for Direct {
    async fn bind_udp(&self, address: SocketAddr) -> io::Result<std::net::UdpSocket> {
        std::net::UdpSocket::bind(address)
    }
    async fn connect_tcp(&self, _: SocketAddr) -> io::Result<TcpStream> {
        Err(io::ErrorKind::ConnectionRefused.into())
    }
}

/// A resolver that knows 192.0.2.1 for every name. It first sends a forged answer of another id.
async fn stub(address: &str) -> Spawned {
    let socket = UdpSocket::bind(address).await.unwrap();
    let at = socket.local_addr().unwrap();
    let task = Spawner::new().spawn(async move {
        let mut buffer = [0; 1500];
        while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
            let mut message = Message::from_vec(&buffer[..length]).unwrap().into_response();
            let name = message.queries[0].name().clone();
            message.add_answer(Record::from_rdata(name.clone(), 9, RData::A(A(Ipv4Addr::new(192, 0, 2, 1)))));
            let mut forged = message.to_vec().unwrap();
            forged[0] ^= 0xff;
            *forged.last_mut().unwrap() = 66;
            let _ = socket.send_to(&forged, client).await;
            let _ = socket.send_to(&message.to_vec().unwrap(), client).await;
        }
    });
    Spawned { at, _task: task }
}

struct Spawned {
    at: SocketAddr,
    _task: orc_core::env::Task,
}

async fn server(view: Objects, files: HostFiles) -> DnsServer {
    let config = DnsConfig {
        zone: zone(),
        view: Arc::new(view),
        listen: ([127, 0, 0, 1], 0).into(),
        files,
        reach: Arc::new(Direct),
        rng: Rng::seeded(1),
        spawn: Spawner::new(),
    };
    DnsServer::start(config).await.unwrap()
}

async fn udp(server: &DnsServer, bytes: &[u8]) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(bytes, server.address()).await.unwrap();
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).await.unwrap();
    Message::from_vec(&buffer[..length]).unwrap()
}

fn data(message: &Message) -> Vec<String> {
    message.answers.iter().map(|record| record.data.to_string()).collect()
}

#[tokio::test]
async fn the_server_answers_over_udp_and_tcp_and_survives_what_it_cannot_read() {
    let none = HostFiles { resolv_conf: "/nonexistent".into(), hosts: "/nonexistent".into() };
    let server = server(objects(), none).await;
    let web = packet("web.d.svc.cluster.local.", RecordType::A, Some(1232));
    let answer = udp(&server, &web).await;
    assert_eq!(data(&answer), ["10.96.0.7"]);
    assert!(answer.metadata.authoritative && answer.edns.is_some());
    let answer = udp(&server, &packet("no.d.svc.cluster.local.", RecordType::A, None)).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!((answer.authorities[0].record_type(), answer.authorities[0].ttl), (RecordType::SOA, 5));
    assert_eq!(data(&udp(&server, &packet("inner.d.svc.cluster.local.", RecordType::A, None)).await).len(), 2);
    let circle = udp(&server, &packet("circle.d.svc.cluster.local.", RecordType::A, None)).await;
    assert_eq!(circle.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(udp(&server, &[1, 2, 1, 0, 0, 9, 0, 0, 0, 0, 0, 0]).await.metadata.response_code, ResponseCode::FormErr);
    assert_eq!(
        udp(&server, &packet("example.com.", RecordType::A, None)).await.metadata.response_code,
        ResponseCode::ServFail,
        "there is no resolver"
    );
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    for _ in 0..2 {
        stream.write_all(&framed(&web).unwrap()).await.unwrap();
        let mut bytes = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut bytes).await.unwrap();
        assert_eq!(data(&Message::from_vec(&bytes).unwrap()), ["10.96.0.7"]);
    }
    assert_eq!(server.counts().forwarded, 1);
}

#[tokio::test]
async fn other_names_go_to_the_hosts_resolvers_and_back() {
    // Port 53 of another loopback address: `resolv.conf` has no ports. Not allowed without root, so that the test then says so.
    let upstream = match std::net::UdpSocket::bind("127.77.0.1:53").map(drop) {
        Ok(()) => stub("127.77.0.1:53").await,
        Err(error) => return eprintln!("not run: port 53 cannot be opened: {error}"),
    };
    let folder = tempfile::tempdir().unwrap();
    let files = HostFiles { resolv_conf: folder.path().join("resolv.conf"), hosts: folder.path().join("hosts") };
    std::fs::write(&files.resolv_conf, format!("nameserver 127.77.0.2\nnameserver {}\n", upstream.at.ip())).unwrap();
    std::fs::write(&files.hosts, "192.0.2.9 box\n").unwrap();
    let server = server(objects(), files.clone()).await;
    let answer = udp(&server, &packet("example.com.", RecordType::A, Some(1232))).await;
    assert_eq!(
        (answer.metadata.id, data(&answer)),
        (4711, vec!["192.0.2.1".to_owned()]),
        "the second one, not the forged one"
    );
    let answer = udp(&server, &packet("out.d.svc.cluster.local.", RecordType::A, None)).await;
    assert_eq!(data(&answer), ["example.test.", "192.0.2.1"], "the alias with its target");
    assert_eq!(data(&udp(&server, &packet("BOX.", RecordType::A, None)).await), ["192.0.2.9"]);
    std::fs::write(&files.hosts, "192.0.2.10 box\n").unwrap();
    let changed = async {
        while data(&udp(&server, &packet("box.", RecordType::A, None)).await) != ["192.0.2.10"] {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), changed).await.expect("the file is read again");
}

#[tokio::test]
async fn nothing_is_denied_before_all_objects_are_known() {
    let none = HostFiles { resolv_conf: "/nonexistent".into(), hosts: "/nonexistent".into() };
    let server = server(Objects { filling: true, ..Objects::default() }, none).await;
    let answer = udp(&server, &packet("web.d.svc.cluster.local.", RecordType::A, None)).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
}
