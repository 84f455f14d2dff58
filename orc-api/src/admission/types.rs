//! The types of what policies see, for their type check.

use std::collections::BTreeMap;
use std::sync::Arc;

use orc_core::schema::{Cardinality, Field, MessageRef, Schema, Shape, Type as Scalar};

use crate::cel::{ObjectType, Type, names};

/// The type of an object of a built-in kind.
///
/// Fields whose names CEL reserves (`metadata.namespace`) have their plain name and the escaped one: upstream's check knows
/// the escaped one only and its evaluation the plain one only. What is one of several types (quantities, `IntOrString`, any
/// JSON) or contains itself is `dyn`.
pub fn of_message(message: MessageRef) -> Type {
    object(message, message.short_name(), &mut Vec::new())
}

/// The type of the metadata of every object.
pub fn of_metadata(owner: &str) -> Type {
    object(Schema::builtin().object_meta(), &format!("{owner}.metadata"), &mut Vec::new())
}

fn object(message: MessageRef, name: &str, above: &mut Vec<&'static str>) -> Type {
    match message.shape {
        Shape::Object if !above.contains(&message.name) => {}
        Shape::Time | Shape::MicroTime => return Type::Timestamp,
        Shape::Duration => return Type::text(),
        Shape::Strings => return Type::list(Type::text()),
        _ => return Type::Dyn,
    }
    above.push(message.name);
    let mut fields = BTreeMap::new();
    for one in &message.fields {
        let kind = field(one, &format!("{name}.{}", one.json), above);
        fields.extend(names::escape(one.json).map(|escaped| (escaped, kind.clone())));
        fields.insert(one.json.to_owned(), kind);
    }
    above.pop();
    Type::Object(Arc::new(ObjectType { name: name.to_owned(), fields }))
}

fn field(field: &Field, name: &str, above: &mut Vec<&'static str>) -> Type {
    let one = match field.kind {
        Scalar::Bool => Type::Bool,
        Scalar::Int32 | Scalar::Int64 => Type::Int,
        Scalar::Double => Type::Double,
        Scalar::String => Type::text(),
        Scalar::Bytes => Type::Bytes(crate::cel::MAX_REQUEST),
        Scalar::Message(_) => field.message().map_or(Type::Dyn, |message| object(message, name, above)),
    };
    match field.cardinality {
        Cardinality::One => one,
        Cardinality::List => Type::list(one),
        Cardinality::Map => Type::map(Type::text(), one),
    }
}

fn record(name: &str, fields: &[(&str, Type)]) -> Type {
    let fields = fields.iter().map(|(name, kind)| ((*name).to_owned(), kind.clone())).collect();
    Type::Object(Arc::new(ObjectType { name: format!("kubernetes.{name}"), fields }))
}

fn texts(name: &str, fields: &[&str]) -> Type {
    record(name, &fields.iter().map(|field| (*field, Type::text())).collect::<Vec<_>>())
}

/// The type of `request` (`BuildRequestType` in `k8s.io/apiserver/pkg/admission/plugin/cel`).
pub fn request() -> Type {
    let kind = texts("GroupVersionKind", &["group", "version", "kind"]);
    let resource = texts("GroupVersionResource", &["group", "version", "resource"]);
    let extra = Type::map(Type::text(), Type::list(Type::text()));
    let user =
        [("username", Type::text()), ("uid", Type::text()), ("groups", Type::list(Type::text())), ("extra", extra)];
    let mut fields = vec![
        ("kind", kind.clone()),
        ("requestKind", kind),
        ("resource", resource.clone()),
        ("requestResource", resource),
        ("userInfo", record("UserInfo", &user)),
        ("dryRun", Type::Bool),
        ("options", Type::Dyn),
    ];
    let plain = ["subResource", "requestSubResource", "name", "namespace", "operation"];
    fields.extend(plain.map(|name| (name, Type::text())));
    record("AdmissionRequest", &fields)
}

/// The type of `namespaceObject` (`BuildNamespaceType`): less than a namespace has.
pub fn namespace() -> Type {
    let map = Type::map(Type::text(), Type::text());
    let mut metadata = vec![
        ("labels", map.clone()),
        ("annotations", map),
        ("creationTimestamp", Type::Timestamp),
        ("deletionTimestamp", Type::Timestamp),
        ("deletionGracePeriodSeconds", Type::Int),
        ("generation", Type::Int),
        ("finalizers", Type::list(Type::text())),
    ];
    metadata.extend(
        ["name", "generateName", "namespace", "UID", "uid", "resourceVersion"].map(|name| (name, Type::text())),
    );
    let spec = record("NamespaceSpec", &[("finalizers", Type::list(Type::text()))]);
    let status = texts("NamespaceStatus", &["phase"]);
    record("Namespace", &[("metadata", record("NamespaceMetadata", &metadata)), ("spec", spec), ("status", status)])
}
