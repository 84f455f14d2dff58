//! `format` of texts and numbers: those that Kubernetes checks. Others are notes for people and pass.
//!
//! Kubernetes checks what `kube-openapi/pkg/validation/strfmt` registers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use orc_core::validation::names;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether a text fits its format; formats that are not checked always fit.
pub fn fits(format: &str, text: &str) -> bool {
    match normal(format).as_str() {
        "datetime" => date_time(text),
        "date" => jiff::civil::Date::strptime("%Y-%m-%d", text).is_ok() && text.len() == 10,
        "duration" => crate::cel::duration::parse_openapi(text).is_some(),
        "byte" => STANDARD.decode(text).is_ok(),
        "uuid" => uuid(text, None),
        "uuid3" => uuid(text, Some('3')),
        "uuid4" => uuid(text, Some('4')) && variant(text),
        "uuid5" => uuid(text, Some('5')) && variant(text),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok() && text.contains(':'),
        "cidr" => cidr(text),
        "mac" => mac(text),
        "uri" => uri(text),
        "hostname" => hostname(text),
        "email" => email(text),
        "bsonobjectid" => text.len() == 24 && hex(text),
        "hexcolor" => hex_color(text),
        "rgbcolor" => rgb_color(text),
        "isbn10" => isbn10(text),
        "isbn13" => isbn13(text),
        "isbn" => isbn10(text) || isbn13(text),
        "creditcard" => credit_card(text),
        "ssn" => ssn(text),
        "k8sshortname" => names::dns1123_label(text).is_empty(),
        "k8slongname" => names::dns1123_subdomain(text).is_empty(),
        _ => true,
    }
}

/// Formats are compared without dashes, as Go's registry does (`date-time` is `datetime`).
pub(crate) fn normal(format: &str) -> String {
    format.chars().filter(|c| *c != '-').collect()
}

/// RFC 3339, with the looser forms that `strfmt` also takes (no seconds fraction limits, lower case).
pub(crate) fn date_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 20 && matches!(bytes[10], b'T' | b't' | b' ') && text.parse::<jiff::Timestamp>().is_ok()
}

fn hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// 32 digits; dashes may stand or be left out between groups.
fn uuid(text: &str, version: Option<char>) -> bool {
    let (mut digits, bytes) = (String::with_capacity(32), text.as_bytes());
    for (i, c) in text.char_indices() {
        if c != '-' {
            digits.push(c);
            continue;
        }
        if ![8, 12, 16, 20].contains(&digits.len()) || i == 0 || bytes[i - 1] == b'-' {
            return false;
        }
    }
    digits.len() == 32 && hex(&digits) && version.is_none_or(|v| digits.as_bytes()[12] as char == v)
}

fn variant(text: &str) -> bool {
    let digit = text.chars().filter(|c| *c != '-').nth(16);
    digit.is_some_and(|c| matches!(c.to_ascii_lowercase(), '8' | '9' | 'a' | 'b'))
}

fn cidr(text: &str) -> bool {
    orc_core::validation::ip::parse_cidr_sloppy(text).is_some()
        && text.split_once('/').is_some_and(|(ip, _)| ip.parse::<std::net::IpAddr>().is_ok())
}

/// 48 or 64 bits, or 20 octets, in Go's three spellings.
fn mac(text: &str) -> bool {
    let groups = |by: char, width: usize, counts: &[usize]| {
        let parts: Vec<&str> = text.split(by).collect();
        counts.contains(&parts.len()) && parts.iter().all(|part| part.len() == width && hex(part))
    };
    groups(':', 2, &[6, 8, 20]) || groups('-', 2, &[6, 8, 20]) || groups('.', 4, &[3, 4, 10])
}

/// Go's `url.ParseRequestURI`: an absolute URI or an absolute path.
fn uri(text: &str) -> bool {
    !text.contains(|c: char| c.is_ascii_control() || c == ' ')
        && (text.starts_with('/') || text.parse::<http::Uri>().is_ok_and(|uri| uri.scheme().is_some()) || opaque(text))
}

/// `mailto:a@b`: a scheme and something behind it.
fn opaque(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, rest)| {
        let mut bytes = scheme.bytes();
        let first = bytes.next().is_some_and(|b| b.is_ascii_alphabetic());
        first && bytes.all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) && !rest.is_empty() && rest.is_ascii()
    })
}

fn hostname(text: &str) -> bool {
    let label = |part: &str| {
        let edge = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        (1..=63).contains(&part.len())
            && edge(part.chars().next())
            && edge(part.chars().last())
            && part.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    text.len() <= 255 && text.trim_end_matches('.').split('.').all(label)
}

fn email(text: &str) -> bool {
    let local = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.ends_with('.')
            && !part.contains("..")
            && part.chars().all(|c| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c))
    };
    text.rsplit_once('@').is_some_and(|(name, host)| local(name) && hostname(host))
}

fn hex_color(text: &str) -> bool {
    let digits = text.strip_prefix('#').unwrap_or(text);
    matches!(digits.len(), 3 | 6) && hex(digits)
}

fn rgb_color(text: &str) -> bool {
    let inner = text.strip_prefix("rgb(").and_then(|rest| rest.strip_suffix(')'));
    inner.is_some_and(|inner| {
        let parts: Vec<&str> = inner.split(',').map(str::trim).collect();
        parts.len() == 3 && parts.iter().all(|part| part.parse::<u8>().is_ok())
    })
}

fn plain(text: &str) -> String {
    text.chars().filter(|c| *c != '-' && *c != ' ').collect()
}

fn isbn10(text: &str) -> bool {
    let digits = plain(text);
    let value = |c: char| if c == 'X' { Some(10) } else { c.to_digit(10) };
    let body = digits.len() == 10 && digits.bytes().take(9).all(|b| b.is_ascii_digit());
    let sum =
        digits.chars().zip((1..=10).rev()).map(|(c, w): (char, u32)| value(c).map_or(1 << 20, |d| d * w)).sum::<u32>();
    body && sum < 1 << 20 && sum.is_multiple_of(11)
}

fn isbn13(text: &str) -> bool {
    let digits: Vec<u32> = plain(text).chars().map_while(|c| c.to_digit(10)).collect();
    let sum: u32 = digits.iter().enumerate().map(|(i, d)| if i % 2 == 0 { *d } else { d * 3 }).sum();
    digits.len() == 13 && plain(text).len() == 13 && sum.is_multiple_of(10)
}

/// Luhn's check over 12 to 19 digits.
fn credit_card(text: &str) -> bool {
    let plain = plain(text);
    let digits: Vec<u32> = plain.chars().rev().map_while(|c| c.to_digit(10)).collect();
    let doubled = |d: u32| if d > 4 { d * 2 - 9 } else { d * 2 };
    let sum: u32 = digits.iter().enumerate().map(|(i, d)| if i % 2 == 1 { doubled(*d) } else { *d }).sum();
    digits.len() == plain.len() && (12..=19).contains(&digits.len()) && sum.is_multiple_of(10)
}

fn ssn(text: &str) -> bool {
    let parts: Vec<&str> = text.split(['-', ' ']).collect();
    let digits = |part: &str, n: usize| part.len() == n && part.bytes().all(|b| b.is_ascii_digit());
    parts.len() == 3 && digits(parts[0], 3) && digits(parts[1], 2) && digits(parts[2], 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_fit_or_not() {
        for (format, good, bad) in [
            ("date-time", "2024-01-02T03:04:05Z", "2024-01-02"),
            ("date", "2024-02-29", "2023-02-29"),
            ("duration", "1h30m", "1y"),
            ("byte", "aGk=", "aGk"),
            ("uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6ba7b810"),
            ("ipv4", "1.2.3.4", "::1"),
            ("ipv6", "::1", "1.2.3.4"),
            ("cidr", "10.0.0.0/8", "10.0.0.0"),
            ("mac", "01:23:45:67:89:ab", "01:23"),
            ("uri", "https://a.b/c", "a b"),
            ("hostname", "a.example.com", "-a"),
            ("email", "a@b.com", "a"),
            ("hexcolor", "#fff", "#ggg"),
            ("rgbcolor", "rgb(1, 2, 3)", "rgb(256,0,0)"),
            ("isbn10", "0-306-40615-2", "0-306-40615-3"),
            ("isbn13", "978-0-306-40615-7", "978-0-306-40615-8"),
            ("creditcard", "4111 1111 1111 1111", "4111 1111 1111 1112"),
            ("k8s-short-name", "abc", "a.b"),
        ] {
            assert!(fits(format, good), "{format} {good}");
            assert!(!fits(format, bad), "{format} {bad}");
        }
        assert!(fits("anything", "x"));
    }
}
