//! The pod networks of the nodes, cut from one range that nobody else on the machine has.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::Context as _;
use orc_runtime::pod_net::{Cidr, InstanceId};

use crate::args::ServiceCidr;

/// Where the data folder keeps the range that was chosen: pods outlive a crash, and their addresses with them.
const KEPT: &str = "pod-cidr";
/// The ranges to choose from: 10.128 to 10.223, which are neither the Services' nor what home routers and Docker hand out.
const FIRST: u8 = 128;
const HOW_MANY: u8 = 96;
/// What stands for the Services' network where interfaces stand; no interface has such a name.
const SERVICES: &str = "/services";

/// A range with a prefix of 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodRanges {
    base: Ipv4Addr,
}

impl PodRanges {
    /// Reads a range with a prefix of 16.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let base = text
            .strip_suffix("/16")
            .and_then(|base| base.parse::<Ipv4Addr>().ok())
            .filter(|base| base.octets()[2..] == [0, 0]);
        let base = base
            .with_context(|| format!("--pod-cidr {text}: give a network with a prefix of 16, such as 10.244.0.0/16"))?;
        Ok(Self { base })
    }

    /// The range of a data folder: the one that was chosen before, else the first that is free and not the Services', starting at
    /// one that follows from the folder's path.
    ///
    /// # Errors
    /// When no range is free, and those of the file system.
    pub fn of(data: &Path, services: ServiceCidr) -> anyhow::Result<Self> {
        let kept = data.join(KEPT);
        if let Ok(text) = std::fs::read_to_string(&kept) {
            return Self::parse(text.trim()).with_context(|| format!("{}", kept.display()));
        }
        let id = InstanceId::of(&data.to_string_lossy());
        let chosen = Self::choose(&id, &routes(services)?)
            .context("all of 10.128.0.0/16 to 10.223.0.0/16 are in use: give --pod-cidr")?;
        std::fs::write(&kept, format!("{}/16\n", chosen.base)).with_context(|| format!("write {}", kept.display()))?;
        Ok(chosen)
    }

    fn choose(id: &InstanceId, routes: &[Route]) -> Option<Self> {
        let hash = id.to_string().bytes().fold(0_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
        let start = (hash % u32::from(HOW_MANY)) as u8;
        let ranges = (0..HOW_MANY).map(|step| FIRST + (start + step) % HOW_MANY);
        let mut ranges = ranges.map(|second| Self { base: Ipv4Addr::new(10, second, 0, 0) });
        ranges.find(|range| range.holder(id, routes).is_none())
    }

    /// That nobody but this cluster has the range: the kernel would send what is for pods to whoever was there first.
    ///
    /// # Errors
    /// Who has it, and what to do.
    pub fn check_free(self, id: &InstanceId, services: ServiceCidr) -> anyhow::Result<()> {
        let Some(holder) = self.holder(id, &routes(services)?) else { return Ok(()) };
        anyhow::ensure!(holder != SERVICES, "the pod network {}/16 overlaps --service-cidr", self.base);
        anyhow::bail!(
            "the pod network {}/16 is in use on this machine, by interface {holder}: give another with --pod-cidr in a fresh \
             --data-dir, or, if {holder} is left over from a cluster that is gone, remove it with `ip link delete {holder}`",
            self.base
        )
    }

    /// The interface of somebody else that has a part of the range.
    fn holder(self, id: &InstanceId, routes: &[Route]) -> Option<String> {
        let own = id.bridge();
        let overlaps = |route: &&Route| {
            let mask = route.mask & 0xffff_0000;
            mask != 0 && route.to & mask == u32::from(self.base) & mask
        };
        routes.iter().filter(|route| route.interface != own).find(overlaps).map(|route| route.interface.clone())
    }

    /// The network and the length of its prefix.
    pub fn network(self) -> (Ipv4Addr, u8) {
        (self.base, 16)
    }

    /// The range of node `number`, 1 to 255.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn node(self, number: u16) -> anyhow::Result<Cidr> {
        let [a, b, ..] = self.base.octets();
        anyhow::ensure!((1..=255).contains(&number), "there is no pod range for node {number}");
        Ok(format!("{a}.{b}.{number}.0/24").parse()?)
    }
}

/// One IPv4 route of this network namespace.
struct Route {
    interface: String,
    to: u32,
    mask: u32,
}

/// The routes of the kernel's main table, and the Services' network, which is in another.
fn routes(services: ServiceCidr) -> anyhow::Result<Vec<Route>> {
    let path = "/proc/net/route";
    let text = std::fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    let mask = u32::MAX.checked_shl(32 - u32::from(services.bits)).unwrap_or(0);
    let services = Route { interface: SERVICES.to_owned(), to: services.base.into(), mask };
    Ok(text.lines().skip(1).filter_map(route).chain([services]).collect())
}

/// Reads a line of `/proc/net/route`: interface, destination, gateway, flags, ... mask, where addresses are numbers in hexadecimal
/// digits that have network order in memory.
fn route(line: &str) -> Option<Route> {
    let address = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::from_be);
    let fields: Vec<&str> = line.split_whitespace().collect();
    Some(Route {
        interface: (*fields.first()?).to_owned(),
        to: address(fields.get(1)?)?,
        mask: address(fields.get(7)?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(interface: &str, to: [u8; 4], bits: u32) -> Route {
        let hex = |number: u32| format!("{:08X}", number.to_be());
        let (to, mask) = (hex(u32::from_be_bytes(to)), hex(!(u32::MAX.checked_shr(bits).unwrap_or(0))));
        route(&format!("{interface}\t{to}\t00000000\t0001\t0\t0\t0\t{mask}\t0\t0\t0")).unwrap()
    }

    #[test]
    fn a_range_that_somebody_has_is_passed_over() {
        let id = InstanceId::of("/var/lib/orc");
        let first = PodRanges::choose(&id, &[on("eth0", [0, 0, 0, 0], 0)]).unwrap();
        let [_, second, ..] = first.base.octets();
        let theirs = on("orc-other", [10, second, 7, 0], 24);
        let next = PodRanges::choose(&id, &[theirs]).unwrap();
        assert_eq!(next.base.octets()[1], FIRST + (second - FIRST + 1) % HOW_MANY);
        assert_eq!(PodRanges::choose(&id, &[on(&id.bridge(), [10, second, 1, 0], 24)]), Some(first), "its own");
        assert_eq!(PodRanges::choose(&id, &[on("vpn", [10, 0, 0, 0], 8)]), None, "a network around all of them");
    }

    #[test]
    fn a_data_folder_keeps_its_range() {
        let folder = tempfile::tempdir().unwrap();
        let services = |text: &str| text.parse::<ServiceCidr>().unwrap();
        let of = |text: &str| PodRanges::of(folder.path(), services(text));
        let chosen = of("10.96.0.0/16").unwrap();
        let (base, bits) = chosen.network();
        assert_eq!(of(&format!("{base}/{bits}")).unwrap(), chosen, "it was chosen before");
        let id = InstanceId::of(&folder.path().to_string_lossy());
        let overlap = chosen.check_free(&id, services(&format!("{base}/{bits}"))).unwrap_err().to_string();
        assert_eq!(overlap, format!("the pod network {base}/16 overlaps --service-cidr"));
        std::fs::write(folder.path().join(KEPT), "10.200.0.0/16\n").unwrap();
        assert_eq!(of("10.96.0.0/16").unwrap(), PodRanges::parse("10.200.0.0/16").unwrap());
        std::fs::write(folder.path().join(KEPT), "nonsense").unwrap();
        assert!(of("10.96.0.0/16").is_err());
    }
}
