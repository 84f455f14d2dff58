//! What an intent makes of the current state.

use orc_core::{ApiError, Doc, Reason, patch};
use orc_store::Stored;
use orc_store::client::{Intent, PatchKind};

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
                // A patch that does not speak of the revision does not depend on it.
                if doc.str_at(&["metadata", "resourceVersion"]) == Some(&stored.revision.to_string()) && !mentions_revision(bytes) {
                    doc.remove(&["metadata", "resourceVersion"]);
                }
                Ok(doc)
            }
            other => Err(ApiError::internal(format!("{other:?} does not update"))),
        }
    }

    fn replace(&self, doc: &Doc) -> Result<Doc, ApiError> {
        let unpinned = doc.str_at(&["metadata", "resourceVersion"]).unwrap_or_default().is_empty();
        if unpinned && !self.rules.allow_unconditional_update() {
            let error = orc_core::validation::FieldError::invalid(
                &orc_core::validation::FieldPath::new("metadata").child("resourceVersion"),
                serde_json::json!(0),
                "must be specified for an update",
            );
            return Err(ApiError::invalid(&self.info.group, &self.info.kind, doc.name(), &[error]));
        }
        Ok(doc.clone())
    }

    fn patched(&self, kind: PatchKind, base: serde_json::Value, bytes: &[u8]) -> Result<serde_json::Value, ApiError> {
        match kind {
            PatchKind::Json => patch::json(base, bytes),
            PatchKind::Merge => patch::merge(base, bytes),
            PatchKind::Strategic => match self.message {
                Some(message) => patch::strategic(base, bytes, message),
                None => Err(ApiError::new(
                    Reason::UnsupportedMediaType,
                    "strategic merge patch is not supported for custom resources; use application/merge-patch+json",
                )),
            },
            PatchKind::Apply => Err(super::client::not_built("server-side apply", &self.info.plural)),
        }
    }
}

fn mentions_revision(patch: &[u8]) -> bool {
    const NAME: &[u8] = b"resourceVersion";
    patch.windows(NAME.len()).any(|window| window == NAME)
}
