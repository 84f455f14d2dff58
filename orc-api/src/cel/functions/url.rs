//! Web addresses: Go's `url.ParseRequestURI`, which takes absolute addresses and absolute paths.

use super::{Budget, EvalError, Opaque, OpaqueValue, Outcome, Said, Value, inside, opaque, opaque_value};
use crate::cel::value::Key;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, PartialEq, Default)]
struct Url {
    scheme: String,
    host: String,
    path: String,
    query: String,
}
opaque_value!(Url, Url);

pub(super) fn call(name: &str, args: &[Value], budget: &mut Budget) -> Said {
    match (name, args) {
        ("url" | "isURL", [Value::String(text)]) => Some(parse(name, text, budget)),
        (_, [value]) => inside::<Url>(value).map(|url| known(name, url)),
        _ => None,
    }
}

fn parse(name: &str, text: &str, budget: &mut Budget) -> Outcome {
    budget.walk(text.len() as u64, 1)?;
    match (name, read(text)) {
        ("isURL", url) => Ok(Value::Bool(url.is_ok())),
        (_, url) => url.map(opaque).map_err(|why| {
            let quoted = orc_core::validation::go_quote(text);
            EvalError::failed(format!("URL parse error during conversion from string: parse {quoted}: {why}"))
        }),
    }
}

fn read(text: &str) -> Result<Url, &'static str> {
    if text.is_empty() {
        return Err("empty url");
    }
    if text.chars().any(|c| c.is_ascii_control()) {
        return Err("net/url: invalid control character in URL");
    }
    let (scheme, rest) = match text.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => (scheme.to_lowercase(), rest),
        Some(("", _)) => return Err("missing protocol scheme"),
        _ => (String::new(), text),
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    if !rest.starts_with('/') {
        return if scheme.is_empty() { Err("invalid URI for request") } else { Ok(Url { scheme, ..Url::default() }) };
    }
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) if !scheme.is_empty() || !rest.starts_with('/') => {
            rest.split_at(rest.find('/').unwrap_or(rest.len()))
        }
        _ => ("", rest),
    };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    valid_host(host)?;
    valid_escapes(path)?;
    Ok(Url { scheme, host: host.to_owned(), path: path.to_owned(), query: query.to_owned() })
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

fn valid_host(host: &str) -> Result<(), &'static str> {
    if host.contains([' ', '<', '>', '"', '\\', '^', '`', '{', '}', '|']) {
        return Err("invalid character in host name");
    }
    let port = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or("missing ']' in host")?.1,
        None => host.find(':').map_or("", |at| &host[at..]),
    };
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok(()),
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Ok(()),
        _ => Err("invalid port after host"),
    }
}

fn valid_escapes(path: &str) -> Result<(), &'static str> {
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == b'%' {
            match tail {
                [a, b, tail @ ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => rest = tail,
                _ => return Err("invalid URL escape"),
            }
        }
    }
    Ok(())
}

fn known(name: &str, url: &Url) -> Outcome {
    let (hostname, port) = split_port(&url.host);
    Ok(match name {
        "getScheme" => Value::string(&url.scheme),
        "getHost" => Value::string(&url.host),
        "getHostname" => Value::string(hostname),
        "getPort" => Value::string(port),
        "getEscapedPath" => Value::string(escaped(&url.path)),
        "getQuery" => query(&url.query),
        _ => return Err(EvalError::NoSuchOverload),
    })
}

fn split_port(host: &str) -> (&str, &str) {
    if let Some((inner, rest)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (inner, rest.strip_prefix(':').unwrap_or(""));
    }
    host.split_once(':').unwrap_or((host, ""))
}

/// The path with what must be escaped escaped.
fn escaped(path: &str) -> String {
    const MUST: &AsciiSet = &CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'#')
        .add(b'<')
        .add(b'>')
        .add(b'?')
        .add(b'\\')
        .add(b'^')
        .add(b'`')
        .add(b'{')
        .add(b'|')
        .add(b'}');
    utf8_percent_encode(path, MUST).to_string()
}

fn query(text: &str) -> Value {
    let mut all: BTreeMap<Key, Vec<Value>> = BTreeMap::new();
    for part in text.split('&').filter(|part| !part.is_empty() && !part.contains(';')) {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        // Go leaves out what does not decode.
        if let (Some(key), Some(value)) = (decoded(key), decoded(value)) {
            all.entry(Key::text(&key)).or_default().push(Value::string(value));
        }
    }
    Value::Map(Arc::new(all.into_iter().map(|(key, values)| (key, Value::list(values))).collect()))
}

fn decoded(text: &str) -> Option<String> {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'+' => out.push(b' '),
            b'%' => {
                let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
                out.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &tail[2..];
            }
            other => out.push(*other),
        }
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}
