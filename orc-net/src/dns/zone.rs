//! What the cluster's zone is called and where it is served.

use std::net::{IpAddr, Ipv4Addr};

use hickory_proto::rr::{Name, RData, Record, rdata::SOA};

/// How long resolvers may keep a record, seconds. CoreDNS ships the same; short, because Services come and go.
pub const TTL: u32 = 30;
/// How long resolvers may keep that there is none, seconds: a pod that asks a moment too early asks again soon.
pub const NEGATIVE_TTL: u32 = 5;

/// The zone of a cluster.
#[derive(Clone, Debug)]
pub struct Zone {
    labels: Vec<String>,
    origin: Name,
    /// Where it is served: the address of the Service `kube-dns`.
    pub address: Ipv4Addr,
    /// Networks of the cluster (base, prefix). Their addresses are nobody else's, so that nobody else is asked for their names.
    pub networks: Vec<(Ipv4Addr, u8)>,
}

impl Zone {
    /// A zone of a domain such as `cluster.local`. `None` when that is no name.
    pub fn new(domain: &str, address: Ipv4Addr, networks: Vec<(Ipv4Addr, u8)>) -> Option<Self> {
        let mut origin = Name::from_ascii(domain).ok()?.to_lowercase();
        origin.set_fqdn(true);
        let labels = labels(&origin);
        // The longest name below it that is answered: a port, a protocol, a service, a namespace, `svc`.
        (!labels.is_empty() && domain.len() <= 48).then_some(Self { labels, origin, address, networks })
    }

    /// The zone's own name.
    pub fn origin(&self) -> &Name {
        &self.origin
    }

    /// The labels before the zone's name, when the name is in it.
    pub(super) fn strip<'a>(&self, labels: &'a [String]) -> Option<&'a [String]> {
        labels.strip_suffix(self.labels.as_slice())
    }

    /// A name below the zone. `None` when it is longer than a name may be.
    pub(super) fn name(&self, below: &[&str]) -> Option<Name> {
        let below = Name::from_labels(below.iter().map(|label| label.as_bytes())).ok()?;
        below.append_domain(&self.origin).ok()
    }

    /// Whether an address belongs to the cluster.
    pub(super) fn owns(&self, address: IpAddr) -> bool {
        let IpAddr::V4(address) = address else { return false };
        let within = |(base, bits): &(Ipv4Addr, u8)| {
            let shift = 32 - u32::from((*bits).min(32));
            u32::from(address).checked_shr(shift) == u32::from(*base).checked_shr(shift)
        };
        self.networks.iter().any(within)
    }

    /// The start of authority. As the authority of a negative answer it says how long that may be kept (RFC 2308).
    pub(super) fn soa(&self, serial: u32, ttl: u32) -> Record {
        let named = |labels: &[&str]| self.name(labels).unwrap_or_else(|| self.origin.clone());
        let soa = SOA::new(named(&["ns", "dns"]), named(&["hostmaster"]), serial, 7200, 1800, 86400, NEGATIVE_TTL);
        Record::from_rdata(self.origin.clone(), ttl, RData::SOA(soa))
    }
}

/// The labels of a name in lower case. What is not UTF-8 equals no label of ours.
pub(super) fn labels(name: &Name) -> Vec<String> {
    name.iter().map(|label| String::from_utf8_lossy(label).to_ascii_lowercase()).collect()
}
