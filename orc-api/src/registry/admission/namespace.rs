//! Objects are only made in namespaces that exist and are not going away (NamespaceLifecycle).

use orc_core::{ApiError, ObjectKey, ResourceId};

use crate::admission::{Attributes, Operation};
use crate::registry::Registry;
use crate::registry::kind::Kind;

impl Registry {
    /// Checks the namespace of whatever is made or changed in it.
    ///
    /// # Errors
    /// 404 when it is not there; 403 for what would be made in one that is going away.
    pub(super) async fn check_namespace(&self, kind: &Kind, ask: &Attributes<'_>) -> Result<(), ApiError> {
        let key = ask.key;
        let Some(namespace) = key.namespace.as_ref().filter(|_| ask.operation != Operation::Delete) else {
            return Ok(());
        };
        let of = ObjectKey::cluster(ResourceId::new("", "namespaces"), namespace.clone());
        let Some(stored) = self.store.find(&of).await? else {
            return Err(ApiError::not_found("", "namespaces", namespace));
        };
        if stored.head.is_terminating() && ask.operation == Operation::Create {
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
