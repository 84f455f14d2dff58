//! Who manages which fields of an object: `metadata.managedFields`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::compare::{Comparison, compare};
use super::extract::fields;
use super::merge::{merge, remove, with_named};
use super::set::FieldSet;
use super::shape::Place;

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

/// What a write may own.
#[derive(Clone, Copy, Debug)]
pub struct Reach<'a> {
    /// The place of the whole object.
    pub place: Place<'a>,
    /// Fields that the write does not reach, such as `status` through the object itself.
    pub ignored: &'a [&'static str],
}

impl Reach<'_> {
    fn compare(&self, old: &Value, new: &Value) -> Comparison {
        self.ignored.iter().fold(compare(old, new, self.place), |changes, field| changes.without(&[field]))
    }

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
                "apiVersion": managed.api_version, "fieldsType": "FieldsV1", "fieldsV1": managed.set.encode(),
            });
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
    pub fn update(&mut self, old: &Value, new: &Value, reach: &Reach<'_>, manager: &Manager, now: &str) {
        let changes = reach.compare(old, new);
        let taken = changes.modified.union(changes.added);
        if !self.0.is_empty() {
            self.give_up(&taken, None);
            self.give_up(&changes.removed, None);
        }
        let taken = nobodys(taken);
        if taken.is_empty() {
            return;
        }
        let managed = self.0.entry(manager.clone()).or_default();
        managed.set = std::mem::take(&mut managed.set).union(taken);
        managed.api_version = manager.api_version.clone();
        managed.time = Some(now.to_owned());
        self.cap();
    }

    fn give_up(&mut self, fields: &FieldSet, but: Option<&Manager>) {
        for (manager, managed) in &mut self.0 {
            if Some(manager) != but {
                managed.set = std::mem::take(&mut managed.set).difference(fields);
            }
        }
        self.0.retain(|manager, managed| Some(manager) == but || !managed.set.is_empty());
    }

    /// Applies a configuration: merges it, takes out what its manager no longer speaks of and nobody else manages, and
    /// notes the ownership. The result has no defaults yet; what was emptied is null in it.
    /// `times` are the version that is applied, and now.
    ///
    /// # Errors
    /// The conflicts with other managers, unless `force`.
    pub fn apply(
        &mut self,
        live: &Value,
        config: &Value,
        reach: &Reach<'_>,
        manager: &Manager,
        force: bool,
        times: (&str, &str),
    ) -> Result<Value, Vec<Conflict>> {
        let (api_version, now) = times;
        let merged = merge(live, config, reach.place);
        let last = self.0.get(manager).cloned();
        let set = nobodys(reach.own(fields(config, reach.place)));
        let time = last.as_ref().and_then(|last| last.time.clone());
        self.0.insert(manager.clone(), Managed { set, api_version: api_version.to_owned(), time });
        let new = match last {
            Some(last) if !last.set.is_empty() => self.prune(merged, &last.set, reach.place),
            _ => merged,
        };
        let changes = reach.compare(live, &new);
        let taken = changes.modified.union(changes.added);
        let conflicts = self.conflicts(&taken, manager);
        if !force && !conflicts.is_empty() {
            return Err(conflicts);
        }
        let changed = taken.union(changes.removed);
        self.give_up(&changed, Some(manager));
        if let Some(own) = self.0.get_mut(manager)
            && !nobodys(changed).is_empty()
        {
            own.time = Some(now.to_owned());
        }
        self.0.retain(|_, managed| !managed.set.is_empty());
        Ok(new)
    }

    fn conflicts(&self, taken: &FieldSet, but: &Manager) -> Vec<Conflict> {
        let mut out = Vec::new();
        for (manager, managed) in self.0.iter().filter(|(manager, _)| *manager != but) {
            let mut name = format!("{:?}", manager.name);
            if !manager.subresource.is_empty() {
                name.push_str(&format!(" with subresource {:?}", manager.subresource));
            }
            if !manager.applies {
                name.push_str(&format!(" using {}", managed.api_version));
            }
            let both = managed.set.intersection(taken);
            out.extend(both.paths().into_iter().map(|field| Conflict { manager: name.clone(), field }));
        }
        out
    }

    /// Takes out of the merged object what the last configuration held, the new one does not, and nobody else manages.
    fn prune(&self, merged: Value, last: &FieldSet, place: Place<'_>) -> Value {
        let named = |set: &FieldSet| with_named(set, place);
        let without = |value: &Value, gone: &FieldSet| remove(value, gone, place).unwrap_or_else(|| json!({}));
        let pruned = without(&merged, &named(last));
        let all = self.0.values().fold(FieldSet::default(), |all, managed| all.union(managed.set.clone()));
        let merged_set = named(&fields(&merged, place));
        // What somebody manages comes back ...
        let kept = named(&fields(&pruned, place)).union(named(&all));
        let pruned = without(&merged, &merged_set.clone().difference(&kept));
        // ... and what the last configuration never held was not its to take.
        let gone = merged_set.difference(&named(&fields(&pruned, place))).intersection(&named(last));
        without(&merged, &gone)
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
