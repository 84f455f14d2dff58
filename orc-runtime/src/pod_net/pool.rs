//! The addresses of one node's pods.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// An IPv4 range such as `10.244.1.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    network: u32,
    prefix: u8,
}

/// The text is no usable range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no pod range: an IPv4 network with a prefix of at most 30, such as 10.244.0.0/24")]
pub struct InvalidCidr(String);

impl FromStr for Cidr {
    type Err = InvalidCidr;

    fn from_str(text: &str) -> Result<Self, InvalidCidr> {
        let parse = || {
            let (address, prefix) = text.split_once('/')?;
            let address: Ipv4Addr = address.parse().ok()?;
            let prefix: u8 = prefix.parse().ok().filter(|p| (1..=30).contains(p))?;
            let network = u32::from(address) & (u32::MAX << (32 - prefix));
            Some(Self { network, prefix })
        };
        parse().ok_or_else(|| InvalidCidr(text.to_owned()))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.network), self.prefix)
    }
}

impl Cidr {
    /// Length of the network part in bits.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// The first address, which the bridge has.
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.network + 1)
    }

    /// Whether an address is in the range.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        u32::from(address) & (u32::MAX << (32 - self.prefix)) == self.network
    }

    fn pods(&self) -> (u32, u32) {
        let last = self.network | !(u32::MAX << (32 - self.prefix));
        (self.network + 2, last - 1)
    }
}

/// Hands out addresses. An address that was freed is the last to be given again, so that connections and caches of
/// the pod before do not meet the next one.
#[derive(Debug, Clone)]
pub struct IpPool {
    cidr: Cidr,
    owners: BTreeMap<u32, String>,
    last: u32,
}

impl IpPool {
    /// A pool with every address free.
    pub fn new(cidr: Cidr) -> Self {
        Self { cidr, owners: BTreeMap::new(), last: cidr.pods().1 }
    }

    /// Its range.
    pub fn cidr(&self) -> Cidr {
        self.cidr
    }

    /// The owner's address, or a free one. `None`: the range is used up.
    pub fn allocate(&mut self, owner: &str) -> Option<Ipv4Addr> {
        if let Some((have, _)) = self.owners.iter().find(|(_, name)| *name == owner) {
            return Some(Ipv4Addr::from(*have));
        }
        let (first, last) = self.cidr.pods();
        let count = last - first + 1;
        let start = self.last - first + 1;
        let free = (0..count).map(|i| first + (start + i) % count).find(|ip| !self.owners.contains_key(ip))?;
        self.last = free;
        self.owners.insert(free, owner.to_owned());
        Some(Ipv4Addr::from(free))
    }

    /// Marks an address as used, as found on disk after a restart.
    pub fn reserve(&mut self, address: Ipv4Addr, owner: &str) {
        if self.cidr.contains(address) {
            self.last = u32::from(address).clamp(self.cidr.pods().0, self.cidr.pods().1);
            self.owners.insert(u32::from(address), owner.to_owned());
        }
    }

    /// Gives the owner's address back.
    pub fn release(&mut self, owner: &str) {
        self.owners.retain(|_, name| name != owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_are_read() {
        let cidr: Cidr = "10.244.1.7/24".parse().unwrap();
        assert_eq!((cidr.to_string().as_str(), cidr.gateway()), ("10.244.1.0/24", Ipv4Addr::new(10, 244, 1, 1)));
        for bad in ["", "10.0.0.0", "10.0.0.0/31", "::/64", "10.0.0.0/0"] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_full_range_says_so_and_recovers() {
        let mut pool = IpPool::new("10.0.0.0/30".parse().unwrap());
        assert_eq!(pool.allocate("a"), Some(Ipv4Addr::new(10, 0, 0, 2)));
        assert_eq!(pool.allocate("a"), Some(Ipv4Addr::new(10, 0, 0, 2)));
        assert_eq!(pool.allocate("b"), None);
        pool.release("a");
        assert!(pool.allocate("b").is_some());
    }

    proptest! {
        #[test]
        fn no_address_has_two_owners(steps in proptest::collection::vec((0u8..20, any::<bool>()), 0..200)) {
            let mut pool = IpPool::new("10.0.0.0/28".parse().unwrap());
            let mut have: BTreeMap<u8, Ipv4Addr> = BTreeMap::new();
            for (owner, take) in steps {
                if take {
                    if let Some(ip) = pool.allocate(&owner.to_string()) {
                        prop_assert!(have.iter().all(|(other, used)| *other == owner || *used != ip));
                        prop_assert!(pool.cidr().contains(ip) && ip != pool.cidr().gateway());
                        have.insert(owner, ip);
                    } else {
                        prop_assert_eq!(have.len(), 13);
                    }
                } else {
                    pool.release(&owner.to_string());
                    have.remove(&owner);
                }
            }
        }
    }
}
