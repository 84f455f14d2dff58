//! The network of Service addresses, as a flag.

use std::net::Ipv4Addr;

/// The network of Service addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceCidr {
    /// Its first address.
    pub base: Ipv4Addr,
    /// The length of its prefix, 8 to 28.
    pub bits: u8,
}

impl ServiceCidr {
    /// The address of the `kubernetes` Service: the first one after the network's own.
    pub fn api(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base) + 1)
    }

    /// The address of cluster DNS: the tenth one, where kubeadm puts it.
    pub fn dns(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base) + 10)
    }
}

impl std::str::FromStr for ServiceCidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (base, bits) = text.split_once('/')?;
            let (base, bits): (Ipv4Addr, u8) = (base.parse().ok()?, bits.parse().ok()?);
            let aligned = (8..=28).contains(&bits) && u32::from(base).trailing_zeros() >= u32::from(32 - bits);
            aligned.then_some(Self { base, bits })
        };
        parse().ok_or_else(|| "give an IPv4 network with a prefix of 8 to 28, such as 10.96.0.0/12".to_owned())
    }
}
