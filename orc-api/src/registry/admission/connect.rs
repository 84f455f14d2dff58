//! Streams to objects (`exec`, `attach`, `portforward`, `proxy`), before they are opened.
//!
//! The object that policies and webhooks see is the options of the stream, such as `PodExecOptions`, and the operation is
//! `CONNECT`. The stream is opened with the options as they were changed.

use orc_core::catalogue::GroupVersion;
use orc_core::schema::Schema;
use orc_core::{ApiError, Doc, ObjectKey};
use orc_store::client::WriteOptions;
use serde_json::Value;

use super::{Registry, attributes};
use crate::admission::Operation;
use crate::audit::notes;
use crate::identity::Identity;

/// What admission made of a stream's options.
#[derive(Default)]
pub(crate) struct Admitted {
    /// For the client.
    pub(crate) warnings: Vec<String>,
    /// The options, where they were changed.
    pub(crate) changed: Option<Value>,
}

impl Registry {
    /// Asks policies and webhooks whether a stream may be opened, and with which options.
    ///
    /// # Errors
    /// The refusal of a policy or webhook; 500 when a mutating one makes options that do not decode.
    pub(crate) async fn admit_connect(
        &self,
        key: &ObjectKey,
        subresource: &str,
        options: Value,
        who: &Identity,
    ) -> Result<Admitted, ApiError> {
        let configs = self.configs.now();
        let plural = key.resource.plural();
        let asks =
            |mutating| !configs.hooks(mutating, plural).is_empty() || !configs.policies(mutating, plural).is_empty();
        if !asks(true) && !asks(false) {
            return Ok(Admitted::default());
        }
        let kind = self.kind(&key.resource)?;
        let mut ask = attributes(Operation::Connect, &kind, key, subresource, who, &WriteOptions::default());
        ask.version = GroupVersion { group: "".into(), version: "v1".into() };
        ask.kind = options["kind"].as_str().unwrap_or_default().to_owned();
        ask.options = Value::Null;
        let given = Doc::from_value(options)?;
        ask.object = Some(given.clone());
        let mut seen = Vec::new();
        let mut done = self.mutating_policies(&kind, &mut ask, false).await.map(drop);
        if done.is_ok() {
            done = self.mutating_webhooks(&kind, &mut ask, &mut seen, false).await.map(drop);
        }
        if done.is_ok() {
            done = decoded(&mut ask.object, &ask.kind);
        }
        if done.is_ok() {
            done = self.check_policies(&mut ask).await;
        }
        if done.is_ok() {
            done = self.validating_webhooks(&mut ask).await;
        }
        notes::note(&ask.audit);
        done?;
        let changed = ask.object.filter(|options| *options != given).map(Doc::into_value);
        Ok(Admitted { warnings: ask.warnings, changed })
    }
}

/// Options must still be options of their kind.
fn decoded(options: &mut Option<Doc>, kind: &str) -> Result<(), ApiError> {
    let Some(doc) = options else { return Ok(()) };
    let message = Schema::builtin().message_of("", "v1", kind);
    let decoded = orc_core::schema::check(doc.value(), message).map_err(|error| {
        ApiError::internal(format!("admission changed the {kind} into something that does not decode: {error}"))
    })?;
    *doc = Doc::from_value(decoded.value)?;
    Ok(())
}
