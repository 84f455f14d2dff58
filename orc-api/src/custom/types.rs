//! What server-side apply needs to know of a schema: how its lists and maps merge.
//!
//! The rules are those of `structured-merge-diff` over the published schema: an object without properties and one that keeps
//! unknown fields is open, a list without a type is one value, a map that is `atomic` too.

use super::structural::{Additional, ListType, Schema, SchemaType};
use orc_core::apply::{ListNode, Node, ObjectNode, Scalar};
use orc_core::schema::Schema as BuiltIn;

/// The type of a custom resource with that schema at its root.
pub fn root(schema: &Schema) -> Node {
    let mut object = fields(schema);
    add_header(&mut object);
    Node::Object(object)
}

fn node(schema: &Schema) -> Node {
    match schema.kind {
        _ if schema.int_or_string => Node::Leaf(Scalar::Any),
        None if schema.keeps_unknown() => Node::Free,
        None => Node::Leaf(Scalar::Any),
        Some(SchemaType::String) => Node::Leaf(Scalar::Text),
        Some(SchemaType::Integer | SchemaType::Number) => Node::Leaf(Scalar::Number),
        Some(SchemaType::Boolean) => Node::Leaf(Scalar::Bool),
        Some(SchemaType::Array) => list(schema),
        Some(SchemaType::Object) if schema.atomic_map => Node::Leaf(Scalar::Any),
        Some(SchemaType::Object) => object(schema),
    }
}

fn object(schema: &Schema) -> Node {
    if let (Some(inner), true) = (schema.value_schema(), schema.properties.is_empty()) {
        return Node::Map(Box::new(node(inner)));
    }
    let mut object = fields(schema);
    if schema.embedded {
        add_header(&mut object);
    }
    Node::Object(object)
}

fn fields(schema: &Schema) -> ObjectNode {
    let free_form = schema.properties.is_empty() && schema.additional.is_none();
    let open = free_form || schema.keeps_unknown() || matches!(schema.additional, Some(Additional::Schema(_)));
    let fields = schema.properties.iter().map(|(name, inner)| (name.clone(), node(inner)));
    ObjectNode { fields: fields.collect(), open }
}

/// What every object has.
fn add_header(object: &mut ObjectNode) {
    for name in ["apiVersion", "kind"] {
        object.fields.insert(name.to_owned(), Node::Leaf(Scalar::Text));
    }
    object.fields.insert("metadata".to_owned(), Node::Message(BuiltIn::builtin().object_meta()));
}

fn list(schema: &Schema) -> Node {
    let Some(items) = schema.items.as_deref().filter(|_| schema.list_type != ListType::Atomic) else {
        return Node::Leaf(Scalar::Any);
    };
    let fallback = |key: &str| items.properties.get(key).and_then(|field| field.default.clone());
    let keys = match schema.list_type {
        ListType::Map => schema.list_map_keys.iter().map(|key| (key.clone(), fallback(key))).collect(),
        _ => Vec::new(),
    };
    Node::List(Box::new(ListNode { items: node(items), keys }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use orc_core::apply::{Place, check, fields as spoken, merge};
    use serde_json::json;

    #[test]
    fn lists_merge_by_their_keys() {
        let schema = Schema::parse(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n", "p"],
                "items": {"type": "object", "properties": {"n": {"type": "string"}, "p": {"type": "string", "default": "TCP"}}}},
            "tags": {"type": "array", "items": {"type": "string"}},
        }}}}))
        .unwrap();
        let node = root(&schema);
        let place = Place::Node(&node);
        let live = json!({"spec": {"ports": [{"n": "a", "p": "TCP"}], "tags": ["x"]}});
        let config = json!({"spec": {"ports": [{"n": "b"}, {"n": "a", "p": "UDP"}], "tags": ["y"]}});
        let merged = merge(&live, &config, place);
        assert_eq!(merged["spec"]["ports"].as_array().unwrap().len(), 3);
        assert_eq!(merged["spec"]["tags"], json!(["y"]));
        let set = spoken(&config, place).encode();
        assert!(set["f:spec"]["f:ports"].get("k:{\"n\":\"b\",\"p\":\"TCP\"}").is_some(), "{set}");
        assert_eq!(check(&json!({"spec": {"x": 1}}), place).unwrap_err(), ".spec.x: field not declared in schema");
        assert!(check(&json!({"metadata": {"labels": {"a": "b"}}}), place).is_ok());
    }
}
