//! The place of other servers' groups among ours: higher priorities come first, as in kube-aggregator.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::documents::{Documents, REFERENCE};
use super::route::{Route, Version};
use super::{Aggregator, local};

/// The form of a discovery document.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `APIGroupList`.
    Plain,
    /// `APIGroupDiscoveryList`, with resources.
    Aggregated,
}

impl Form {
    fn name(self, group: &Value) -> &str {
        let name = if self == Self::Plain { &group["name"] } else { &group["metadata"]["name"] };
        name.as_str().unwrap_or_default()
    }

    fn group(self, name: &str, versions: Vec<Value>) -> Value {
        match self {
            Self::Plain => json!({"name": name, "preferredVersion": versions.first(), "versions": versions}),
            Self::Aggregated => json!({"metadata": {"name": name}, "versions": versions}),
        }
    }

    fn version(self, version: &Version, documents: Option<&Documents>) -> Value {
        let Version { group, version } = version;
        if self == Self::Plain {
            return json!({"groupVersion": format!("{group}/{version}"), "version": version});
        }
        let resources = documents.map(Documents::aggregated).unwrap_or_default();
        let freshness = if documents.is_some_and(|d| d.fresh) { "Current" } else { "Stale" };
        json!({"version": version, "resources": resources, "freshness": freshness})
    }
}

impl Aggregator {
    /// Adds the groups of other servers to ours.
    pub(crate) fn add_groups(&self, form: Form, groups: &mut Vec<Value>) {
        let mut by_group: BTreeMap<String, Vec<Arc<Route>>> = BTreeMap::new();
        for route in self.shared.routes.load().values() {
            by_group.entry(route.version.group.clone()).or_default().push(route.clone());
        }
        for (name, mut routes) in by_group {
            routes.sort_by(|a, b| b.version_priority.cmp(&a.version_priority).then(a.name.cmp(&b.name)));
            let priority = routes.iter().map(|route| route.group_priority).max().unwrap_or_default();
            let documents = self.shared.documents.lock().clone();
            let versions = routes.iter().map(|r| form.version(&r.version, documents.get(&r.version).map(Arc::as_ref)));
            insert(form, groups, &name, priority, versions.collect(), |group| self.priority(group));
        }
    }

    /// The `groupPriorityMinimum` of a group.
    fn priority(&self, group: &str) -> i64 {
        let routes = self.shared.routes.load();
        let routed =
            routes.values().filter(|route| route.version.group == group).map(|route| route.group_priority).max();
        routed.unwrap_or_else(|| local::priority_of(group))
    }

    /// Paths of other servers, for `/`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let routes = self.shared.routes.load();
        let groups = routes.keys().map(|version| format!("/apis/{}", version.group));
        let mut paths: Vec<String> = groups.chain(routes.keys().map(Version::path)).collect();
        paths.dedup();
        paths
    }

    /// Adds the documents of other servers to the index of OpenAPI 3.
    pub(crate) fn add_to_index(&self, index: &mut Value) {
        for (version, documents) in self.shared.documents.lock().iter() {
            if let Some(entry) = &documents.v3 {
                index["paths"][version.path().trim_start_matches('/')] = entry.clone();
            }
        }
    }

    /// Adds the paths and definitions of other servers to our Swagger document.
    pub(crate) fn add_to_swagger(&self, document: &mut Value) {
        let others: Vec<Arc<Documents>> = self.shared.documents.lock().values().cloned().collect();
        for other in others.iter().filter_map(|documents| documents.v2.as_ref()) {
            add(document, other);
        }
    }
}

/// Adds versions to a group, which is made in its place where there is none.
fn insert(
    form: Form,
    groups: &mut Vec<Value>,
    name: &str,
    priority: i64,
    versions: Vec<Value>,
    priority_of: impl Fn(&str) -> i64,
) {
    if let Some(group) = groups.iter_mut().find(|group| form.name(group) == name) {
        let Some(own) = group["versions"].as_array_mut() else { return };
        for version in versions {
            match own.iter_mut().find(|old| old["version"] == version["version"]) {
                Some(old) => *old = version,
                None => own.push(version),
            }
        }
        return;
    }
    let comes_after = |group: &Value| {
        let other = form.name(group);
        let theirs = priority_of(other);
        theirs < priority || theirs == priority && other > name
    };
    let at = groups.iter().position(comes_after).unwrap_or(groups.len());
    groups.insert(at, form.group(name, versions));
}

/// Adds a Swagger document. A definition whose name is taken by another one gets a name of its own, as kube-openapi does.
fn add(document: &mut Value, other: &Value) {
    let mut renamed: BTreeMap<String, String> = BTreeMap::new();
    let definitions: &Map<String, Value> = match other["definitions"].as_object() {
        Some(map) => map,
        None => &Map::new(),
    };
    for (name, definition) in definitions {
        let taken = document["definitions"].get(name).is_some_and(|own| own != definition);
        let free = |n: &u32| document["definitions"].get(format!("{name}_v{n}")).is_none_or(|own| own == definition);
        if taken && let Some(n) = (2_u32..).find(free) {
            renamed.insert(name.clone(), format!("{name}_v{n}"));
        }
    }
    for (name, definition) in definitions {
        let name = renamed.get(name).unwrap_or(name);
        document["definitions"][name.as_str()] = rename(definition, &renamed);
    }
    for (path, item) in other["paths"].as_object().into_iter().flatten() {
        document["paths"][path.as_str()] = rename(item, &renamed);
    }
}

fn rename(value: &Value, names: &BTreeMap<String, String>) -> Value {
    match value {
        Value::Object(map) => {
            let field = |(name, inner): (&String, &Value)| {
                let to = inner.as_str().filter(|_| name == "$ref").and_then(|text| text.strip_prefix(REFERENCE));
                match to.and_then(|to| names.get(to)) {
                    Some(to) => (name.clone(), format!("{REFERENCE}{to}").into()),
                    None => (name.clone(), rename(inner, names)),
                }
            };
            map.iter().map(field).collect::<Map<_, _>>().into()
        }
        Value::Array(list) => list.iter().map(|inner| rename(inner, names)).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_stand_by_priority_and_versions_join_their_group() {
        let ours = ["apps", "batch", "mine.example.com"];
        let mut groups: Vec<Value> =
            ours.iter().map(|name| Form::Plain.group(name, vec![json!({"version": "v1"})])).collect();
        let priority = |name: &str| match name {
            "first.io" => 18_000,
            name if name.contains('.') => 1000,
            _ => 17_000,
        };
        let version = |version: &str| vec![json!({"version": version})];
        insert(Form::Plain, &mut groups, "metrics.k8s.io", 100, version("v1beta1"), priority);
        insert(Form::Plain, &mut groups, "first.io", 18_000, version("v1"), priority);
        insert(Form::Plain, &mut groups, "a.example.com", 1000, version("v1"), priority);
        insert(Form::Plain, &mut groups, "mine.example.com", 1000, version("v2"), priority);
        let names: Vec<&str> = groups.iter().map(|group| Form::Plain.name(group)).collect();
        assert_eq!(names, ["first.io", "apps", "batch", "a.example.com", "mine.example.com", "metrics.k8s.io"]);
        assert_eq!(groups[4]["versions"], json!([{"version": "v1"}, {"version": "v2"}]));
    }

    #[test]
    fn definitions_that_differ_are_renamed() {
        let mut ours = json!({"paths": {}, "definitions": {"a": {"x": 1}, "b": {}}});
        let other = json!({"paths": {"/p": {"$ref": "#/definitions/a"}},
            "definitions": {"a": {"y": {"$ref": "#/definitions/b"}}, "b": {}}});
        for _ in 0..2 {
            add(&mut ours, &other);
            assert_eq!(ours["paths"]["/p"]["$ref"], "#/definitions/a_v2");
            assert_eq!(ours["definitions"]["a"], json!({"x": 1}));
            assert_eq!(ours["definitions"]["a_v2"]["y"]["$ref"], "#/definitions/b");
            assert_eq!(ours["definitions"].as_object().unwrap().len(), 3);
        }
    }
}
