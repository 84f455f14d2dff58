//! The functions and operators, as a table of signatures.
//!
//! A line is `name: RECEIVER.(ARGUMENTS) RESULT`, or `name: (ARGUMENTS) RESULT` for a global function; several signatures of
//! a name are separated by `;`. `A` and `B` stand for any type, the same one in a signature.

use crate::cel::types::{Opaque, Type};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// One signature; a receiver is the first argument.
struct Signature {
    member: bool,
    args: Vec<Type>,
    result: Type,
}

static TABLE: LazyLock<BTreeMap<&'static str, Vec<Signature>>> = LazyLock::new(|| {
    let mut table: BTreeMap<&'static str, Vec<Signature>> = BTreeMap::new();
    for line in include_str!("functions.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, signatures) = line.split_once(": ").expect("a line has a name");
        table.entry(name).or_default().extend(signatures.split("; ").map(signature));
    }
    table
});

fn signature(text: &'static str) -> Signature {
    let (receiver, rest) = match text.strip_prefix('(') {
        Some(rest) => (None, rest),
        None => text.split_once(".(").map(|(receiver, rest)| (Some(receiver), rest)).expect("a receiver"),
    };
    let (args, result) = rest.rsplit_once(") ").expect("a result");
    let args = receiver.into_iter().chain(parts(args)).map(kind).collect();
    Signature { member: receiver.is_some(), args, result: kind(result) }
}

/// Splits at commas outside of brackets.
fn parts(text: &'static str) -> Vec<&'static str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0, 0);
    for (i, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[from..i].trim());
                from = i + 1;
            }
            _ => {}
        }
    }
    parts.push(text[from..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

fn kind(text: &'static str) -> Type {
    let inner = |name: &str| text.strip_prefix(name)?.strip_prefix('<')?.strip_suffix('>');
    if let Some(item) = inner("list") {
        return Type::list(kind(item));
    }
    if let Some(item) = inner("optional") {
        return Type::optional(kind(item));
    }
    if let Some(entry) = inner("map") {
        let entry = parts(entry);
        return Type::map(kind(entry[0]), kind(entry[1]));
    }
    match text {
        "A" => Type::Param(0),
        "B" => Type::Param(1),
        "dyn" => Type::Dyn,
        "null" => Type::Null,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::text(),
        "bytes" => Type::Bytes(crate::cel::types::MAX_REQUEST),
        "duration" => Type::Duration,
        "timestamp" => Type::Timestamp,
        "type" => Type::Type,
        "url" => Type::Opaque(Opaque::Url),
        "quantity" => Type::Opaque(Opaque::Quantity),
        "ip" => Type::Opaque(Opaque::Ip),
        "cidr" => Type::Opaque(Opaque::Cidr),
        "format" => Type::Opaque(Opaque::Format),
        "semver" => Type::Opaque(Opaque::Semver),
        other => panic!("functions.txt names the unknown type {other}"),
    }
}

/// What a name and arguments come to.
pub(super) enum Resolved {
    /// A signature fits; the result.
    Fits(Type),
    /// There is no function of that name and form.
    Unknown,
    /// No signature takes these arguments.
    Misfit,
}

/// Whether a name with dots is a global function.
pub(super) fn is_global(name: &str) -> bool {
    TABLE.get(name).is_some_and(|all| all.iter().any(|one| !one.member))
}

/// Finds the signatures that fit. Several may where an argument is `dyn`; then the result is what they agree on.
pub(super) fn resolve(name: &str, member: bool, args: &[Type]) -> Resolved {
    let Some(all) = TABLE.get(name) else { return Resolved::Unknown };
    let mut form = false;
    let mut result: Option<Type> = None;
    for one in all.iter().filter(|one| one.member == member) {
        form = true;
        if let Some(kind) = fit(one, args) {
            result = Some(match result {
                None => kind,
                Some(before) if same_name(&before, &kind) => before,
                Some(_) => Type::Dyn,
            });
        }
    }
    match result {
        Some(kind) => Resolved::Fits(kind),
        None if form => Resolved::Misfit,
        None => Resolved::Unknown,
    }
}

fn same_name(a: &Type, b: &Type) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b) && a.to_string() == b.to_string()
}

fn fit(signature: &Signature, args: &[Type]) -> Option<Type> {
    if signature.args.len() != args.len() {
        return None;
    }
    let mut bound = [None, None];
    signature
        .args
        .iter()
        .zip(args)
        .all(|(want, have)| bind(want, have, &mut bound))
        .then(|| fill(&signature.result, &bound))
}

/// Matches a wanted type and binds parameters.
fn bind(want: &Type, have: &Type, bound: &mut [Option<Type>; 2]) -> bool {
    match (want, have) {
        (Type::Param(n), have) => {
            let slot = &mut bound[usize::from(*n) % 2];
            match slot {
                None => *slot = Some(have.clone()),
                Some(Type::Dyn) if !matches!(have, Type::Dyn) => *slot = Some(have.clone()),
                Some(before) if before.accepts(have) || have.accepts(before) => *slot = Some(before.join(have)),
                Some(_) => return false,
            }
            true
        }
        (Type::List(w, _), Type::List(h, _)) | (Type::Optional(w), Type::Optional(h)) => bind(w, h, bound),
        (Type::Map(wk, wv, _), Type::Map(hk, hv, _)) => bind(wk, hk, bound) && bind(wv, hv, bound),
        (want, have) => want.accepts(have),
    }
}

fn fill(kind: &Type, bound: &[Option<Type>; 2]) -> Type {
    match kind {
        Type::Param(n) => bound[usize::from(*n) % 2].clone().unwrap_or(Type::Dyn),
        Type::List(item, max) => Type::List(fill(item, bound).into(), *max),
        Type::Map(key, value, max) => Type::Map(fill(key, bound).into(), fill(value, bound).into(), *max),
        Type::Optional(inner) => Type::Optional(fill(inner, bound).into()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_reads() {
        assert!(TABLE.len() > 100);
        assert!(is_global("ip.isCanonical") && !is_global("startsWith"));
        let Resolved::Fits(kind) = resolve("_+_", false, &[Type::list(Type::Int), Type::list(Type::Int)]) else {
            panic!("lists add up")
        };
        assert_eq!(kind.to_string(), "list(int)");
        assert!(matches!(resolve("_+_", false, &[Type::Int, Type::text()]), Resolved::Misfit));
        assert!(matches!(resolve("nope", false, &[]), Resolved::Unknown));
    }
}
