//! Checks of ports and addresses that several kinds share.

use super::tree::*;
use orc_core::validation::{FieldErrors, FieldPath, ip, names};
use serde_json::Value;
use std::net::IpAddr;

/// A port given as a number or as the name of one.
pub(super) fn number_or_name(value: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    match value {
        Value::String(name) => e.each(path, name, names::port_name(name)),
        other => {
            let number = other.as_i64().unwrap_or(0);
            for rule in names::port_number(number) {
                e.invalid(path, number, rule);
            }
        }
    }
}

/// A number that is not negative, or a percentage.
pub(super) fn count_or_percent(value: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    match value {
        Value::String(text) => e.each(path, text, names::percent(text)),
        other => e.not_negative(path, other.as_i64()),
    }
}

/// The percentage in a value, if it is one.
pub(super) fn percent_of(value: &Value) -> Option<i64> {
    value.as_str()?.strip_suffix('%')?.parse().ok()
}

/// No more than all.
pub(super) fn at_most_all(value: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    if percent_of(value).is_some_and(|p| p > 100) {
        e.invalid(path, value, "must not be greater than 100%");
    }
}

/// Addresses that mean this host, nobody or everybody cannot be endpoints.
pub(super) fn special_ip(address: &str, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let Some(ip) = ip::parse_sloppy(address) else {
        return e.invalid(path, address, "must be a valid IP address");
    };
    if ip.is_unspecified() {
        e.invalid(path, address, format!("may not be unspecified ({address})"));
    }
    if ip.is_loopback() {
        e.invalid(path, address, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    let (local, multicast) = match ip {
        IpAddr::V4(four) => (four.is_link_local(), four.octets()[0] == 224 && four.octets()[1..3] == [0, 0]),
        IpAddr::V6(six) => (six.segments()[0] & 0xffc0 == 0xfe80, six.segments()[0] & 0xff0f == 0xff02),
    };
    if local {
        e.invalid(path, address, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    if multicast {
        e.invalid(path, address, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}
