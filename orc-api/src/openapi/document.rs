//! Whole documents: schemas and paths of a group and version.

use orc_core::catalogue::{Catalogue, Served, SubresourceInfo};
use orc_core::schema::Schema;
use serde_json::{Map, Value, json};

use super::custom::Find;
use super::schema::Schemas;

/// A number that changes when the served resources do (FNV-1a over their names and verbs).
pub(super) fn fingerprint(served: &[Served], find: Find<'_>) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |text: &str| {
        for byte in text.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    add(env!("CARGO_PKG_VERSION"));
    for one in served {
        add(&one.info.plural);
        one.version().verbs.iter().for_each(|verb| add(verb));
        one.version().subresources.iter().for_each(|sub| add(&sub.name));
        find(one).iter().for_each(|published| add(&published.mark.to_string()));
    }
    hash
}

pub(super) fn v3(group: &str, version: &str, served: &[Served], find: Find<'_>) -> Value {
    let mut schemas = Schemas::new("#/components/schemas/");
    let mut paths = Map::new();
    add_group(&mut schemas, &mut paths, (group, version), served, find);
    json!({"openapi": "3.0.0", "info": info(), "paths": paths, "components": {"schemas": schemas.all}})
}

pub(super) fn v2(catalogue: &Catalogue, find: Find<'_>) -> Value {
    let mut schemas = Schemas::new("#/definitions/");
    let mut paths = Map::new();
    for group in catalogue.groups() {
        for version in &group.versions {
            let served = catalogue.in_version(&group.name, version);
            add_group(&mut schemas, &mut paths, (&group.name, version), &served, find);
        }
    }
    json!({"swagger": "2.0", "info": info(), "paths": paths, "definitions": schemas.all})
}

fn info() -> Value {
    json!({"title": "Kubernetes", "version": format!("v1.36.0+orc-{}", env!("CARGO_PKG_VERSION"))})
}

fn add_group(
    schemas: &mut Schemas,
    paths: &mut Map<String, Value>,
    (group, version): (&str, &str),
    served: &[Served],
    find: Find<'_>,
) {
    for one in served {
        let gvk = json!({"group": group, "version": version, "kind": one.info.kind});
        if let Some(published) = find(one) {
            super::custom::add(schemas, group, one, &published);
        } else if let Some(message) = Schema::builtin().message_of(group, version, &one.info.kind) {
            schemas.reference(message);
            name_kind(schemas, &message.openapi_name(), &gvk);
        }
        add_paths(paths, group, version, one, &gvk);
        for sub in &one.version().subresources {
            add_subresource(paths, group, version, one, sub);
        }
    }
}

/// Says which kind a schema is; one schema may be several.
fn name_kind(schemas: &mut Schemas, name: &str, gvk: &Value) {
    if let Some(schema) = schemas.all.get_mut(name).filter(|schema| schema.is_object()) {
        let kinds = &mut schema["x-kubernetes-group-version-kind"];
        match kinds.as_array_mut() {
            Some(kinds) if !kinds.contains(gvk) => kinds.push(gvk.clone()),
            Some(_) => {}
            None => *kinds = json!([gvk]),
        }
    }
}

fn base(group: &str, version: &str, one: &Served) -> String {
    let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    match one.info.is_namespaced() {
        true => format!("{root}/namespaces/{{namespace}}/{}", one.info.plural),
        false => format!("{root}/{}", one.info.plural),
    }
}

fn add_paths(paths: &mut Map<String, Value>, group: &str, version: &str, one: &Served, gvk: &Value) {
    let base = base(group, version, one);
    let verbs = &one.version().verbs;
    let collection: &[_] = &[("list", "get"), ("create", "post"), ("deletecollection", "delete")];
    let object: &[_] = &[("get", "get"), ("update", "put"), ("patch", "patch"), ("delete", "delete")];
    for (path, methods) in [(base.clone(), collection), (format!("{base}/{{name}}"), object)] {
        let operations = operations(verbs, methods, gvk);
        if !operations.is_empty() {
            paths.insert(path, operations.into());
        }
    }
}

fn add_subresource(paths: &mut Map<String, Value>, group: &str, version: &str, one: &Served, sub: &SubresourceInfo) {
    let (group_of, version_of) = sub.foreign.as_ref().map_or((group, version), |f| (&*f.group, &*f.version));
    let gvk = json!({"group": group_of, "version": version_of, "kind": sub.kind});
    let methods = [("get", "get"), ("create", "post"), ("update", "put"), ("patch", "patch"), ("delete", "delete")];
    let path = format!("{}/{{name}}/{}", base(group, version, one), sub.name);
    paths.insert(path, operations(&sub.verbs, &methods, &gvk).into());
}

fn operations(verbs: &[String], methods: &[(&str, &str)], gvk: &Value) -> Map<String, Value> {
    let served = methods.iter().filter(|(verb, _)| verbs.iter().any(|v| v == verb));
    served.map(|(verb, method)| ((*method).to_owned(), operation(verb, method, gvk))).collect()
}

fn operation(verb: &str, method: &str, gvk: &Value) -> Value {
    let action = match verb {
        "create" => "post",
        "update" => "put",
        other => other,
    };
    let mut operation = json!({"x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk,
        "parameters": parameters(verb), "responses": {"200": {"description": "OK"}, "401": {"description": "Unauthorized"}}});
    if method == "post" {
        operation["responses"]["201"] = json!({"description": "Created"});
        operation["responses"]["202"] = json!({"description": "Accepted"});
    }
    operation
}

/// The query parameters; kubectl looks for `dryRun` and `fieldValidation` to know what the server can do.
fn parameters(verb: &str) -> Vec<Value> {
    let names: &[(&str, &str)] = match verb {
        "create" | "update" => &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")],
        "patch" => {
            &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string"), ("force", "boolean")]
        }
        "delete" | "deletecollection" => {
            &[("dryRun", "string"), ("gracePeriodSeconds", "integer"), ("propagationPolicy", "string")]
        }
        "list" => &[
            ("continue", "string"),
            ("fieldSelector", "string"),
            ("labelSelector", "string"),
            ("limit", "integer"),
            ("watch", "boolean"),
        ],
        _ => &[],
    };
    let parameter = |(name, kind): &(&str, &str)| json!({"name": name, "in": "query", "schema": {"type": kind}, "uniqueItems": true});
    names.iter().map(parameter).collect()
}

/// Kinds by OpenAPI name, for tests.
#[cfg(test)]
fn kinds(document: &Value) -> std::collections::BTreeMap<String, Value> {
    let schemas = document.pointer("/components/schemas").and_then(Value::as_object).cloned().unwrap_or_default();
    schemas
        .into_iter()
        .filter_map(|(name, schema)| Some((name, schema.get("x-kubernetes-group-version-kind")?.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_of_the_apps_document_resolves() {
        let document = v3("apps", "v1", &Catalogue::builtin().in_version("apps", "v1"), &|_| None);
        let text = document.to_string();
        let schemas = document.pointer("/components/schemas").and_then(Value::as_object).unwrap();
        for part in text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(schemas.get(name).is_some_and(Value::is_object), "{name}");
        }
        assert!(kinds(&document).contains_key("io.k8s.api.apps.v1.Deployment"));
        let containers =
            document.pointer("/components/schemas/io.k8s.api.core.v1.PodSpec/properties/containers").unwrap();
        assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    }
}
