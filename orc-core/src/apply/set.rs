//! Sets of fields, and their form in `managedFields`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::element::Element;

/// How deep a set that came from a client may be; objects are not deeper than a request body.
const MAX_DEPTH: usize = crate::doc::MAX_DEPTH;

/// A set of paths. A path and what is below it are members on their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    pub(super) members: BTreeSet<Element>,
    pub(super) children: BTreeMap<Element, FieldSet>,
}

impl FieldSet {
    /// Members with what is below each of them.
    pub(super) fn of(parts: Vec<(Element, Self)>) -> Self {
        let members = parts.iter().map(|(element, _)| element.clone()).collect();
        let children = parts.into_iter().filter(|(_, below)| *below != Self::default()).collect();
        Self { members, children }
    }

    /// Puts a path in, and what is below it, of which there must be nothing yet.
    pub(super) fn put(&mut self, path: &[Element], below: Self) {
        match path {
            [] => self.take(below),
            [last] => {
                self.members.insert(last.clone());
                if below != Self::default() {
                    self.children.insert(last.clone(), below);
                }
            }
            [first, rest @ ..] => match self.children.get_mut(first) {
                Some(child) => child.put(rest, below),
                None => self.children.entry(first.clone()).or_default().put(rest, below),
            },
        }
    }

    /// Puts a path in.
    pub fn insert(&mut self, path: &[Element]) {
        match path {
            [] => {}
            [last] => drop(self.members.insert(last.clone())),
            [first, rest @ ..] => match self.children.get_mut(first) {
                Some(child) => child.insert(rest),
                None => self.children.entry(first.clone()).or_default().insert(rest),
            },
        }
    }

    /// Whether a path is a member.
    pub fn has(&self, path: &[Element]) -> bool {
        match path {
            [] => false,
            [last] => self.members.contains(last),
            [first, rest @ ..] => self.children.get(first).is_some_and(|child| child.has(rest)),
        }
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.values().all(FieldSet::is_empty)
    }

    /// The set below one step.
    pub fn below(&self, element: &Element) -> Option<&FieldSet> {
        self.children.get(element)
    }

    /// Members of either.
    #[must_use]
    pub fn union(mut self, other: Self) -> Self {
        self.take(other);
        self
    }

    fn take(&mut self, other: Self) {
        if self.members.is_empty() && self.children.is_empty() {
            *self = other;
            return;
        }
        self.members.extend(other.members);
        for (name, child) in other.children {
            self.children.entry(name).or_default().take(child);
        }
    }

    /// Members of both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let both =
            |(name, child): (&Element, &Self)| Some((name.clone(), child.intersection(other.children.get(name)?)));
        let children = self.children.iter().filter_map(both).filter(|(_, set)| !set.is_empty());
        Self { children: children.collect(), members: &self.members & &other.members }
    }

    /// Members of this that are not members of the other.
    #[must_use]
    pub fn difference(mut self, other: &Self) -> Self {
        self.drop_all(other);
        self
    }

    fn drop_all(&mut self, other: &Self) {
        self.members.retain(|member| !other.members.contains(member));
        for (name, gone) in &other.children {
            if let Some(child) = self.children.get_mut(name) {
                child.drop_all(gone);
                if child.is_empty() {
                    self.children.remove(name);
                }
            }
        }
    }

    /// Takes a path out, and all below it.
    pub fn without(mut self, path: &[&str]) -> Self {
        self.remove(path);
        self
    }

    fn remove(&mut self, path: &[&str]) {
        let Some((first, rest)) = path.split_first() else { return };
        let step = Element::Field((*first).to_owned());
        if rest.is_empty() {
            self.members.remove(&step);
            self.children.remove(&step);
        } else if let Some(child) = self.children.get_mut(&step) {
            child.remove(rest);
            if child.is_empty() {
                self.children.remove(&step);
            }
        }
    }

    /// Takes one member out; what is below it stays.
    pub(super) fn forget(&mut self, path: &[&str]) {
        match path {
            [] => {}
            [last] => drop(self.members.remove(&Element::Field((*last).to_owned()))),
            [first, rest @ ..] => {
                if let Some(child) = self.children.get_mut(&Element::Field((*first).to_owned())) {
                    child.forget(rest);
                }
            }
        }
    }

    /// All members as text, such as `.spec.containers[name="a"].image`.
    pub fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.walk("", &mut out);
        out
    }

    fn walk(&self, prefix: &str, out: &mut Vec<String>) {
        out.extend(self.members.iter().map(|member| format!("{prefix}{member}")));
        for (element, child) in &self.children {
            child.walk(&format!("{prefix}{element}"), out);
        }
    }

    /// The form in `fieldsV1`.
    pub fn encode(&self) -> Value {
        let mut map = Map::new();
        for member in &self.members {
            map.insert(member.encode(), Value::Object(Map::new()));
        }
        for (element, child) in self.children.iter().filter(|(_, child)| !child.is_empty()) {
            let mut inner = child.encode();
            if self.members.contains(element)
                && let Some(inner) = inner.as_object_mut()
            {
                inner.insert(".".to_owned(), Value::Object(Map::new()));
            }
            map.insert(element.encode(), inner);
        }
        Value::Object(map)
    }

    /// Reads the form in `fieldsV1`; `None` when it is not one. Unknown kinds of steps are left out, as upstream does.
    pub fn decode(value: &Value) -> Option<Self> {
        Self::read(value, MAX_DEPTH)
    }

    fn read(value: &Value, depth: usize) -> Option<Self> {
        let (mut set, depth) = (Self::default(), depth.checked_sub(1)?);
        for (text, inner) in value.as_object()? {
            let Some(element) = Element::parse(text) else { continue };
            let inner_map = inner.as_object()?;
            if inner_map.is_empty() || inner_map.contains_key(".") {
                set.members.insert(element.clone());
            }
            let child = Self::read(inner, depth)?;
            if !child.is_empty() {
                set.children.insert(element, child);
            }
        }
        Some(set)
    }
}
