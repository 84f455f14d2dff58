//! Fields that a kind does not know, and values of the wrong type.

use orc_core::schema::Schema;
use orc_core::{ApiError, Doc};
use orc_store::client::{FieldValidation, PatchKind, WriteOptions};
use serde_json::{Map, Value, json};

use super::custom::Spoken;
use super::kind::Kind;
use crate::custom::structural::{default, prune};

impl Kind {
    /// Checks a document against the kind's schema and drops what the kind does not know. Returns warnings. `patch` is given
    /// when the document is what a patch made: its errors are told of the patch.
    ///
    /// # Errors
    /// 400 for a value of the wrong type, and under strict validation for unknown or duplicate fields.
    pub(super) fn decode(
        &self,
        doc: Doc,
        options: &WriteOptions,
        patch: Option<(PatchKind, &[u8])>,
    ) -> Result<(Doc, Vec<String>), ApiError> {
        if let Some(custom) = &self.custom {
            return self.decode_custom(doc, options, &custom.spoken, patch);
        }
        if let (None, Some(by), Some(own)) = (patch, options.decoded, self.message)
            && std::ptr::eq(by, own)
        {
            return judge(doc, std::iter::empty(), options, &|why| self.wrong(why));
        }
        let wrong = |why: &dyn std::fmt::Display| match patch {
            None => self.wrong(why),
            Some((PatchKind::Strategic, bytes)) => {
                let shown = super::patch::read(bytes).map(|patch| super::patch::go_print(&patch)).unwrap_or_default();
                super::patch::invalid_patch(&shown, &why.to_string())
            }
            Some(_) => super::patch::invalid_patch(&doc.value().to_string(), &why.to_string()),
        };
        let decoded = orc_core::schema::check(doc.value(), self.message).map_err(|error| wrong(&error))?;
        let clean = Doc::from_value(decoded.value)?;
        judge(clean, decoded.strict.iter().map(ToString::to_string), options, &wrong)
    }

    /// As [`Kind::decode`], of what a patch made of `current`: what it left as it was is known to fit and not looked at again.
    ///
    /// # Errors
    /// As [`Kind::decode`].
    pub(super) fn decode_patched(
        &self,
        mut doc: Doc,
        current: &Doc,
        options: &WriteOptions,
        patch: (PatchKind, &[u8]),
    ) -> Result<(Doc, Vec<String>), ApiError> {
        let changed = changed(&doc, current);
        // What is wrong is told with the whole object.
        let decoded = match (&self.custom, orc_core::schema::check(&changed, self.message)) {
            (None, Ok(decoded)) if decoded.strict.is_empty() && options.strict.is_empty() => decoded,
            _ => return self.decode(doc, options, Some(patch)),
        };
        put_back(&mut doc, &changed, decoded.value);
        Ok((doc, Vec::new()))
    }

    /// The same by the schema of a definition; metadata has the form that it has everywhere.
    fn decode_custom(
        &self,
        doc: Doc,
        options: &WriteOptions,
        spoken: &Spoken,
        patch: Option<(PatchKind, &[u8])>,
    ) -> Result<(Doc, Vec<String>), ApiError> {
        let shown = patch.map(|_| doc.value().to_string());
        let wrong = |why: &dyn std::fmt::Display| match &shown {
            None => self.wrong(why),
            Some(shown) => super::patch::invalid_patch(shown, &why.to_string()),
        };
        let mut value = doc.into_value();
        let head =
            json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": value["metadata"]});
        let header = Schema::builtin().message_of("meta.k8s.io", "v1", "PartialObjectMetadata");
        let mut decoded = orc_core::schema::check(&head, header).map_err(|error| wrong(&error))?;
        value["metadata"] = decoded.value["metadata"].take();
        let mut found: Vec<String> = decoded.strict.iter().map(ToString::to_string).collect();
        found.extend(
            prune::prune(&mut value, &spoken.version.schema, true).iter().map(|path| prune::unknown_field(path)),
        );
        default::drop_nulls(&mut value, &spoken.version.schema);
        judge(Doc::from_value(value)?, found.into_iter(), options, &wrong)
    }

    fn wrong(&self, why: &dyn std::fmt::Display) -> ApiError {
        let (kind, version) = (&self.info.kind, self.version());
        ApiError::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}"))
    }
}

/// The members of an object that are not as they were, and of its metadata likewise.
fn changed(doc: &Doc, current: &Doc) -> Value {
    let differing = |now: &Map<String, Value>, then: &Map<String, Value>| -> Map<String, Value> {
        let moved = now.iter().filter(|(name, value)| then.get(*name) != Some(value));
        moved.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let mut out = Map::new();
    for (name, value) in doc.map() {
        match (name.as_str(), value, current.map().get(name)) {
            ("metadata", Value::Object(now), Some(Value::Object(then))) => {
                out.insert(name.clone(), differing(now, then).into());
            }
            ("apiVersion" | "kind", ..) => drop(out.insert(name.clone(), value.clone())),
            (_, value, Some(then)) if value == then => {}
            _ => drop(out.insert(name.clone(), value.clone())),
        }
    }
    out.into()
}

/// Puts what was checked into the place of what it was made from; a member that did not come back is gone.
fn put_back(doc: &mut Doc, changed: &Value, checked: Value) {
    let names = |value: &Value| -> Vec<String> { value.as_object().into_iter().flat_map(Map::keys).cloned().collect() };
    let Value::Object(mut checked) = checked else { return };
    for name in names(changed) {
        match (name.as_str(), checked.remove(&name)) {
            ("metadata", Some(Value::Object(mut members))) if changed["metadata"].is_object() => {
                let metadata = doc.metadata_mut();
                for name in names(&changed["metadata"]) {
                    match members.remove(&name) {
                        Some(value) => drop(metadata.insert(name, value)),
                        None => drop(metadata.remove(&name)),
                    }
                }
            }
            (_, Some(value)) => drop(doc.map_mut().insert(name, value)),
            (_, None) => drop(doc.map_mut().remove(&name)),
        }
    }
}

/// What the client asked to be done about what a strict decoder found.
fn judge(
    clean: Doc,
    strict: impl Iterator<Item = String>,
    options: &WriteOptions,
    wrong: &dyn Fn(&dyn std::fmt::Display) -> ApiError,
) -> Result<(Doc, Vec<String>), ApiError> {
    let mut found = options.strict.clone();
    found.extend(strict.filter(|text| !options.strict.contains(text)));
    match options.field_validation {
        _ if found.is_empty() => Ok((clean, found)),
        FieldValidation::Ignore => Ok((clean, Vec::new())),
        FieldValidation::Warn => Ok((clean, found)),
        FieldValidation::Strict => {
            let all = format!("strict decoding error: {}", found.join(", "));
            Err(wrong(&all))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doc(value: Value) -> Doc {
        Doc::from_value(value).unwrap()
    }

    #[test]
    fn only_what_differs_is_looked_at_and_comes_back() {
        let before = doc(
            json!({"kind": "X", "metadata": {"name": "a", "labels": {"a": "1"}}, "spec": {"a": 1}, "status": {"b": 1}}),
        );
        let mut after =
            doc(json!({"kind": "X", "metadata": {"name": "a", "labels": {"a": "2"}, "odd": 1}, "spec": {"a": 1},
            "status": {"b": 2}, "more": true}));
        let seen = changed(&after, &before);
        let metadata = json!({"labels": {"a": "2"}, "odd": 1});
        assert_eq!(seen, json!({"kind": "X", "metadata": metadata, "status": {"b": 2}, "more": true}));
        let checked = json!({"kind": "X", "metadata": {"labels": {"a": "2"}}, "status": {"b": 2.0}});
        put_back(&mut after, &seen, checked);
        assert_eq!(
            after,
            doc(json!({"kind": "X", "metadata": {"name": "a", "labels": {"a": "2"}}, "spec": {"a": 1},
            "status": {"b": 2.0}}))
        );
    }
}
