//! The fields of a JSON object as texts: for a change of one field that shall not cost a tree.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::error::ApiError;

/// The fields of one JSON object, each with its value's text; what is below them is not decoded.
///
/// ```
/// use orc_core::Parts;
///
/// let mut spec = Parts::parse(r#"{"containers":[{"name":"a"}],"tolerations":[]}"#).unwrap();
/// spec.set("nodeName", r#""node-1""#);
/// assert_eq!(spec.to_string(), r#"{"containers":[{"name":"a"}],"nodeName":"node-1","tolerations":[]}"#);
/// ```
#[derive(Debug, Clone)]
pub struct Parts<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Parts<'a> {
    /// Reads the fields of an object.
    ///
    /// # Errors
    /// `InternalError` when the text is not a JSON object.
    pub fn parse(text: &'a str) -> Result<Self, ApiError> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let read = reader.deserialize_map(Fields).and_then(|fields| reader.end().map(|()| Self(fields)));
        read.map_err(|error| ApiError::internal(format!("a stored object does not decode: {error}")))
    }

    /// The text of a field's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_ref())
    }

    /// Puts a value, which must be JSON, in the place of the field's; a new field goes before the first that sorts behind it.
    pub fn set(&mut self, name: &'a str, value: impl Into<Cow<'a, str>>) {
        match self.0.iter_mut().find(|(field, _)| field == name) {
            Some((_, old)) => *old = value.into(),
            None => {
                let at = self.0.iter().position(|(field, _)| field.as_ref() > name).unwrap_or(self.0.len());
                self.0.insert(at, (Cow::Borrowed(name), value.into()));
            }
        }
    }
}

impl fmt::Display for Parts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (at, (name, value)) in self.0.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            // As `serde_json` escapes it.
            let name = serde_json::to_string(name).map_err(|_| fmt::Error)?;
            write!(f, "{comma}{name}:{value}")?;
        }
        f.write_str("}")
    }
}

/// A field's name, borrowed unless it has escapes (`Cow` alone would always copy it).
#[derive(Deserialize)]
pub(crate) struct FieldName<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Vec<(Cow<'de, str>, Cow<'de, str>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some((FieldName(name), value)) = access.next_entry::<FieldName<'de>, &'de RawValue>()? {
            fields.push((name, Cow::Borrowed(value.get())));
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    #[test]
    fn only_objects_have_parts() {
        for text in ["[]", "1", "{", r#"{"a":1} x"#] {
            assert!(Parts::parse(text).is_err(), "{text}");
        }
        assert_eq!(Parts::parse("{}").unwrap().to_string(), "{}");
    }

    proptest! {
        #[test]
        fn setting_a_field_is_what_it_is_in_a_tree(
            fields in prop::collection::btree_map("[a-d\"\\\\é]{0,3}", any::<i64>(), 0..6),
            name in "[a-d\"\\\\é]{0,3}",
            value in "\\PC{0,5}",
        ) {
            let mut tree: Map<String, Value> = fields.into_iter().map(|(k, v)| (k, json!([v, {"x": v}]))).collect();
            let text = serde_json::to_string(&tree).unwrap();
            let mut parts = Parts::parse(&text).unwrap();
            prop_assert_eq!(parts.get(&name).map(|text| serde_json::from_str::<Value>(text).unwrap()), tree.get(&name).cloned());
            parts.set(&name, json!(value).to_string());
            tree.insert(name.clone(), json!(value));
            prop_assert_eq!(parts.to_string(), serde_json::to_string(&tree).unwrap());
        }
    }
}
