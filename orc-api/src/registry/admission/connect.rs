//! Streams to objects (`exec`, `attach`, `portforward`, `proxy`), before they are opened.
//!
//! The object that policies and webhooks see is the options of the stream, such as `PodExecOptions`, and the operation is
//! `CONNECT`. A webhook that would change the options is told that it cannot: they are the client's own query, which has gone
//! on as it stands.

use orc_core::catalogue::GroupVersion;
use orc_core::{ApiError, Doc, ObjectKey};
use orc_store::client::WriteOptions;
use serde_json::Value;

use super::{Registry, attributes};
use crate::admission::Operation;
use crate::audit::notes;
use crate::identity::Identity;

impl Registry {
    /// Asks policies and webhooks whether a stream may be opened; the warnings for the client.
    ///
    /// # Errors
    /// The refusal of a policy or webhook; 500 when a mutating webhook changes the options.
    pub(crate) async fn admit_connect(
        &self,
        key: &ObjectKey,
        subresource: &str,
        options: Value,
        who: &Identity,
    ) -> Result<Vec<String>, ApiError> {
        let configs = self.configs.now();
        let plural = key.resource.plural();
        let asks =
            |mutating| !configs.hooks(mutating, plural).is_empty() || !configs.policies(mutating, plural).is_empty();
        if !asks(true) && !asks(false) {
            return Ok(Vec::new());
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
        if done.is_ok() && ask.object.as_ref() != Some(&given) {
            done = Err(ApiError::internal(format!(
                "admission changed the {} of {plural}/{subresource}, which cannot be changed on this server",
                ask.kind
            )));
        }
        if done.is_ok() {
            done = self.check_policies(&mut ask).await;
        }
        if done.is_ok() {
            done = self.validating_webhooks(&mut ask).await;
        }
        notes::note(&ask.audit);
        done.map(|()| ask.warnings)
    }
}
