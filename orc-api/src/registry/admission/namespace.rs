//! Objects are only made in namespaces that exist and are not going away (NamespaceLifecycle).

use orc_core::{ApiError, ObjectKey, ResourceId};

use crate::registry::Registry;
use crate::registry::kind::Kind;

impl Registry {
    pub(super) async fn check_namespace(&self, kind: &Kind, key: &ObjectKey) -> Result<(), ApiError> {
        let Some(namespace) = &key.namespace else { return Ok(()) };
        let of = ObjectKey::cluster(ResourceId::new("", "namespaces"), namespace.clone());
        let Some(stored) = self.store.find(&of).await? else {
            return Err(ApiError::not_found("", "namespaces", namespace));
        };
        if stored.head.is_terminating() {
            let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
            let mut error = ApiError::forbidden(&kind.info.group, &kind.info.plural, &key.name, why);
            let mut details = error.details().cloned().unwrap_or_default();
            details.causes.push(orc_core::error::Cause {
                reason: "NamespaceTerminating".into(),
                message: format!("namespace {namespace} is being terminated"),
                field: "metadata.namespace".into(),
            });
            error = error.with_details(details);
            return Err(error);
        }
        Ok(())
    }
}
