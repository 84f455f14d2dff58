//! The worst cost of calls, and how large their results get.
//!
//! The numbers are cel-go's `checker/cost.go` and Kubernetes' `library/cost.go`: Kubernetes calls them a part of its API,
//! since they decide which rules a definition may have.

use super::{Checked, times};
use crate::cel::budget::tenth;
use crate::cel::types::Type;

/// Making a list.
pub(super) const LIST: u64 = 10;
/// Making a map.
pub(super) const MAP: u64 = 30;
/// Making an object.
pub(super) const OBJECT: u64 = 40;
/// How long a number or point in time gets as text.
const FORMAT_VALUE: u64 = 64;
/// How long a part of a web address is taken to be: what servers commonly bound addresses by, in bytes.
const URL_PART: u64 = 8192;

/// The cost of a call without its arguments, and the size of its result where it is not the type's own.
pub(super) fn call(name: &str, args: &[Checked]) -> (u64, Option<u64>) {
    let size = |i: usize| args.get(i).map_or(0, |arg| arg.kind.max());
    let walk = |i: usize| tenth(size(i));
    match name {
        "_+_" => sum(args, size(0).saturating_add(size(1))),
        "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" => (compare(args).max(1), None),
        "@in" => (within(args), None),
        "contains" => (times(walk(0).max(1), walk(1).max(1)), None),
        "startsWith" | "endsWith" => (walk(1).max(1), None),
        "matches" | "find" | "findAll" => {
            (times(tenth(size(0).saturating_add(1)), size(1).div_ceil(4).max(1)), Some(size(0)))
        }
        "isSorted" | "sum" | "min" | "max" | "indexOf" | "lastIndexOf" => (traverse(args), None),
        "lowerAscii" | "upperAscii" | "substring" | "trim" | "reverse" => (walk(0).max(1), Some(size(0))),
        "replace" => (tenth(times(size(0), 2)).max(1), Some(replaced(args))),
        "split" => (tenth(times(size(0), 2)).max(1), Some(size(0))),
        "join" => {
            let joined = times(size(0), item_size(args).saturating_add(if args.len() > 1 { size(1) } else { 0 }));
            (tenth(joined).max(1), Some(joined))
        }
        "format" => (
            tenth(size(0)).saturating_add(FORMAT_VALUE),
            Some(size(0).saturating_add(times(size(1), item_size_of(args, 1)))),
        ),
        "string" | "bytes" => (walk(0).max(1), Some(size(0).max(64))),
        "url" | "isURL" | "quantity" | "isQuantity" | "ip" | "isIP" | "cidr" | "isCIDR" | "semver" | "isSemver"
        | "validate" | "duration" | "timestamp" => (args.last().map_or(1, |arg| tenth(arg.kind.max())).max(1), None),
        "ip.isCanonical" => (tenth(times(size(0), 2)).max(1), None),
        "containsIP" | "containsCIDR" => (tenth(32).saturating_add(walk(1)).saturating_add(3), None),
        "charAt" => (1, Some(4)),
        "optional.of" | "optional.ofNonZeroValue" | "orValue" | "or" | "value" => (1, None),
        "sets.contains" | "sets.intersects" | "sets.equivalent" => (times(size(0), size(1)).max(1), None),
        "distinct" | "sort" | "flatten" | "slice" => {
            (times(size(0), if name == "slice" { 1 } else { size(0).min(1 << 20) }), Some(size(0)))
        }
        "@not_strictly_false" => (0, None),
        "getScheme" | "getHost" | "getHostname" | "getPort" | "getEscapedPath" => (1, Some(URL_PART)),
        "strings.quote" => (walk(0).max(1), Some(times(size(0), 6).saturating_add(2))),
        // What comes out of a list, map or optional value is as large as its type says.
        _ => (1, None),
    }
}

fn sum(args: &[Checked], joined: u64) -> (u64, Option<u64>) {
    match args.first().map(|arg| &arg.kind) {
        Some(Type::String(_) | Type::Bytes(_) | Type::Dyn) => (tenth(joined).max(1), Some(joined)),
        // Lists are joined by reference.
        Some(Type::List(..)) => (1, Some(joined)),
        _ => (1, None),
    }
}

/// Comparing walks the shorter of the two.
fn compare(args: &[Checked]) -> u64 {
    match args {
        [a, b] => tenth(a.kind.max().min(b.kind.max())),
        _ => 1,
    }
}

fn within(args: &[Checked]) -> u64 {
    match args {
        [_, list] if matches!(list.kind, Type::List(..) | Type::Dyn) => list.kind.max().max(1),
        _ => 1,
    }
}

fn item_size_of(args: &[Checked], at: usize) -> u64 {
    match args.get(at).map(|arg| &arg.kind) {
        Some(Type::List(item, _)) => item.max(),
        _ => 1,
    }
}

fn item_size(args: &[Checked]) -> u64 {
    item_size_of(args, 0)
}

/// One for each item, and the texts of items are walked.
fn traverse(args: &[Checked]) -> u64 {
    match args.first().map(|arg| &arg.kind) {
        Some(Type::List(item, max)) => match **item {
            Type::String(bytes) | Type::Bytes(bytes) => times(*max, 1 + tenth(bytes)),
            _ => *max,
        },
        Some(other) => tenth(other.max()).max(1),
        None => 1,
    }
}

/// The longest text that replacing can give.
fn replaced(args: &[Checked]) -> u64 {
    let size = |i: usize| args.get(i).map_or(0, |arg| arg.kind.max());
    times(size(0).saturating_add(1), size(2)).saturating_add(size(0))
}
