//! What an intent makes of the current state.

use orc_core::{ApiError, Doc, Reason, patch};
use orc_store::Stored;
use orc_store::client::{Intent, PatchKind};
use serde_json::Value;

use super::kind::Kind;

impl Kind {
    /// The document that a write wants, given the current one.
    ///
    /// # Errors
    /// 400 or 422 for a patch that does not parse or apply, 415 for one that the kind does not take.
    pub(super) fn apply(&self, stored: &Stored, current: &Doc, intent: &Intent) -> Result<Doc, ApiError> {
        let mut base = current.clone();
        base.set(&["metadata", "resourceVersion"], stored.revision.to_string());
        match intent {
            Intent::Replace(doc) => self.replace(doc),
            Intent::Modify(modify) => {
                modify(&mut base)?;
                Ok(base)
            }
            Intent::Patch(kind, bytes) => {
                let value = self.patched(*kind, base.into_value(), bytes)?;
                let mut doc = Doc::from_value(value)?;
                self.check_patched(current, &doc)?;
                // A patch that does not speak of the revision does not depend on it.
                if doc.str_at(&["metadata", "resourceVersion"]) == Some(&stored.revision.to_string())
                    && !mentions_revision(bytes)
                {
                    doc.remove(&["metadata", "resourceVersion"]);
                }
                Ok(doc)
            }
            other => Err(ApiError::internal(format!("{other:?} does not update"))),
        }
    }

    /// A patch may not make another object of an object.
    fn check_patched(&self, current: &Doc, patched: &Doc) -> Result<(), ApiError> {
        let (name, new) = (current.name(), patched.name());
        if let Some(custom) = &self.custom {
            self.check(patched, &custom.spoken.rules.check_type(patched.value()))?;
        }
        if (patched.kind(), patched.api_version()) != (current.kind(), current.api_version()) {
            let why = format!("{} cannot become {} of {}", current.kind(), patched.kind(), patched.api_version());
            return Err(invalid_patch(&patched.value().to_string(), &why));
        }
        if new.is_empty() {
            let why = format!("the name of the object ({name} based on URL) was undeterminable: name must be provided");
            return Err(ApiError::bad_request(why));
        }
        if new != name {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({new}) does not match the name on the URL ({name})"
            )));
        }
        if !patched.namespace().is_empty() && patched.namespace() != current.namespace() {
            let why = "the namespace of the provided object does not match the namespace sent on the request";
            return Err(ApiError::bad_request(why));
        }
        Ok(())
    }

    fn replace(&self, doc: &Doc) -> Result<Doc, ApiError> {
        let unpinned = doc.str_at(&["metadata", "resourceVersion"]).unwrap_or_default().is_empty();
        if unpinned && !self.rules.allow_unconditional_update() {
            let error = orc_core::validation::FieldError::invalid(
                &orc_core::validation::FieldPath::new("metadata").child("resourceVersion"),
                serde_json::json!(0),
                "must be specified for an update",
            );
            return Err(ApiError::invalid(&self.info.group, &self.info.plural, doc.name(), &[error]));
        }
        Ok(doc.clone())
    }

    fn patched(&self, kind: PatchKind, mut base: Value, bytes: &[u8]) -> Result<Value, ApiError> {
        let patch = read(bytes)?;
        match kind {
            PatchKind::Json => patch::apply_json(&mut base, &patch)?,
            PatchKind::Merge => patch::apply_merge(&mut base, &patch)?,
            PatchKind::Strategic => patch::apply_strategic(&mut base, &patch, self.message.ok_or_else(no_strategic)?)?,
            PatchKind::Apply => return Err(super::client::not_built("server-side apply", &self.info.plural)),
        }
        Ok(base)
    }
}

/// A patch as a tree.
pub(super) fn read(bytes: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(bytes).map_err(|e| ApiError::bad_request(format!("error decoding patch: {e}")))
}

/// 422 for a patch whose result does not decode.
pub(super) fn invalid_patch(patched: &str, why: &str) -> ApiError {
    let error = orc_core::validation::FieldError::invalid(&orc_core::validation::FieldPath::new("patch"), patched, why);
    ApiError::invalid("", "", "", &[error])
}

/// A tree as Go prints it with `%v`.
pub(super) fn go_print(value: &Value) -> String {
    let join = |items: Vec<String>| items.join(" ");
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", join(items.iter().map(go_print).collect())),
        Value::Object(map) => {
            format!("map[{}]", join(map.iter().map(|(k, v)| format!("{k}:{}", go_print(v))).collect()))
        }
        other => other.to_string(),
    }
}

fn no_strategic() -> ApiError {
    let message = "the body of the request was in an unknown format - accepted media types include: \
        application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
    ApiError::new(Reason::UnsupportedMediaType, message)
}

fn mentions_revision(patch: &[u8]) -> bool {
    const NAME: &[u8] = b"resourceVersion";
    patch.windows(NAME.len()).any(|window| window == NAME)
}
