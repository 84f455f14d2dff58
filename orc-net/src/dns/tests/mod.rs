//! Answers as a function of objects.

mod server;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::lookup::{Outcome, lookup};
use super::message::{Answer, Packet, Question, Transport};
use super::view::SERVICE_LABEL;
use super::{View, Zone};

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
    fn lookups_stay_in_the_zone(labels in prop::collection::vec("(web|heads|out|d|svc|pod|_http|_tcp|h-0|1-2-3-4|[*]|[a-z0-9_]{1,9})", 0..6),
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
