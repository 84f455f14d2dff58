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

/// The deepest nesting accepted in a request body. Kubernetes' own types stay below 60 (JSONSchemaProps aside); serde_json
/// itself refuses more than 128, and what an object owns in `managedFields` nests five deeper than the object.
pub const MAX_DEPTH: usize = 120;

/// How many duplicate fields are told, as Kubernetes does.
const MAX_TOLD: usize = 100;
/// How many bytes of their paths are told: keys may be as long as a body.
const MAX_TOLD_BYTES: usize = 1 << 20;

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
        let mut trail = Trail::default();
        let mut reader = serde_json::Deserializer::from_slice(body);
        let value = TreeSeed { trail: &mut trail }
            .deserialize(&mut reader)
            .and_then(|value| reader.end().map(|()| value))
            .map_err(|e| ApiError::bad_request(format!("the object provided is unrecognized: json: {e}")))?;
        Ok(Decoded { doc: Self::from_value(value)?, duplicates: trail.duplicates })
    }

    /// Whether the document nests no deeper than a body may ([`MAX_DEPTH`]). For documents that were not decoded from JSON text:
    /// one that nests deeper could be stored and never be read again.
    pub fn nests_well(&self) -> bool {
        nests_within(&self.0, MAX_DEPTH)
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

    /// A typed view. By way of text: a program has one decoder for each of its types then, and the second would be megabytes.
    ///
    /// # Errors
    /// `BadRequest` when the document does not fit the type.
    pub fn to_typed<K: DeserializeOwned>(&self) -> Result<K, ApiError> {
        let text = serde_json::to_vec(&self.0);
        text.and_then(|text| serde_json::from_slice(&text))
            .map_err(|e| ApiError::bad_request(format!("decoding an object: {e}")))
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

/// Whether a tree has so many levels of lists and objects at most.
pub(crate) fn nests_within(value: &Value, levels: usize) -> bool {
    let fits = |inner: &Value| nests_within(inner, levels.saturating_sub(1));
    match value {
        Value::Array(items) => levels > 0 && items.iter().all(fits),
        Value::Object(map) => levels > 0 && map.values().all(fits),
        _ => true,
    }
}

/// Where the decoder is, and the duplicates found so far.
#[derive(Default)]
struct Trail {
    steps: Vec<Step>,
    duplicates: Vec<String>,
    told_bytes: usize,
}

enum Step {
    Name(String),
    Index(usize),
}

impl Trail {
    /// Notes a field that occurred before. The path is written only here, as writing it for each value of a body whose keys
    /// are long would take the square of the body's length.
    fn duplicate(&mut self, name: &str) {
        if self.duplicates.len() >= MAX_TOLD || self.told_bytes >= MAX_TOLD_BYTES {
            return;
        }
        let mut path = String::new();
        for step in &self.steps {
            match step {
                Step::Name(name) if path.is_empty() => path.push_str(name),
                Step::Name(name) => path.extend([".", name]),
                Step::Index(at) => path.push_str(&format!("[{at}]")),
            }
        }
        path.extend([if path.is_empty() { "" } else { "." }, name]);
        self.told_bytes += path.len();
        self.duplicates.push(path);
    }

    fn check_depth<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.steps.len() < MAX_DEPTH { Ok(()) } else { Err(E::custom("exceeded max depth")) }
    }
}

/// Builds a tree and notes duplicate fields with their paths.
struct TreeSeed<'a> {
    trail: &'a mut Trail,
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
        self.trail.check_depth()?;
        let mut items = Vec::new();
        loop {
            self.trail.steps.push(Step::Index(items.len()));
            let item = seq.next_element_seed(TreeSeed { trail: &mut *self.trail })?;
            self.trail.steps.pop();
            match item {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        self.trail.check_depth()?;
        let mut map = Map::new();
        let mut told = BTreeSet::new();
        while let Some(name) = access.next_key::<String>()? {
            if map.contains_key(&name) && told.insert(name.clone()) {
                self.trail.duplicate(&name);
            }
            self.trail.steps.push(Step::Name(name));
            let value = access.next_value_seed(TreeSeed { trail: &mut *self.trail })?;
            if let Some(Step::Name(name)) = self.trail.steps.pop() {
                map.insert(name, value);
            }
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
    fn depth_is_bounded_so_that_a_stored_object_reads_again() {
        let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
        assert!(Doc::decode(nested(MAX_DEPTH).as_bytes()).unwrap().doc.nests_well());
        let error = Doc::decode(nested(MAX_DEPTH + 1).as_bytes()).unwrap_err().to_string();
        assert!(error.contains("exceeded max depth"), "{error}");
        assert!(!Doc::from_body(nested(MAX_DEPTH + 1).as_bytes()).unwrap().nests_well());
    }

    #[test]
    fn doubles_read_as_the_same() {
        // Without care a reader takes its neighbour for one of these.
        for text in
            ["-9.223372036854772e153", "123456789012345680000000.5e-9", "0.1", "5e-324", "1.7976931348623157e308"]
        {
            let number: f64 = text.parse().unwrap();
            let doc = Doc::decode(format!("{{\"a\":{text}}}").as_bytes()).unwrap().doc;
            assert_eq!(doc.at(&["a"]).and_then(Value::as_f64), Some(number), "{text}");
            assert_eq!(Doc::from_body(&doc.to_body()).unwrap(), doc);
        }
    }

    #[test]
    fn long_keys_cost_no_more_than_their_length() {
        // As a path for each value this would be 200 GB.
        let (key, items) = ("k".repeat(1_000_000), "0,".repeat(200_000));
        let body = format!("{{\"{key}\":[{items}0]}}");
        assert!(Doc::decode(body.as_bytes()).unwrap().duplicates.is_empty());
        let twice = "{\"a\":1,\"a\":1},".repeat(50_000);
        let body = format!("{{\"{key}\":[{twice}0]}}");
        assert_eq!(Doc::decode(body.as_bytes()).unwrap().duplicates.len(), 2);
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
