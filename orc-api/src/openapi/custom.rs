//! Schemas of custom kinds, as clients read them.
//!
//! The definition's own schema with what every object has. Swagger knows less than OpenAPI 3, and kubectl trips over parts of
//! it, so the second form leaves out what upstream leaves out (`apiextensions-apiserver/pkg/controller/openapi`).

use orc_core::catalogue::Served;
use orc_core::schema::Schema;
use serde_json::{Map, Value, json};

use super::schema::Schemas;

/// What is published of a version of a custom kind.
pub struct Published {
    /// `openAPIV3Schema` of the definition.
    pub schema: Value,
    /// A number that changes when the schema does.
    pub mark: u64,
}

/// Finds what is published of a custom kind in a version; `None` for others.
pub type Find<'a> = &'a dyn Fn(&Served) -> Option<Published>;

/// The name of a kind among the schemas: the group backwards, the version, the kind.
pub(super) fn name(group: &str, version: &str, kind: &str) -> String {
    let backwards: Vec<&str> = group.split('.').rev().collect();
    format!("{}.{version}.{kind}", backwards.join("."))
}

/// Adds the schemas of a kind and of its list.
pub(super) fn add(schemas: &mut Schemas<'_>, group: &str, one: &Served, published: &Published) {
    let (version, kind) = (&*one.version().name, one.info.kind.as_str());
    let own = name(group, version, kind);
    let gvk = |kind: &str| json!([{"group": group, "version": version, "kind": kind}]);
    let mut schema = object(schemas, &published.schema);
    schema["x-kubernetes-group-version-kind"] = gvk(kind);
    schemas.all.insert(own.clone(), schema);
    let items = json!({"type": "array", "items": {"$ref": schemas.pointer(&own)},
        "description": format!("List of {}. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md", one.info.plural)});
    let list_meta = Schema::builtin().message("k8s.io.apimachinery.pkg.apis.meta.v1.ListMeta");
    let mut properties = json!({"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "items": items});
    if let Some(message) = list_meta {
        properties["metadata"] = schemas.reference(message);
    }
    let list = json!({"type": "object", "description": format!("{} is a list of {kind}", one.info.list_kind),
        "required": ["items"], "properties": properties,
        "x-kubernetes-group-version-kind": gvk(&one.info.list_kind)});
    schemas.all.insert(name(group, version, &one.info.list_kind), list);
}

fn object(schemas: &mut Schemas<'_>, schema: &Value) -> Value {
    let open = schema["x-kubernetes-preserve-unknown-fields"] == true;
    if open && !schemas.is_v3() {
        // kubectl would take the properties for all there may be.
        return json!({"type": "object"});
    }
    let mut out = if schemas.is_v3() { schema.clone() } else { swagger(schema) };
    embed(schemas, &mut out, true);
    out
}

/// Adds the type header and metadata to the object, and to every embedded one below it.
fn embed(schemas: &mut Schemas<'_>, schema: &mut Value, whole: bool) {
    let Some(map) = schema.as_object_mut() else { return };
    for part in ["items", "additionalProperties"] {
        if let Some(inner) = map.get_mut(part) {
            embed(schemas, inner, false);
        }
    }
    for inner in map.get_mut("properties").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        embed(schemas, inner, false);
    }
    let embedded = map.get("x-kubernetes-embedded-resource") == Some(&Value::Bool(true));
    if !(whole || embedded && schemas.is_v3()) {
        return;
    }
    let metadata = schemas.reference(Schema::builtin().object_meta());
    let metadata = if schemas.is_v3() { json!({"allOf": [metadata]}) } else { metadata };
    let properties = map.entry("properties").or_insert_with(|| json!({}));
    for (name, value) in
        [("apiVersion", json!({"type": "string"})), ("kind", json!({"type": "string"})), ("metadata", metadata)]
    {
        properties[name] = value;
    }
}

/// A schema without what Swagger does not know.
fn swagger(schema: &Value) -> Value {
    let Some(map) = schema.as_object() else { return schema.clone() };
    let flag = |name: &str| map.get(name) == Some(&Value::Bool(true));
    let (nullable, open) = (flag("nullable"), flag("x-kubernetes-preserve-unknown-fields"));
    let mut out = Map::new();
    for (name, value) in map {
        let kept = match name.as_str() {
            "allOf" | "anyOf" | "oneOf" | "not" | "nullable" => continue,
            "items" | "properties" if nullable || open => continue,
            "type" if nullable || open => continue,
            "items" | "additionalProperties" => swagger(value),
            "properties" => {
                let fields = value.as_object().into_iter().flatten();
                fields.map(|(name, inner)| (name.clone(), swagger(inner))).collect::<Map<_, _>>().into()
            }
            "required" => required(value, map),
            _ => value.clone(),
        };
        out.insert(name.clone(), kept);
    }
    if out.get("required").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        out.remove("required");
    }
    out.into()
}

/// What may be null cannot be demanded of Swagger's clients.
fn required(names: &Value, map: &Map<String, Value>) -> Value {
    let nullable = |name: &&Value| {
        let field = name.as_str().and_then(|name| map.get("properties")?.get(name));
        field.is_none_or(|field| field["nullable"] != true)
    };
    names.as_array().into_iter().flatten().filter(nullable).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swagger_knows_less() {
        let schema = json!({"type": "object", "required": ["a", "n"], "properties": {
            "a": {"type": "string", "oneOf": [{}]}, "n": {"type": "object", "nullable": true, "properties": {"x": {}}},
            "o": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}});
        let out = swagger(&schema);
        assert_eq!(out["required"], json!(["a"]));
        assert_eq!(
            out["properties"],
            json!({"a": {"type": "string"}, "n": {}, "o": {"x-kubernetes-preserve-unknown-fields": true}})
        );
        assert_eq!(name("a.example.com", "v1", "Widget"), "com.example.a.v1.Widget");
    }
}
