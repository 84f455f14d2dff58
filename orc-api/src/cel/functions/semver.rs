//! Semantic versions (KEP-5080): `semver("1.2.3")`, or `semver("v1.2", true)` to forgive a `v` and missing parts.

use super::{Budget, EvalError, Opaque, OpaqueValue, Outcome, Said, Value, inside, opaque, opaque_value};
use semver::Version;
use std::cmp::Ordering;

#[derive(Debug)]
struct Semver(Version);
opaque_value!(Semver, Semver);

impl PartialEq for Semver {
    fn eq(&self, other: &Self) -> bool {
        self.0.cmp_precedence(&other.0) == Ordering::Equal
    }
}

pub(super) fn call(name: &str, args: &[Value], budget: &mut Budget) -> Said {
    match (name, args) {
        ("semver" | "isSemver", [Value::String(text)]) => Some(parse(name, text, false, budget)),
        ("semver" | "isSemver", [Value::String(text), Value::Bool(forgive)]) => {
            Some(parse(name, text, *forgive, budget))
        }
        (_, [first, rest @ ..]) => inside::<Semver>(first).map(|version| known(name, &version.0, rest)),
        _ => None,
    }
}

fn parse(name: &str, text: &str, forgive: bool, budget: &mut Budget) -> Outcome {
    budget.walk(text.len() as u64, 1)?;
    let parsed = if forgive { Version::parse(&normal(text)) } else { Version::parse(text) };
    match name {
        "isSemver" => Ok(Value::Bool(parsed.is_ok())),
        _ => parsed
            .map(|version| opaque(Semver(version)))
            .map_err(|error| EvalError::failed(format!("Semver parse error during conversion from string: {error}"))),
    }
}

/// Drops a leading `v`, leading zeros, and adds the parts that are missing.
fn normal(text: &str) -> String {
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    let mut parts: Vec<&str> = numbers.split('.').map(trimmed).collect();
    while parts.len() < 3 {
        parts.push("0");
    }
    format!("{}{rest}", parts.join("."))
}

fn trimmed(part: &str) -> &str {
    match part.trim_start_matches('0') {
        "" if !part.is_empty() => "0",
        rest => rest,
    }
}

fn known(name: &str, version: &Version, rest: &[Value]) -> Outcome {
    let number = |n: u64| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
    let order = |rest: &[Value]| match rest {
        [value] => inside::<Semver>(value).map(|b| version.cmp_precedence(&b.0)).ok_or(EvalError::NoSuchOverload),
        _ => Err(EvalError::NoSuchOverload),
    };
    Ok(match (name, rest) {
        ("major", []) => number(version.major),
        ("minor", []) => number(version.minor),
        ("patch", []) => number(version.patch),
        ("isGreaterThan", rest) => Value::Bool(order(rest)? == Ordering::Greater),
        ("isLessThan", rest) => Value::Bool(order(rest)? == Ordering::Less),
        ("compareTo", rest) => Value::Int(order(rest)? as i64),
        _ => return Err(EvalError::NoSuchOverload),
    })
}
