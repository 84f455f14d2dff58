//! Fields that a kind does not know, and values of the wrong type.

use orc_core::{ApiError, Doc};
use orc_store::client::{FieldValidation, PatchKind, WriteOptions};

use super::kind::Kind;

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
        let wrong = |why: &dyn std::fmt::Display| match patch {
            None => self.wrong(why),
            Some((PatchKind::Strategic, bytes)) => {
                let shown = super::patch::read(bytes).map(|patch| super::patch::go_print(&patch)).unwrap_or_default();
                super::patch::invalid_patch(&shown, &why.to_string())
            }
            Some(_) => super::patch::invalid_patch(&doc.value().to_string(), &why.to_string()),
        };
        let decoded = orc_core::schema::check(doc.value(), self.message).map_err(|error| wrong(&error))?;
        let mut found = options.strict.clone();
        found.extend(decoded.strict.iter().map(ToString::to_string).filter(|text| !options.strict.contains(text)));
        let clean = Doc::from_value(decoded.value)?;
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

    fn wrong(&self, why: &dyn std::fmt::Display) -> ApiError {
        let (kind, version) = (&self.info.kind, &self.info.storage.version);
        ApiError::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}"))
    }
}
