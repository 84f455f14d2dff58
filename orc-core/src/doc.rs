//! The object in flight.
//!
//! [`Doc`] is the only form an object has between decoding and commit: defaulting, mutation, validation, apply and
//! encoding work on it, and typed views are optional. It never drops a field it does not know.
//!
//! The tree is a `serde_json::Value` with the number rules of Kubernetes' own decoder: integers are exact to 64 bits,
//! other numbers are IEEE doubles. See `docs/design/doc.md` for what was weighed.
//!
//! The canonical body puts `apiVersion`, `kind` and `metadata` first and sorts everything else, so that a revision can be
//! spliced in and the type header cut off without parsing.

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::{DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::ApiError;

/// The deepest nesting accepted in a request body. Kubernetes' own types stay below 60 (JSONSchemaProps aside);
/// serde_json itself refuses more than 128.
pub const MAX_DEPTH: usize = 120;

/// An object in flight: a JSON object at the root, nothing dropped.
#[derive(Clone, PartialEq, Debug)]
pub struct Doc(Value);

/// A decoded request body: the document, and the paths of fields that occurred twice (the last one wins).
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The document.
    pub doc: Doc,
    /// Paths such as `spec.replicas` or `spec.containers[0].name`, in the order in which they were met.
    pub duplicates: Vec<String>,
}

impl Doc {
    /// An empty object.
    pub fn new() -> Self {
        Self(Value::Object(Map::new()))
    }

    /// Wraps a tree.
    ///
    /// # Errors
    /// `BadRequest` when the root is not a JSON object.
    pub fn from_value(value: Value) -> Result<Self, ApiError> {
        match value {
            Value::Object(_) => Ok(Self(value)),
            _ => Err(ApiError::bad_request("the object provided is not a JSON object")),
        }
    }

    /// The document of a typed object. `apiVersion` and `kind` are added when the type leaves them out.
    ///
    /// # Errors
    /// `InternalError` when the type's own `Serialize` fails or gives something other than an object.
    pub fn from_typed<K: Serialize>(object: &K) -> Result<Self, ApiError> {
        let value = serde_json::to_value(object).map_err(|e| ApiError::internal(format!("encoding an object: {e}")))?;
        Self::from_value(value)
    }

    /// Decodes JSON text.
    ///
    /// # Errors
    /// `BadRequest` with the decoder's reason.
    pub fn decode(body: &[u8]) -> Result<Decoded, ApiError> {
        let mut duplicates = Vec::new();
        let mut reader = serde_json::Deserializer::from_slice(body);
        let seed = TreeSeed { duplicates: &mut duplicates, path: String::new() };
        let value = seed
            .deserialize(&mut reader)
            .and_then(|value| reader.end().map(|()| value))
            .map_err(|e| ApiError::bad_request(format!("the object provided is unrecognized: json: {e}")))?;
        Ok(Decoded { doc: Self::from_value(value)?, duplicates })
    }

    /// Decodes a body that this program wrote.
    ///
    /// # Errors
    /// `InternalError` when the bytes are not a JSON object.
    pub fn from_body(body: &[u8]) -> Result<Self, ApiError> {
        serde_json::from_slice(body)
            .map(Self)
            .map_err(|e| ApiError::internal(format!("a stored object does not decode: {e}")))
    }

    /// A typed view.
    ///
    /// # Errors
    /// `BadRequest` when the document does not fit the type.
    pub fn to_typed<K: DeserializeOwned>(&self) -> Result<K, ApiError> {
        K::deserialize(&self.0).map_err(|e| ApiError::bad_request(format!("decoding an object: {e}")))
    }

    /// The canonical body: `apiVersion`, `kind`, `metadata`, then the rest sorted; no `resourceVersion`.
    pub fn to_body(&self) -> Bytes {
        let mut out = Vec::with_capacity(1024);
        write_body(&mut out, self.map());
        // Bodies are kept for long: without this a buffer that grew by doubling stays as large as it became.
        out.shrink_to_fit();
        Bytes::from(out)
    }

    /// The tree.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// The tree, to change. The root must stay an object.
    pub fn value_mut(&mut self) -> &mut Value {
        &mut self.0
    }

    /// The tree, by value.
    pub fn into_value(self) -> Value {
        self.0
    }

    /// The root object.
    pub fn map(&self) -> &Map<String, Value> {
        match &self.0 {
            Value::Object(map) => map,
            _ => unreachable!("the root of a Doc is an object"),
        }
    }

    /// The root object, to change.
    pub fn map_mut(&mut self) -> &mut Map<String, Value> {
        match &mut self.0 {
            Value::Object(map) => map,
            _ => unreachable!("the root of a Doc is an object"),
        }
    }

    /// The value below a path of field names.
    pub fn at(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(&self.0, |value, name| value.get(name))
    }

    /// The text below a path of field names.
    pub fn str_at(&self, path: &[&str]) -> Option<&str> {
        self.at(path)?.as_str()
    }

    /// Sets a value, making the objects on the way; a non-object on the way is replaced.
    pub fn set(&mut self, path: &[&str], value: impl Into<Value>) {
        let mut slot = &mut self.0;
        for name in path {
            if !slot.is_object() {
                *slot = Value::Object(Map::new());
            }
            slot = slot.as_object_mut().expect("made an object above").entry(*name).or_insert(Value::Null);
        }
        *slot = value.into();
    }

    /// Removes a value and returns it.
    pub fn remove(&mut self, path: &[&str]) -> Option<Value> {
        let (last, parents) = path.split_last()?;
        let parent = parents.iter().try_fold(&mut self.0, |value, name| value.get_mut(name))?;
        parent.as_object_mut()?.remove(*last)
    }

    /// `apiVersion`, or `""`.
    pub fn api_version(&self) -> &str {
        self.str_at(&["apiVersion"]).unwrap_or_default()
    }

    /// `kind`, or `""`.
    pub fn kind(&self) -> &str {
        self.str_at(&["kind"]).unwrap_or_default()
    }

    /// `metadata.name`, or `""`.
    pub fn name(&self) -> &str {
        self.str_at(&["metadata", "name"]).unwrap_or_default()
    }

    /// `metadata.namespace`, or `""`.
    pub fn namespace(&self) -> &str {
        self.str_at(&["metadata", "namespace"]).unwrap_or_default()
    }

    /// The metadata object, made when it is missing.
    pub fn metadata_mut(&mut self) -> &mut Map<String, Value> {
        let slot = self.map_mut().entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        if !slot.is_object() {
            *slot = Value::Object(Map::new());
        }
        slot.as_object_mut().expect("made an object above")
    }
}

impl Default for Doc {
    fn default() -> Self {
        Self::new()
    }
}

fn write_body(out: &mut Vec<u8>, map: &Map<String, Value>) {
    out.push(b'{');
    let lead = ["apiVersion", "kind", "metadata"];
    let led = lead.iter().filter_map(|name| map.get_key_value(*name));
    let rest = map.iter().filter(|(name, _)| !lead.contains(&name.as_str()));
    for (at, (name, value)) in led.chain(rest).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_json(out, name);
        out.push(b':');
        match (name.as_str(), value) {
            ("metadata", Value::Object(metadata)) => write_metadata(out, metadata),
            _ => write_json(out, value),
        }
    }
    out.push(b'}');
}

fn write_metadata(out: &mut Vec<u8>, metadata: &Map<String, Value>) {
    out.push(b'{');
    let mut first = true;
    for (name, value) in metadata.iter().filter(|(name, _)| *name != "resourceVersion") {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        write_json(out, name);
        out.push(b':');
        write_json(out, value);
    }
    out.push(b'}');
}

fn write_json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("writing a JSON tree to memory cannot fail");
}

/// Builds a tree and notes duplicate fields with their paths.
struct TreeSeed<'a> {
    duplicates: &'a mut Vec<String>,
    path: String,
}

impl<'de> DeserializeSeed<'de> for TreeSeed<'_> {
    type Value = Value;
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TreeSeed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(TreeSeed {
            duplicates: self.duplicates,
            path: format!("{}[{}]", self.path, items.len()),
        })? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        let mut told = BTreeSet::new();
        while let Some(name) = access.next_key::<String>()? {
            let path = if self.path.is_empty() { name.clone() } else { format!("{}.{name}", self.path) };
            if map.contains_key(&name) && told.insert(name.clone()) {
                self.duplicates.push(path.clone());
            }
            let value = access.next_value_seed(TreeSeed { duplicates: self.duplicates, path })?;
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_body_leads_with_type_and_metadata_and_leaves_the_revision_out() {
        let doc = Doc::from_value(json!({
            "data": {"b": "2", "a": "1"}, "kind": "ConfigMap", "apiVersion": "v1",
            "metadata": {"resourceVersion": "7", "name": "x"},
        }))
        .unwrap();
        let body = doc.to_body();
        assert_eq!(
            std::str::from_utf8(&body).unwrap(),
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":"1","b":"2"}}"#
        );
    }

    #[test]
    fn duplicates_are_told_by_path() {
        let decoded = Doc::decode(br#"{"spec":{"a":1,"a":2,"list":[{"n":1,"n":1}]},"spec":{"a":3}}"#).unwrap();
        assert_eq!(decoded.duplicates, ["spec.a", "spec.list[0].n", "spec"]);
        assert_eq!(decoded.doc.at(&["spec", "a"]), Some(&json!(3)));
    }

    #[test]
    fn hostile_depth_is_an_error_not_a_crash() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(Doc::decode(deep.as_bytes()).is_err());
    }

    #[test]
    fn numbers_and_nulls_stay() {
        let text = br#"{"a":9223372036854775807,"b":18446744073709551615,"c":null,"d":1.5}"#;
        assert_eq!(&Doc::decode(text).unwrap().doc.to_body()[..], text);
    }

    #[test]
    fn set_and_remove_follow_paths() {
        let mut doc = Doc::new();
        doc.set(&["status", "phase"], "Active");
        assert_eq!(doc.str_at(&["status", "phase"]), Some("Active"));
        assert_eq!(doc.remove(&["status", "phase"]), Some(json!("Active")));
        assert_eq!(doc.remove(&["nowhere", "phase"]), None);
    }
}
