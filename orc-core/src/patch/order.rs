//! The order of a merged list: what the patch names stands in the patch's order, the rest in the server's, and the two
//! are interleaved by the server's order where it knows both.

use serde_json::Value;

use super::PatchError;
use super::directives::{ORDER_PREFIX, PATCH, go_value};

/// Equality of elements: by the merge key, or whole for scalars.
pub(super) fn same(a: &Value, b: &Value, key: Option<&str>) -> bool {
    match key {
        Some(key) => a.get(key).is_some() && a.get(key) == b.get(key),
        None => a == b,
    }
}

fn position(list: &[Value], item: &Value, key: Option<&str>) -> Option<usize> {
    list.iter().position(|other| same(other, item, key))
}

/// Puts merged elements in order.
pub(super) fn arrange(merged: Vec<Value>, patch: &[Value], server: &[Value], key: Option<&str>) -> Vec<Value> {
    let (mut named, mut rest): (Vec<_>, Vec<_>) =
        merged.into_iter().partition(|item| position(patch, item, key).is_some());
    named.sort_by_key(|item| position(patch, item, key));
    rest.sort_by_key(|item| position(server, item, key));
    interleave(rest, named, server, key)
}

fn interleave(left: Vec<Value>, right: Vec<Value>, server: &[Value], key: Option<&str>) -> Vec<Value> {
    let mut out = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    loop {
        let take_left = match (left.peek(), right.peek()) {
            (None, None) => return out,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(l), Some(r)) => {
                matches!((position(server, l, key), position(server, r, key)), (Some(l), Some(r)) if l < r)
            }
        };
        out.extend(if take_left { left.next() } else { right.next() });
    }
}

/// Checks that the elements of a patch appear in `$setElementOrder`, in the same relative order.
pub(super) fn validate(field: &str, patch: &[Value], order: &[Value], key: Option<&str>) -> Result<(), PatchError> {
    let mut from = 0;
    for item in patch.iter().filter(|item| item.get(PATCH).is_none()) {
        match order[from..].iter().position(|other| same(other, item, key)) {
            Some(at) => from += at + 1,
            None => {
                let (patch, order) = (Value::Array(patch.to_vec()), Value::Array(order.to_vec()));
                return Err(PatchError::Unmergeable(format!(
                    "The order in patch list:\n{}\n doesn't match {ORDER_PREFIX}{field} list:\n{}\n",
                    go_value(&patch),
                    go_value(&order)
                )));
            }
        }
    }
    Ok(())
}
