//! The role check of in-process handles.

use orc_core::ApiError;
use orc_core::labels::FieldSelector;
use orc_store::client::{Intent, Scope, Target, WriteRequest};

use super::Registry;
use crate::identity::Identity;
use crate::rbac::Attributes;

impl Registry {
    /// Whether somebody may do `verb` to a target.
    ///
    /// # Errors
    /// 403 when not.
    pub(super) async fn check_access(&self, who: &Identity, verb: &str, target: &Target) -> Result<(), ApiError> {
        self.check(who, verb, target, None).await
    }

    async fn check(
        &self,
        who: &Identity,
        verb: &str,
        target: &Target,
        fields: Option<&FieldSelector>,
    ) -> Result<(), ApiError> {
        let (name, subresource) = match target {
            Target::Named(key, sub) => (key.name.as_str(), sub.as_ref().map_or("", |s| s.as_str())),
            Target::Generated { .. } | Target::Collection(_) => ("", ""),
        };
        let asks = Attributes {
            verb,
            group: target.resource().group(),
            resource: target.resource().plural(),
            subresource,
            namespace: target.namespace().map_or("", |n| n.as_str()),
            name,
            path: "",
            fields: None,
        };
        let asks = fields.map_or(asks, |fields| asks.selecting(fields));
        if self.authorizer.decide(who, &asks).await { Ok(()) } else { Err(asks.refuse(who)) }
    }

    pub(super) async fn check_scope(
        &self,
        who: &Identity,
        verb: &str,
        scope: &Scope,
        fields: &FieldSelector,
    ) -> Result<(), ApiError> {
        self.check(who, verb, &Target::Collection(scope.clone()), Some(fields)).await
    }
}

/// The verb of a write.
pub(super) fn verb(request: &WriteRequest) -> &'static str {
    match request.intent {
        Intent::Create(_) => "create",
        Intent::Replace(_) => "update",
        Intent::Patch(..) | Intent::Modify(_) => "patch",
        Intent::Delete(_) => "delete",
        Intent::DeleteCollection(..) => "deletecollection",
    }
}
