//! Who manages which fields of an object: `metadata.managedFields`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::extract::fields;
use super::merge::merge;
use super::set::FieldSet;
use super::shape::Place;
use super::versions::{Changes, Needed, Versions};

/// The manager of the fields of an object that was never applied before.
pub const BEFORE_FIRST_APPLY: &str = "before-first-apply";
/// How many updating managers an object remembers; the oldest of more become one.
const MAX_UPDATERS: usize = 10;
/// The name of the one that they become.
const ANCIENT: &str = "ancient-changes";

/// Metadata that nobody manages.
const NOBODYS: [&[&str]; 11] = [
    &["apiVersion"],
    &["kind"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "creationTimestamp"],
    &["metadata", "selfLink"],
    &["metadata", "uid"],
    &["metadata", "clusterName"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
    &["metadata", "resourceVersion"],
];

/// Who manages, and how. Appliers are one manager whatever version they apply.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Manager {
    /// The name.
    pub name: String,
    /// Whether by apply; else by other writes.
    pub applies: bool,
    /// The version that a writer wrote; empty for appliers.
    pub api_version: String,
    /// The sub-resource it writes through, or empty.
    pub subresource: String,
}

/// What one manager manages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Managed {
    /// The fields.
    pub set: FieldSet,
    /// The version that the fields are of.
    pub api_version: String,
    /// When they changed last; an apply that changed nothing leaves it out.
    pub time: Option<String>,
}

/// All managers of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Managers(pub BTreeMap<Manager, Managed>);

/// A field that two managers want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The other manager, as the message names it: `"m1"` or `"upd" using v1`.
    pub manager: String,
    /// The field's path.
    pub field: String,
}

/// Why an apply does not go through.
#[derive(Clone, Debug, PartialEq)]
pub enum Halt {
    /// Others manage what it wants.
    Conflicts(Vec<Conflict>),
    /// Something has to be converted first.
    Needed(Needed),
}

impl From<Needed> for Halt {
    fn from(needed: Needed) -> Self {
        Self::Needed(needed)
    }
}

/// What a write may own.
#[derive(Clone, Copy, Debug)]
pub struct Reach<'a> {
    /// The place of the whole object.
    pub place: Place<'a>,
    /// The version that is written, which objects are in.
    pub api_version: &'a str,
    /// Fields that the write does not reach, such as `status` through the object itself.
    pub ignored: &'a [&'static str],
    /// The other versions.
    pub versions: &'a dyn Versions,
}

impl Reach<'_> {
    fn own(&self, set: FieldSet) -> FieldSet {
        self.ignored.iter().fold(set, |set, field| set.without(&[field]))
    }
}

impl Managers {
    /// Reads `metadata.managedFields`; entries that do not read are nobody's.
    pub fn decode(list: Option<&Value>) -> Self {
        let mut out = Self::default();
        for entry in list.and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let Some(set) = entry.get("fieldsV1").and_then(FieldSet::decode) else { continue };
            let applies = match text("operation").as_str() {
                "Apply" => true,
                "Update" => false,
                _ => continue,
            };
            let api_version = text("apiVersion");
            let key = if applies { String::new() } else { api_version.clone() };
            let manager =
                Manager { name: text("manager"), applies, api_version: key, subresource: text("subresource") };
            let time = entry.get("time").and_then(Value::as_str).map(str::to_owned);
            out.0.insert(manager, Managed { set, api_version, time });
        }
        out
    }

    /// Writes `metadata.managedFields`: appliers first, then by time and name.
    pub fn encode(&self) -> Value {
        let mut all: Vec<_> = self.0.iter().collect();
        all.sort_by(|(a, x), (b, y)| {
            (!a.applies, x.time.is_some(), &x.time, &a.name, &x.api_version, &a.subresource).cmp(&(
                !b.applies,
                y.time.is_some(),
                &y.time,
                &b.name,
                &y.api_version,
                &b.subresource,
            ))
        });
        let entry = |(manager, managed): (&Manager, &Managed)| {
            let mut out = json!({
                "manager": manager.name, "operation": if manager.applies { "Apply" } else { "Update" },
                "apiVersion": managed.api_version, "fieldsType": "FieldsV1",
            });
            // Not in the macro, which would copy it.
            out["fieldsV1"] = managed.set.encode();
            if let Some(time) = &managed.time {
                out["time"] = time.as_str().into();
            }
            if !manager.subresource.is_empty() {
                out["subresource"] = manager.subresource.as_str().into();
            }
            out
        };
        all.into_iter().map(entry).collect()
    }

    /// Whether nobody manages anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes what a plain write changed: the writer manages it, others no more.
    ///
    /// # Errors
    /// When a conversion has to be made first; nothing is noted then.
    pub fn update(
        &mut self,
        old: &Value,
        new: &Value,
        reach: &Reach<'_>,
        manager: &Manager,
        now: &str,
    ) -> Result<(), Needed> {
        let changes = Changes::between(old, new, reach, self.versions())?;
        self.give_up(&changes, None);
        let taken = nobodys(changes.into_taken());
        if taken.is_empty() {
            return Ok(());
        }
        let managed = self.0.entry(manager.clone()).or_default();
        managed.set = std::mem::take(&mut managed.set).union(taken);
        managed.api_version = manager.api_version.clone();
        managed.time = Some(now.to_owned());
        self.cap();
        Ok(())
    }

    /// The versions that fields are managed in.
    fn versions(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(|managed| managed.api_version.as_str())
    }

    /// Takes from the managers what changed in their versions, and drops those whose version there is not.
    fn give_up(&mut self, changes: &Changes, but: Option<&Manager>) {
        self.0.retain(|manager, managed| {
            if Some(manager) == but {
                return true;
            }
            let Some(changed) = changes.of(&managed.api_version) else { return false };
            let set = std::mem::take(&mut managed.set);
            managed.set = set.difference(&changed.modified).difference(&changed.added).difference(&changed.removed);
            !managed.set.is_empty()
        });
    }

    /// Applies a configuration: merges it, takes out what its manager no longer speaks of and nobody else manages, and
    /// notes the ownership. The result has no defaults yet; what was emptied is null in it.
    ///
    /// # Errors
    /// The conflicts with other managers, unless `force`; or a conversion that has to be made first. In both cases what is
    /// noted by then is of no use: start again from the managers before.
    pub fn apply(
        &mut self,
        live: &Value,
        config: &Value,
        reach: &Reach<'_>,
        manager: &Manager,
        force: bool,
        now: &str,
    ) -> Result<Value, Halt> {
        let merged = merge(live, config, reach.place);
        let last = self.0.get(manager).cloned();
        let set = nobodys(reach.own(fields(config, reach.place)));
        let time = last.as_ref().and_then(|last| last.time.clone());
        self.0.insert(manager.clone(), Managed { set, api_version: reach.api_version.to_owned(), time });
        let new = match last {
            Some(last) if !last.set.is_empty() => self.prune(merged, &last, reach)?,
            _ => merged,
        };
        let changes = Changes::between(live, &new, reach, self.versions())?;
        let conflicts = self.conflicts(&changes, manager);
        if !force && !conflicts.is_empty() {
            return Err(Halt::Conflicts(conflicts));
        }
        self.give_up(&changes, Some(manager));
        let changed = changes.taken(reach.api_version).union(changes.own().removed.clone());
        if let Some(own) = self.0.get_mut(manager)
            && !nobodys(changed).is_empty()
        {
            own.time = Some(now.to_owned());
        }
        self.0.retain(|_, managed| !managed.set.is_empty());
        Ok(new)
    }

    fn conflicts(&self, changes: &Changes, but: &Manager) -> Vec<Conflict> {
        let mut out = Vec::new();
        for (manager, managed) in self.0.iter().filter(|(manager, _)| *manager != but) {
            let mut name = format!("{:?}", manager.name);
            if !manager.subresource.is_empty() {
                name.push_str(&format!(" with subresource {:?}", manager.subresource));
            }
            if !manager.applies {
                name.push_str(&format!(" using {}", managed.api_version));
            }
            let both = managed.set.intersection(&changes.taken(&managed.api_version));
            out.extend(both.paths().into_iter().map(|field| Conflict { manager: name.clone(), field }));
        }
        out
    }

    /// Makes one manager of the oldest updaters when there are too many.
    fn cap(&mut self) {
        let mut updaters: Vec<(Option<String>, Manager)> =
            self.0.iter().filter(|(m, _)| !m.applies).map(|(m, managed)| (managed.time.clone(), m.clone())).collect();
        if updaters.len() <= MAX_UPDATERS {
            return;
        }
        updaters.sort();
        let excess = updaters.len() - MAX_UPDATERS + 1;
        for (_, manager) in updaters.into_iter().take(excess) {
            let Some(old) = self.0.remove(&manager) else { continue };
            let ancient = Manager { name: ANCIENT.to_owned(), ..manager };
            let into = self.0.entry(ancient).or_default();
            into.set = std::mem::take(&mut into.set).union(old.set);
            into.time = into.time.take().max(old.time);
            into.api_version = old.api_version;
        }
    }
}

/// Takes out what nobody manages.
fn nobodys(mut set: FieldSet) -> FieldSet {
    set = NOBODYS.iter().fold(set, |set, path| set.without(path));
    set.forget(&["metadata"]);
    set
}
