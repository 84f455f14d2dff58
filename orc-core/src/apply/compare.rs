//! What differs between two states of an object, by field.

use std::collections::BTreeMap;

use serde_json::Value;

use super::element::Element;
use super::set::FieldSet;
use super::shape::{Build, Elements, Place, identity, member};

/// The fields in which a new state differs from an old one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Only in the new state.
    pub added: FieldSet,
    /// In both, with different values.
    pub modified: FieldSet,
    /// Only in the old state.
    pub removed: FieldSet,
}

impl Comparison {
    /// Whether the states are the same.
    pub fn is_same(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }

    /// Leaves out what a write does not reach.
    pub fn without(self, path: &[&str]) -> Self {
        Self {
            added: self.added.without(path),
            modified: self.modified.without(path),
            removed: self.removed.without(path),
        }
    }
}

/// Compares two states. Who manages what (`metadata.managedFields`) is left out: it is nobody's.
pub fn compare(old: &Value, new: &Value, place: Place<'_>) -> Comparison {
    let mut out = Comparison::default();
    visit(Some(old), Some(new), place, &mut Vec::new(), &mut out);
    out
}

fn visit(old: Option<&Value>, new: Option<&Value>, place: Place<'_>, path: &mut Vec<Element>, out: &mut Comparison) {
    if old.is_some() && old == new {
        return;
    }
    match (old, new) {
        (None, Some(new)) => return out.added.put(path, whole(new, place)),
        (Some(old), None) => return out.removed.put(path, whole(old, place)),
        _ => {}
    }
    let build = place.build();
    if is_leaf(build, old, new) {
        debug_assert_ne!(old, new, "equal values were left above");
        out.modified.insert(path);
    } else {
        match build {
            Build::List(field) => {
                let (old, mut new) = (by_identity(field, old), by_identity(field, new));
                for (element, item) in old {
                    let now = new.remove(&element);
                    path.push(element);
                    visit(Some(item), now, field.item(), path, out);
                    path.pop();
                }
                for (element, item) in new {
                    path.push(element);
                    visit(None, Some(item), field.item(), path, out);
                    path.pop();
                }
            }
            build => {
                let names: std::collections::BTreeSet<&String> =
                    [old, new].into_iter().flatten().filter_map(Value::as_object).flat_map(|map| map.keys()).collect();
                for name in names {
                    let Some(place) = member(build, name).filter(|_| !is_managers(path, name)) else { continue };
                    path.push(Element::Field(name.clone()));
                    visit(old.and_then(|v| v.get(name)), new.and_then(|v| v.get(name)), place, path, out);
                    path.pop();
                }
            }
        }
    }
}

fn is_managers(path: &[Element], name: &str) -> bool {
    name == "managedFields" && matches!(path, [Element::Field(parent)] if parent == "metadata")
}

/// Whether what is there of the two is one value, whatever is in it.
fn is_leaf(build: Build<'_>, old: Option<&Value>, new: Option<&Value>) -> bool {
    match build {
        Build::Leaf => true,
        Build::List(_) => empty(old) && empty(new) || !fits(old, new, Value::is_array),
        Build::Struct(_) | Build::Object(_) | Build::Map(_) | Build::Guess => {
            empty(old) && empty(new) || !fits(old, new, Value::is_object)
        }
    }
}

/// Everything below a value that is only in one of the states. Most of a new object is such a value, so no path is walked twice.
fn whole(value: &Value, place: Place<'_>) -> FieldSet {
    let build = place.build();
    if is_leaf(build, None, Some(value)) {
        return FieldSet::default();
    }
    let parts: Vec<(Element, FieldSet)> = match build {
        Build::List(field) => {
            let items = by_identity(field, Some(value)).into_iter();
            items.map(|(element, item)| (element, whole(item, field.item()))).collect()
        }
        build => {
            let members = value.as_object().into_iter().flatten();
            let known = members.filter_map(|(name, value)| Some((name, whole(value, member(build, name)?))));
            known.map(|(name, set)| (Element::Field(name.clone()), set)).collect()
        }
    };
    FieldSet::of(parts)
}

fn empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(map)) => map.is_empty(),
        Some(_) => false,
    }
}

/// Whether what is there of the two has the form.
fn fits(old: Option<&Value>, new: Option<&Value>, form: fn(&Value) -> bool) -> bool {
    [old, new].into_iter().flatten().all(|value| value.is_null() || form(value))
}

/// The items of a list by what they are called; of several with one name the first.
fn by_identity<'a>(field: Elements<'_>, list: Option<&'a Value>) -> BTreeMap<Element, &'a Value> {
    let mut out = BTreeMap::new();
    for item in list.and_then(Value::as_array).into_iter().flatten() {
        if let Ok(element) = identity(field, item) {
            out.entry(element).or_insert(item);
        }
    }
    out
}
