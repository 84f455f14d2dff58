//! Merging a configuration into an object, and taking fields out of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::element::Element;
use super::set::FieldSet;
use super::shape::{Build, Elements, Place, identity, is_named, member};

/// The object with the configuration's values over its own.
pub fn merge(live: &Value, config: &Value, place: Place<'_>) -> Value {
    match (place.build(), live, config) {
        (Build::List(field), Value::Array(own), Value::Array(new)) if !(own.is_empty() && new.is_empty()) => {
            lists(field, own, new)
        }
        (
            build @ (Build::Struct(_) | Build::Object(_) | Build::Map(_) | Build::Guess),
            Value::Object(own),
            Value::Object(new),
        ) => {
            let mut out = own.clone();
            for (name, value) in new {
                let merged = match (own.get(name), member(build, name)) {
                    (Some(live), Some(place)) => merge(live, value, place),
                    _ => value.clone(),
                };
                out.insert(name.clone(), merged);
            }
            Value::Object(out)
        }
        _ => config.clone(),
    }
}

/// Merges lists by the identity of their elements. Elements of the configuration keep its order; the others keep their
/// place among those that both have.
fn lists(field: Elements<'_>, own: &[Value], new: &[Value]) -> Value {
    let index = |items: &[Value]| -> (Vec<Element>, BTreeMap<Element, Value>) {
        let mut order = Vec::new();
        let mut by = BTreeMap::new();
        for item in items {
            if let Ok(element) = identity(field, item)
                && by.insert(element.clone(), item.clone()).is_none()
            {
                order.push(element);
            }
        }
        (order, by)
    };
    let ((left, lefts), (right, rights)) = (index(own), index(new));
    let shared: Vec<&Element> = right.iter().filter(|element| lefts.contains_key(*element)).collect();
    let mut shared = shared.into_iter().peekable();
    let mut merged = BTreeSet::new();
    let mut out = Vec::with_capacity(left.len() + right.len());
    let both = |element: &Element| match (lefts.get(element), rights.get(element)) {
        (Some(l), Some(r)) => merge(l, r, field.item()),
        (l, r) => r.or(l).cloned().unwrap_or_default(),
    };
    let (mut l, mut r) = (0, 0);
    while l < left.len() || r < right.len() {
        if let (Some(a), Some(b)) = (left.get(l), right.get(r)) {
            if a == b {
                merged.insert(a);
                out.push(both(a));
                (l, r) = (l + 1, r + 1);
                shared.next_if(|next| *next == a);
                continue;
            }
            if rights.contains_key(a) && shared.peek().is_some_and(|next| *next != a) {
                l += 1;
                continue;
            }
        }
        if let Some(a) = left.get(l) {
            if !rights.contains_key(a) {
                out.push(lefts[a].clone());
                l += 1;
                continue;
            }
            if merged.contains(a) {
                l += 1;
                continue;
            }
        }
        if let Some(b) = right.get(r) {
            merged.insert(b);
            out.push(both(b));
            r += 1;
            shared.next_if(|next| *next == b);
        }
    }
    Value::Array(out)
}

/// The value without the members of a set. `None` when nothing is left of it.
pub fn remove(value: &Value, gone: &FieldSet, place: Place<'_>) -> Option<Value> {
    match (place.build(), value) {
        (Build::List(field), Value::Array(items)) => {
            let kept: Vec<Value> = items
                .iter()
                .filter_map(|item| match identity(field, item) {
                    Ok(element) => keep(item, gone, &element, field.item()),
                    Err(_) => Some(item.clone()),
                })
                .collect();
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        (build @ (Build::Struct(_) | Build::Object(_) | Build::Map(_) | Build::Guess), Value::Object(map)) => {
            let kept: Map<String, Value> = map
                .iter()
                .filter_map(|(name, inner)| {
                    let element = Element::Field(name.clone());
                    if gone.members.contains(&element) {
                        return None;
                    }
                    // What was emptied, but not itself taken out, stays as null.
                    let inner = match member(build, name) {
                        Some(place) => keep(inner, gone, &element, place).unwrap_or_default(),
                        None => inner.clone(),
                    };
                    Some((name.clone(), inner))
                })
                .collect();
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        (_, value) => Some(value.clone()),
    }
}

fn keep(value: &Value, gone: &FieldSet, element: &Element, place: Place<'_>) -> Option<Value> {
    if gone.members.contains(element) {
        return None;
    }
    match gone.below(element).filter(|set| !set.is_empty()) {
        Some(below) => remove(value, below, place),
        None => Some(value.clone()),
    }
}

/// The set with the named fields that lead to its members. A field of a struct is there because something below it is;
/// a key of a map or an element of a list is there by itself.
pub(super) fn with_named(set: &FieldSet, place: Place<'_>) -> FieldSet {
    let build = place.build();
    let mut out = FieldSet { members: set.members.clone(), children: BTreeMap::new() };
    for (element, child) in set.children.iter().filter(|(_, child)| !child.is_empty()) {
        let inner = match (element, build) {
            (Element::Field(name), build) => member(build, name),
            (_, Build::List(field)) => Some(field.item()),
            _ => None,
        };
        if matches!(element, Element::Field(name) if is_named(build, name)) {
            out.members.insert(element.clone());
        }
        out.children.insert(element.clone(), with_named(child, inner.unwrap_or(Place::Free)));
    }
    out
}
