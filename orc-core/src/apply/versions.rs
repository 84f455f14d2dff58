//! One kind in several versions whose fields differ.
//!
//! Who manages a field notes it as the version that they wrote has it. So an object is looked at in the version of each
//! manager: what changed there is what the manager loses. An entry of a version that the kind does not have is dropped, as
//! upstream does.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::compare::{Comparison, compare};
use super::managers::Reach;
use super::set::FieldSet;
use super::shape::Place;

/// The versions of a kind.
pub trait Versions: fmt::Debug {
    /// The place of a whole object in a version; `None` where the kind has no such version.
    fn place(&self, api_version: &str) -> Option<Place<'_>>;

    /// An object, which says itself in which version it is, in another one. `None` where that cannot be said: managers in
    /// that version keep what they have. Must answer the same question alike each time.
    ///
    /// # Errors
    /// [`Needed`] when somebody else has to convert: the caller finds out, and starts again from the state before.
    fn convert(&self, object: &Value, to: &str) -> Result<Option<Value>, Needed>;
}

/// A conversion that has to be made before a write can go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Needed {
    /// What is to be converted.
    pub object: Box<Value>,
    /// The version.
    pub to: String,
}

/// A kind with one version only.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneVersion;

impl Versions for OneVersion {
    fn place(&self, _: &str) -> Option<Place<'_>> {
        None
    }

    fn convert(&self, _: &Value, _: &str) -> Result<Option<Value>, Needed> {
        Ok(None)
    }
}

impl Reach<'_> {
    /// The place of a whole object in a version.
    pub(super) fn place_in(&self, api_version: &str) -> Option<Place<'_>> {
        if api_version == self.api_version { Some(self.place) } else { self.versions.place(api_version) }
    }

    /// An object in a version, which may be the one that it is in.
    pub(super) fn in_version(&self, object: &Value, to: &str) -> Result<Option<Value>, Needed> {
        let from = object.get("apiVersion").and_then(Value::as_str).unwrap_or(self.api_version);
        if from == to { Ok(Some(object.clone())) } else { self.versions.convert(object, to) }
    }

    fn compared(&self, old: &Value, new: &Value, place: Place<'_>) -> Comparison {
        self.ignored.iter().fold(compare(old, new, place), |changes, field| changes.without(&[field]))
    }
}

/// What a write changed, in each version that somebody manages fields in.
#[derive(Debug)]
pub(super) struct Changes {
    own: String,
    all: BTreeMap<String, Comparison>,
}

impl Changes {
    /// Compares two states of an object, both in the spoken version.
    pub(super) fn between<'a>(
        old: &Value,
        new: &Value,
        reach: &Reach<'_>,
        others: impl Iterator<Item = &'a str>,
    ) -> Result<Self, Needed> {
        let own = reach.api_version.to_owned();
        let mut all = BTreeMap::from([(own.clone(), reach.compared(old, new, reach.place))]);
        for version in others {
            if all.contains_key(version) {
                continue;
            }
            let Some(place) = reach.place_in(version) else { continue };
            all.insert(version.to_owned(), elsewhere(old, new, reach, version, place)?);
        }
        Ok(Self { own, all })
    }

    /// What changed as the spoken version has it.
    pub(super) fn own(&self) -> &Comparison {
        &self.all[&self.own]
    }

    /// What changed as a version has it; `None` for one that the kind does not have.
    pub(super) fn of(&self, api_version: &str) -> Option<&Comparison> {
        self.all.get(api_version)
    }

    /// What the write set, as the spoken version has it.
    pub(super) fn into_taken(mut self) -> FieldSet {
        self.all.remove(&self.own).map(|changes| changes.modified.union(changes.added)).unwrap_or_default()
    }

    /// What the write set, as a version has it.
    pub(super) fn taken(&self, api_version: &str) -> FieldSet {
        self.of(api_version).map(|changes| changes.modified.clone().union(changes.added.clone())).unwrap_or_default()
    }
}

fn elsewhere(
    old: &Value,
    new: &Value,
    reach: &Reach<'_>,
    version: &str,
    place: Place<'_>,
) -> Result<Comparison, Needed> {
    if old == new {
        return Ok(Comparison::default());
    }
    let (old, new) = (reach.in_version(old, version)?, reach.in_version(new, version)?);
    Ok(old.zip(new).map(|(old, new)| reach.compared(&old, &new, place)).unwrap_or_default())
}
