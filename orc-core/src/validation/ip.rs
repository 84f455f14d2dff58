//! IP addresses and CIDR blocks as API fields hold them.
//!
//! Kubernetes reads addresses "sloppily": IPv4 octets may have leading zeros and count as decimal. New fields refuse
//! that; both readings are here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address, with leading zeros allowed in IPv4 octets.
pub fn parse_sloppy(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        let plain = match text.rsplit_once(':') {
            Some((head, tail)) if tail.contains('.') => format!("{head}:{}", parse_v4(tail)?),
            _ => text.to_owned(),
        };
        return plain.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    parse_v4(text).map(IpAddr::V4)
}

fn parse_v4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0_u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let digits = part.trim_start_matches('0');
        *octet = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

/// A block, as address and prefix length, with the sloppy reading of the address.
pub fn parse_cidr_sloppy(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let address = parse_sloppy(address)?;
    if prefix.is_empty() || prefix.len() > 3 || !prefix.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let prefix: u8 = prefix.parse().ok()?;
    let limit = if address.is_ipv4() { 32 } else { 128 };
    (prefix <= limit).then_some((address, prefix))
}

/// Whether an address is IPv4, counting IPv4 mapped into IPv6 as Go does.
pub fn is_v4(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(six) => six.to_ipv4_mapped().is_some(),
    }
}

/// The first address of a block.
pub fn network(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(four) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((u32::from(four) & mask).into())
        }
        IpAddr::V6(six) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((u128::from(six) & mask).into())
        }
    }
}

/// Broken rules of an address field.
pub fn ip(value: &str) -> Vec<String> {
    match parse_sloppy(value) {
        Some(_) => Vec::new(),
        None => vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()],
    }
}

/// Broken rules of an address field that refuses leading zeros and IPv4 mapped into IPv6.
pub fn ip_strict(value: &str) -> Vec<String> {
    match (parse_sloppy(value), value.parse::<IpAddr>()) {
        (None, _) => ip(value),
        (Some(_), Err(_)) => vec!["must not have leading 0s".to_owned()],
        (Some(_), Ok(IpAddr::V6(six))) if six.to_ipv4_mapped().is_some() => {
            vec!["must not be an IPv4-mapped IPv6 address".to_owned()]
        }
        _ => Vec::new(),
    }
}

/// Broken rules of a block field.
pub fn cidr(value: &str) -> Vec<String> {
    match parse_cidr_sloppy(value) {
        Some(_) => Vec::new(),
        None => vec!["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)".to_owned()],
    }
}

/// Broken rules of a block field that refuses leading zeros, IPv4 mapped into IPv6 and bits past the prefix.
pub fn cidr_strict(value: &str) -> Vec<String> {
    let Some((address, prefix)) = parse_cidr_sloppy(value) else { return cidr(value) };
    let mut errors = Vec::new();
    let (head, tail) = value.split_once('/').unwrap_or((value, ""));
    let zeros = head.parse::<IpAddr>().is_err() || (tail.len() > 1 && tail.starts_with('0'));
    if zeros {
        errors.push("must not have leading 0s in IP or prefix length".to_owned());
    } else if matches!(address, IpAddr::V6(six) if six.to_ipv4_mapped().is_some()) {
        errors.push("must not have an IPv4-mapped IPv6 address".to_owned());
    }
    if network(address, prefix) != address {
        errors.push("must not have bits set beyond the prefix length".to_owned());
    }
    errors
}

/// Warnings for an address field that was found valid: forms that a later release refuses, and non-canonical IPv6.
pub fn warnings(field: &str, value: &str) -> Vec<String> {
    let Some(address) = parse_sloppy(value) else { return Vec::new() };
    let mapped = matches!(address, IpAddr::V6(six) if six.to_ipv4_mapped().is_some());
    if value.parse::<IpAddr>().is_err() || mapped {
        let plain = address.to_canonical();
        return vec![format!(
            "{field}: non-standard IP address \"{value}\" will be considered invalid in a future Kubernetes release: use \"{plain}\""
        )];
    }
    if address.is_ipv6() && address.to_string() != value {
        return vec![format!(
            "{field}: IPv6 address \"{value}\" should be in RFC 5952 canonical format (\"{address}\")"
        )];
    }
    Vec::new()
}

/// Warnings for a block field that was found valid.
pub fn cidr_warnings(field: &str, value: &str) -> Vec<String> {
    let Some((address, prefix)) = parse_cidr_sloppy(value) else { return Vec::new() };
    let base = network(address, prefix);
    let mut warnings = Vec::new();
    if base != address {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        warnings.push(format!(
            "{field}: CIDR value \"{value}\" is ambiguous in this context (should be \"{base}/{prefix}\" or \"{address}/{bits}\"?)"
        ));
    }
    let (head, tail) = value.split_once('/').unwrap_or((value, ""));
    let mapped = matches!(address, IpAddr::V6(six) if six.to_ipv4_mapped().is_some());
    if head.parse::<IpAddr>().is_err() || (tail.len() > 1 && tail.starts_with('0')) || mapped {
        warnings.push(format!(
            "{field}: non-standard CIDR value \"{value}\" will be considered invalid in a future Kubernetes release: use \"{base}/{prefix}\""
        ));
    }
    if warnings.is_empty() && address.is_ipv6() && format!("{address}/{prefix}") != value {
        warnings.push(format!(
            "{field}: IPv6 CIDR value \"{value}\" should be in RFC 5952 canonical format (\"{address}/{prefix}\")"
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_leading_zeros_as_decimal() {
        assert_eq!(parse_sloppy("010.0.0.1"), Some(IpAddr::from([10, 0, 0, 1])));
        assert!(parse_sloppy("10.0.0.256").is_none() && parse_sloppy("10.0.0").is_none());
        assert_eq!(ip_strict("010.0.0.1"), ["must not have leading 0s"]);
        assert_eq!(cidr_strict("10.0.0.1/24"), ["must not have bits set beyond the prefix length"]);
        assert!(cidr_strict("10.0.0.0/24").is_empty() && cidr_strict("::/0").is_empty());
        assert_eq!(cidr_warnings("f", "10.0.0.1/24").len(), 1);
    }
}
