//! IP addresses and blocks (Kubernetes' `ip` and `cidr` libraries). Leading zeros, zones and IPv4 mapped into IPv6 are
//! refused.

use super::{Budget, EvalError, Opaque, OpaqueValue, Outcome, Said, Value, inside, opaque, opaque_value};
use orc_core::validation::ip::network;
use std::net::IpAddr;

#[derive(Debug, PartialEq)]
struct Ip(IpAddr);
opaque_value!(Ip, Ip);

#[derive(Debug, PartialEq)]
struct Cidr(IpAddr, u8);
opaque_value!(Cidr, Cidr);

pub(super) fn call(name: &str, args: &[Value], budget: &mut Budget) -> Said {
    if let [Value::String(text)] = args {
        return match name {
            "ip" | "isIP" | "ip.isCanonical" | "cidr" | "isCIDR" => Some(parse(name, text, budget)),
            _ => None,
        };
    }
    let first = args.first()?;
    match (inside::<Ip>(first), inside::<Cidr>(first)) {
        (Some(ip), _) => Some(of_ip(name, ip.0)),
        (_, Some(cidr)) => Some(of_cidr(name, cidr, &args[1..])),
        _ => None,
    }
}

fn address(text: &str) -> Result<IpAddr, String> {
    let fault = |why: &str| format!("IP Address {text:?} parse error during conversion from string: {why}");
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(six)) if six.to_ipv4_mapped().is_some() => Err(fault("IPv4-mapped IPv6 address is not allowed")),
        Ok(ip) => Ok(ip),
        Err(_) => Err(fault(&format!("ParseAddr({text:?}): unable to parse IP"))),
    }
}

fn block(text: &str) -> Result<Cidr, String> {
    let fault = |why: String| format!("network address parse error during conversion from string: {why}");
    let (ip, prefix) = text.split_once('/').ok_or_else(|| fault(format!("netip.ParsePrefix({text:?}): no '/'")))?;
    let ip = address(ip).map_err(|_| fault(format!("netip.ParsePrefix({text:?}): ParseAddr: unable to parse IP")))?;
    let limit = if ip.is_ipv4() { 32 } else { 128 };
    let plain = prefix.len() == prefix.trim_start_matches('0').len() || prefix == "0";
    match prefix.parse::<u8>() {
        Ok(bits) if bits <= limit && plain && !prefix.starts_with('+') => Ok(Cidr(ip, bits)),
        _ => Err(fault(format!("netip.ParsePrefix({text:?}): bad bits after slash"))),
    }
}

fn parse(name: &str, text: &str, budget: &mut Budget) -> Outcome {
    budget.walk(text.len() as u64, if name == "ip.isCanonical" { 2 } else { 1 })?;
    match name {
        "isIP" => Ok(Value::Bool(address(text).is_ok())),
        "isCIDR" => Ok(Value::Bool(block(text).is_ok())),
        "cidr" => block(text).map(opaque).map_err(EvalError::Failed),
        "ip" => address(text).map(|ip| opaque(Ip(ip))).map_err(EvalError::Failed),
        _ => address(text).map(|ip| Value::Bool(ip.to_string() == text)).map_err(EvalError::Failed),
    }
}

fn of_ip(name: &str, ip: IpAddr) -> Outcome {
    let link_local = match ip {
        IpAddr::V4(four) => four.is_link_local(),
        IpAddr::V6(six) => six.segments()[0] & 0xffc0 == 0xfe80,
    };
    let local_multicast = match ip {
        IpAddr::V4(four) => four.octets()[..3] == [224, 0, 0],
        IpAddr::V6(six) => six.segments()[0] & 0xff0f == 0xff02,
    };
    let broadcast = matches!(ip, IpAddr::V4(four) if four.is_broadcast());
    Ok(match name {
        "family" => Value::Int(if ip.is_ipv4() { 4 } else { 6 }),
        "isUnspecified" => Value::Bool(ip.is_unspecified()),
        "isLoopback" => Value::Bool(ip.is_loopback()),
        "isLinkLocalUnicast" => Value::Bool(link_local),
        "isLinkLocalMulticast" => Value::Bool(local_multicast),
        "isGlobalUnicast" => {
            Value::Bool(!(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || link_local || broadcast))
        }
        "string" => Value::string(ip.to_string()),
        _ => return Err(EvalError::NoSuchOverload),
    })
}

/// Whether a block holds the block of another address and prefix.
fn holds(outer: &Cidr, ip: IpAddr, prefix: u8) -> bool {
    outer.0.is_ipv4() == ip.is_ipv4() && prefix >= outer.1 && network(ip, outer.1) == network(outer.0, outer.1)
}

fn of_cidr(name: &str, cidr: &Cidr, rest: &[Value]) -> Outcome {
    Ok(match (name, rest) {
        ("ip", []) => opaque(Ip(cidr.0)),
        ("masked", []) => opaque(Cidr(network(cidr.0, cidr.1), cidr.1)),
        ("prefixLength", []) => Value::Int(i64::from(cidr.1)),
        ("string", []) => Value::string(format!("{}/{}", cidr.0, cidr.1)),
        ("containsIP", [Value::String(text)]) => {
            let ip = address(text).map_err(EvalError::Failed)?;
            Value::Bool(holds(cidr, ip, 128))
        }
        ("containsIP", [value]) => {
            let ip = inside::<Ip>(value).ok_or(EvalError::NoSuchOverload)?;
            Value::Bool(holds(cidr, ip.0, 128))
        }
        ("containsCIDR", [Value::String(text)]) => {
            let inner = block(text).map_err(EvalError::Failed)?;
            Value::Bool(holds(cidr, inner.0, inner.1))
        }
        ("containsCIDR", [value]) => {
            let inner = inside::<Cidr>(value).ok_or(EvalError::NoSuchOverload)?;
            Value::Bool(holds(cidr, inner.0, inner.1))
        }
        _ => return Err(EvalError::NoSuchOverload),
    })
}
