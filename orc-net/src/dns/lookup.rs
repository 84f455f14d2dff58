//! View and question in, records out.

use std::net::{IpAddr, Ipv4Addr};

use hickory_proto::rr::rdata::{A, CNAME, NS, PTR, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use k8s_openapi::api::core::v1::Service;

use super::records::{Member, Shape, members, shape};
use super::view::{SERVICE_LABEL, View};
use super::zone::{TTL, Zone, labels};

/// The version of the specification that is followed.
const SCHEMA: &str = "1.1.0";

/// What a view knows of a question.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// Records of the type that was asked for.
    Found {
        /// The answer; in a fixed order.
        answers: Vec<Record>,
        /// Addresses of the names in it.
        additionals: Vec<Record>,
    },
    /// The name is another name for this one, which is to be looked up in turn.
    Alias(Box<Record>, Name),
    /// The name exists, without records of that type (NODATA).
    NoData,
    /// There is no such name (NXDOMAIN).
    NoName,
    /// The name is not the cluster's.
    Elsewhere,
}

/// Looks up a name. A pure function of the view.
pub fn lookup(zone: &Zone, view: &dyn View, name: &Name, kind: RecordType) -> Outcome {
    let asked = labels(name);
    let ask = Ask { zone, view, name, kind };
    match zone.strip(&asked) {
        Some(below) => ask.zone(&below.iter().map(String::as_str).collect::<Vec<_>>()),
        None => match address_of_arpa(&asked) {
            Some(address) => ask.reverse(address),
            None => Outcome::Elsewhere,
        },
    }
}

/// The address in a name such as `4.3.2.1.in-addr.arpa`.
pub(super) fn address_of_arpa(labels: &[String]) -> Option<IpAddr> {
    let [d, c, b, a, "in-addr", "arpa"] = labels.iter().map(String::as_str).collect::<Vec<_>>()[..] else {
        return None;
    };
    format!("{a}.{b}.{c}.{d}").parse().ok()
}

struct Ask<'a> {
    zone: &'a Zone,
    view: &'a dyn View,
    name: &'a Name,
    kind: RecordType,
}

impl Ask<'_> {
    fn zone(&self, below: &[&str]) -> Outcome {
        match below {
            [] => self.apex(),
            ["svc" | "pod" | "dns"] => Outcome::NoData,
            ["ns", "dns"] => self.addresses([self.zone.address]),
            ["dns-version"] => self.of(RecordType::TXT, [RData::TXT(TXT::new(vec![SCHEMA.to_owned()]))]),
            [namespace, "svc"] if self.view.has_services(namespace) => Outcome::NoData,
            // Whether the namespace exists is not known here; CoreDNS' mode `insecure` does not ask for the pod either.
            [_, "pod"] => Outcome::NoData,
            [address, _, "pod"] => match address.replace('-', ".").parse::<Ipv4Addr>() {
                Ok(parsed) if parsed.to_string().replace('.', "-") == *address => self.addresses([parsed]),
                _ => Outcome::NoName,
            },
            [rest @ .., name, namespace, "svc"] => match self.view.service(namespace, name) {
                Some(service) => self.service(rest, namespace, name, &service),
                None => Outcome::NoName,
            },
            _ => Outcome::NoName,
        }
    }

    fn apex(&self) -> Outcome {
        let server = self.zone.name(&["ns", "dns"]);
        match self.kind {
            RecordType::SOA | RecordType::ANY => {
                let serial = self.view.serial().unwrap_or_default();
                Outcome::Found { answers: vec![self.zone.soa(serial, TTL)], additionals: Vec::new() }
            }
            RecordType::NS => {
                let glue = server.iter().map(|name| record(name, RData::A(A(self.zone.address)))).collect();
                with(self.of(RecordType::NS, server.iter().map(|name| RData::NS(NS(name.clone())))), glue)
            }
            _ => Outcome::NoData,
        }
    }

    fn service(&self, rest: &[&str], namespace: &str, name: &str, service: &Service) -> Outcome {
        match (shape(self.view, namespace, service), rest) {
            (Shape::Alias(target), []) => self.alias(&target),
            (Shape::Clustered(own), []) => self.addresses(own),
            (Shape::Headless(members), []) => self.addresses(members.into_iter().map(|member| member.address)),
            (Shape::Headless(members), [host]) if !host.starts_with('_') => {
                let mut named = members.into_iter().filter(|member| member.host == *host).peekable();
                if named.peek().is_none() {
                    Outcome::NoName
                } else {
                    self.addresses(named.map(|member| member.address))
                }
            }
            (Shape::Clustered(own), [.., protocol]) => {
                let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
                let ports = ports.filter_map(|port| {
                    let protocol = port.protocol.as_deref().unwrap_or("TCP").to_ascii_lowercase();
                    Some((port.name.clone()?, protocol, u16::try_from(port.port).ok()?))
                });
                let member = |address| Member { host: String::new(), address, ports: Vec::new() };
                let here: Vec<Member> = own.into_iter().map(member).collect();
                let offers = ports.map(|(port, protocol, number)| (port, protocol, number, here.clone())).collect();
                self.port(rest, protocol, &[name, namespace, "svc"], offers)
            }
            (Shape::Headless(members), [.., protocol]) => {
                let offer = |member: Member| {
                    let ports = member.ports.clone();
                    ports
                        .into_iter()
                        .map(move |(port, protocol, number)| (port, protocol, number, vec![member.clone()]))
                };
                let offers = members.into_iter().flat_map(offer).collect();
                self.port(rest, protocol, &[name, namespace, "svc"], offers)
            }
            (Shape::Alias(_), _) => Outcome::NoName,
        }
    }

    /// `_port._protocol.service`: one SRV record an offer, and the addresses of their targets.
    fn port(&self, rest: &[&str], protocol: &str, service: &[&str], offers: Vec<Offer>) -> Outcome {
        let Some(protocol) = protocol.strip_prefix('_') else { return Outcome::NoName };
        let named = offers.into_iter().filter(|(port, of, ..)| !port.is_empty() && of == protocol);
        let offers: Vec<Offer> = match rest {
            [port, _] => named.filter(|(name, ..)| port.strip_prefix('_') == Some(name)).collect(),
            [_] => return if named.count() == 0 { Outcome::NoName } else { Outcome::NoData },
            _ => return Outcome::NoName,
        };
        if offers.is_empty() {
            return Outcome::NoName;
        }
        // Equal shares of 100, as CoreDNS gives; each at least 1.
        let weight = u16::try_from(100 / offers.len()).unwrap_or(1).max(1);
        let (mut answers, mut glue) = (Vec::new(), Vec::new());
        for (_, _, port, members) in &offers {
            let host = members.first().map(|member| member.host.as_str()).filter(|host| !host.is_empty());
            let below: Vec<&str> = host.into_iter().chain(service.iter().copied()).collect();
            let Some(target) = self.zone.name(&below) else { continue };
            glue.extend(members.iter().map(|member| record(&target, RData::A(A(member.address)))));
            answers.push(RData::SRV(SRV::new(0, weight, *port, target)));
        }
        with(self.of(RecordType::SRV, answers), glue)
    }

    fn alias(&self, target: &str) -> Outcome {
        let Ok(mut target) = Name::from_ascii(target) else { return Outcome::NoData };
        target.set_fqdn(true);
        let alias = record(self.name, RData::CNAME(CNAME(target.clone())));
        match self.kind {
            RecordType::CNAME | RecordType::ANY => Outcome::Found { answers: vec![alias], additionals: Vec::new() },
            _ => Outcome::Alias(Box::new(alias), target),
        }
    }

    fn reverse(&self, address: IpAddr) -> Outcome {
        let mut names: Vec<Name> = Vec::new();
        for service in self.view.services_at(address) {
            let (name, namespace) = (service.metadata.name.as_deref(), service.metadata.namespace.as_deref());
            names.extend(self.zone.name(&[name.unwrap_or_default(), namespace.unwrap_or_default(), "svc"]));
        }
        for slice in self.view.slices_at(address) {
            let namespace = slice.metadata.namespace.as_deref().unwrap_or_default();
            let owner = slice.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_LABEL));
            let Some(service) = owner.and_then(|owner| self.view.service(namespace, owner)) else { continue };
            let spec = service.spec.clone().unwrap_or_default();
            if spec.cluster_ip.as_deref() != Some("None") {
                continue;
            }
            let here = members(&slice, spec.publish_not_ready_addresses.unwrap_or(false)).into_iter();
            for member in here.filter(|member| IpAddr::V4(member.address) == address) {
                let service = service.metadata.name.as_deref().unwrap_or_default();
                names.extend(self.zone.name(&[&member.host, service, namespace, "svc"]));
            }
        }
        names.sort();
        names.dedup();
        match (names.is_empty(), self.zone.owns(address)) {
            (false, _) => self.of(RecordType::PTR, names.into_iter().map(|name| RData::PTR(PTR(name)))),
            (true, true) => Outcome::NoName,
            (true, false) => Outcome::Elsewhere,
        }
    }

    fn addresses(&self, addresses: impl IntoIterator<Item = Ipv4Addr>) -> Outcome {
        let mut sorted: Vec<Ipv4Addr> = addresses.into_iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        self.of(RecordType::A, sorted.into_iter().map(|address| RData::A(A(address))))
    }

    /// The data, if it is of the type that was asked for.
    fn of(&self, kind: RecordType, data: impl IntoIterator<Item = RData>) -> Outcome {
        if self.kind != kind && self.kind != RecordType::ANY {
            return Outcome::NoData;
        }
        let answers: Vec<Record> = data.into_iter().map(|data| record(self.name, data)).collect();
        if answers.is_empty() { Outcome::NoData } else { Outcome::Found { answers, additionals: Vec::new() } }
    }
}

/// A named port, its protocol, its number, and who has it.
type Offer = (String, String, u16, Vec<Member>);

fn with(outcome: Outcome, glue: Vec<Record>) -> Outcome {
    match outcome {
        Outcome::Found { answers, .. } => Outcome::Found { answers, additionals: glue },
        other => other,
    }
}

fn record(name: &Name, data: RData) -> Record {
    Record::from_rdata(name.clone(), TTL, data)
}
