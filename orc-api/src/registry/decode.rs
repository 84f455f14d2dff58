//! Fields that a kind does not know, and values of the wrong type.

use orc_core::{ApiError, Doc};
use orc_store::client::{FieldValidation, WriteOptions};

use super::kind::Kind;

impl Kind {
    /// Checks a document against the kind's schema and drops what the kind does not know. Returns warnings.
    ///
    /// # Errors
    /// 400 for a value of the wrong type, and under strict validation for unknown or duplicate fields.
    pub(super) fn decode(&self, doc: Doc, options: &WriteOptions) -> Result<(Doc, Vec<String>), ApiError> {
        let decoded = orc_core::schema::check(doc.value(), self.message).map_err(|error| self.wrong(&error))?;
        let mut found = options.strict.clone();
        found.extend(decoded.strict.iter().map(ToString::to_string).filter(|text| !options.strict.contains(text)));
        let doc = Doc::from_value(decoded.value)?;
        match options.field_validation {
            _ if found.is_empty() => Ok((doc, found)),
            FieldValidation::Ignore => Ok((doc, Vec::new())),
            FieldValidation::Warn => Ok((doc, found)),
            FieldValidation::Strict => {
                let all = format!("strict decoding error: {}", found.join(", "));
                Err(self.wrong(&all))
            }
        }
    }

    fn wrong(&self, why: &impl std::fmt::Display) -> ApiError {
        let (kind, version) = (&self.info.kind, &self.info.storage.version);
        ApiError::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}"))
    }
}
