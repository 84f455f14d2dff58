//! Field ownership across the versions of a kind.
//!
//! Managers are noted in the version that they wrote ([`orc_core::apply::Versions`]). Built-in versions are converted in
//! place; a custom kind may have to ask its webhook, so an attempt that needs a conversion stops, the conversion is made and
//! kept, and the attempt starts again. Each attempt asks for what the one before it did not know, so there are few.

use std::collections::BTreeMap;
use std::fmt;

use orc_core::apply::{Needed, Place, Versions};
use orc_core::schema::Schema;
use orc_core::{ApiError, Doc};
use serde_json::Value;

use super::Registry;
use super::kind::Kind;
use super::ownership::Writer;
use crate::convert;

/// The versions of a kind, with the conversions that were made so far.
pub(super) struct Conversions<'a> {
    kind: &'a Kind,
    /// Conversions that webhooks made, by the object's text and the version; `None` where that failed.
    made: BTreeMap<(String, String), Option<Value>>,
    /// Nothing is converted: managers in other versions keep what they have.
    still: bool,
}

impl fmt::Debug for Conversions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversions").field("kind", &self.kind.info.kind).field("made", &self.made.len()).finish()
    }
}

impl<'a> Conversions<'a> {
    fn new(kind: &'a Kind) -> Self {
        Self { kind, made: BTreeMap::new(), still: false }
    }

    /// The versions for an object that is not there yet, so that there is nothing to be converted.
    pub(super) fn still(kind: &'a Kind) -> Self {
        Self { still: true, ..Self::new(kind) }
    }
}

impl Versions for Conversions<'_> {
    fn place(&self, api_version: &str) -> Option<Place<'_>> {
        if let Some(custom) = &self.kind.custom {
            return custom.definition.spoken(api_version).map(|spoken| Place::Node(&spoken.types));
        }
        let known = api_version == self.kind.info.storage.to_string()
            || self.kind.info.id.as_ref().is_some_and(|id| convert::foreign(id, api_version).is_some());
        let message = Schema::builtin().message_of_type(api_version, &self.kind.info.kind).filter(|_| known);
        message.map(Place::Message)
    }

    fn convert(&self, object: &Value, to: &str) -> Result<Option<Value>, Needed> {
        if self.still {
            return Ok(None);
        }
        if self.kind.custom.is_some() {
            let known = self.made.get(&(object.to_string(), to.to_owned()));
            let needed = || Needed { object: Box::new(object.clone()), to: to.to_owned() };
            return known.cloned().ok_or_else(needed);
        }
        let Some(id) = &self.kind.info.id else { return Ok(None) };
        let stored = Doc::from_value(object.clone()).and_then(|doc| convert::to_storage(id, doc));
        Ok(stored.and_then(|doc| convert::from_storage(id, to, doc)).map(Doc::into_value).ok())
    }
}

impl Registry {
    /// The object that a configuration makes of the live one.
    ///
    /// # Errors
    /// As [`Kind::apply_config`], and those of a conversion webhook.
    pub(super) async fn applied(
        &self,
        kind: &Kind,
        live: &Doc,
        config: &Value,
        name: &str,
        writer: &Writer<'_>,
    ) -> Result<Doc, ApiError> {
        let mut versions = Conversions::new(kind);
        loop {
            match kind.apply_config(Some(live), config, name, writer, &versions)? {
                Ok(doc) => return Ok(doc),
                Err(needed) => self.make(&mut versions, needed).await?,
            }
        }
    }

    /// Notes in a changed object who manages what now. Where a webhook does not convert, managers in its version keep what
    /// they have: a write that needs no conversion itself must not fail for it.
    pub(super) async fn own_changed(&self, kind: &Kind, live: &Doc, doc: &mut Doc, writer: &Writer<'_>) {
        let given = doc.remove(&["metadata", "managedFields"]);
        let mut versions = Conversions::new(kind);
        while let Err(needed) = kind.own_changed(live, given.as_ref(), doc, writer, &versions) {
            let question = (needed.object.to_string(), needed.to.clone());
            if let Err(error) = self.make(&mut versions, needed).await {
                tracing::warn!(object = doc.name(), %error, "field owners of another version are left as they are");
                versions.made.insert(question, None);
            }
        }
    }

    async fn make(&self, versions: &mut Conversions<'_>, needed: Needed) -> Result<(), ApiError> {
        let question = (needed.object.to_string(), needed.to.clone());
        let kind = versions.kind;
        let custom = kind.custom.as_ref().ok_or_else(|| ApiError::internal("a built-in kind is converted in place"))?;
        let to = custom.definition.spoken(&needed.to);
        let to = to.ok_or_else(|| ApiError::internal(format!("there is no version {}", needed.to)))?;
        let made = self.convert(&custom.definition, vec![*needed.object], to).await?.pop();
        versions.made.insert(question, made);
        Ok(())
    }
}
