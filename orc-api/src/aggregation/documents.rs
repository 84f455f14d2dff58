//! What other API servers say of themselves: discovery and OpenAPI.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::check::fetch;
use super::connection::Connector;
use super::route::Route;

/// The longest document that is read, in bytes. Kubernetes' own Swagger document is about 4 MB.
pub(super) const MAX: usize = 16 * 1024 * 1024;

/// The documents of one version.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Documents {
    /// The `APIResourceList`.
    pub(super) resources: Value,
    /// Whether the last attempt to read it succeeded.
    pub(super) fresh: bool,
    /// The entry of the version in the index of OpenAPI 3.
    pub(super) v3: Option<Value>,
    /// The Swagger document, paths of the version only.
    pub(super) v2: Option<Value>,
}

impl Documents {
    /// What remains of documents when their server cannot be read.
    pub(super) fn stale(before: Option<&Self>) -> Self {
        Self { fresh: false, ..before.cloned().unwrap_or_default() }
    }

    /// Reads the OpenAPI documents that go with a discovery document. Servers without them are served all the same.
    pub(super) async fn read(connector: &Connector, route: &Route, resources: Value) -> Self {
        let path = route.version.path();
        let (v3, v2) =
            tokio::join!(fetch(connector, &route.place, "/openapi/v3"), fetch(connector, &route.place, "/openapi/v2"));
        let entry = v3.ok().and_then(|index| index["paths"].get(path.trim_start_matches('/')).cloned());
        let v2 = v2.ok().map(|document| only(document, &path));
        Self { resources, fresh: true, v3: entry, v2 }
    }

    /// The entries of aggregated discovery.
    pub(super) fn aggregated(&self) -> Vec<Value> {
        let all: Vec<&Value> = self.resources["resources"].as_array().into_iter().flatten().collect();
        let name = |entry: &Value| entry["name"].as_str().unwrap_or_default().to_owned();
        let whole = all.iter().filter(|entry| !name(entry).contains('/'));
        let entry = |one: &&Value| {
            let prefix = format!("{}/", name(one));
            let subs: Vec<Value> = all
                .iter()
                .filter_map(|sub| {
                    let sub_name = name(sub).strip_prefix(&prefix)?.to_owned();
                    Some(json!({"subresource": sub_name, "responseKind": kind(sub), "verbs": sub["verbs"]}))
                })
                .collect();
            let mut made = json!({"resource": name(one), "responseKind": kind(one), "singularResource": one["singularName"],
                "scope": if one["namespaced"] == true { "Namespaced" } else { "Cluster" }, "verbs": one["verbs"]});
            for field in ["shortNames", "categories"] {
                if let Some(list) = one.get(field) {
                    made[field] = list.clone();
                }
            }
            if !subs.is_empty() {
                made["subresources"] = subs.into();
            }
            made
        };
        whole.map(entry).collect()
    }
}

fn kind(entry: &Value) -> Value {
    let text = |field: &str| entry[field].as_str().unwrap_or_default();
    json!({"group": text("group"), "version": text("version"), "kind": text("kind")})
}

/// A Swagger document without the paths of others, and without the definitions that nothing refers to then.
fn only(mut document: Value, path: &str) -> Value {
    let below = format!("{path}/");
    let paths = document["paths"].take();
    let paths = paths.as_object().into_iter().flatten();
    let own = paths.filter(|(name, _)| *name == &below || **name == *path || name.starts_with(&below));
    let own: serde_json::Map<String, Value> = own.map(|(name, value)| (name.clone(), value.clone())).collect();
    let all = document["definitions"].take();
    let (mut wanted, mut open) = (BTreeSet::new(), Vec::new());
    own.values().for_each(|value| references(value, &mut open));
    while let Some(name) = open.pop() {
        if wanted.insert(name.clone()) {
            references(&all[&name], &mut open);
        }
    }
    let definitions: serde_json::Map<String, Value> =
        wanted.into_iter().filter_map(|name| Some((name.clone(), all.get(&name)?.clone()))).collect();
    json!({"paths": own, "definitions": definitions})
}

/// What a reference to a definition starts with.
pub(super) const REFERENCE: &str = "#/definitions/";

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let name = map.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix(REFERENCE));
            found.extend(name.map(str::to_owned));
            map.values().for_each(|inner| references(inner, found));
        }
        Value::Array(list) => list.iter().for_each(|inner| references(inner, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_list_becomes_entries_with_subresources() {
        let resources = json!({"resources": [
            {"name": "things", "singularName": "thing", "namespaced": true, "kind": "Thing", "verbs": ["get"], "shortNames": ["th"]},
            {"name": "things/status", "kind": "Thing", "verbs": ["update"]},
            {"name": "thingsets", "singularName": "", "kind": "ThingSet", "verbs": ["list"]}]});
        let entries = Documents { resources, ..Documents::default() }.aggregated();
        assert_eq!(entries.len(), 2);
        assert_eq!((&entries[0]["scope"], &entries[1]["scope"]), (&json!("Namespaced"), &json!("Cluster")));
        assert_eq!(entries[0]["subresources"][0]["subresource"], "status");
        assert_eq!(entries[1].get("subresources"), None);
    }

    #[test]
    fn a_swagger_document_is_cut_to_one_version() {
        let document = json!({"paths": {
            "/apis/g/v1/": {"get": {"$ref": "#/definitions/a"}}, "/apis/g/v1beta1/x": {"get": {"$ref": "#/definitions/c"}}},
            "definitions": {"a": {"items": [{"$ref": "#/definitions/b"}]}, "b": {"$ref": "#/definitions/a"}, "c": {}}});
        let cut = only(document, "/apis/g/v1");
        let names = |field: &str| cut[field].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(
            (names("paths"), names("definitions")),
            (vec!["/apis/g/v1/".to_owned()], vec!["a".to_owned(), "b".to_owned()])
        );
    }
}
