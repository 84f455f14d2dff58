//! The role check of in-process handles.

use orc_core::ApiError;
use orc_store::client::{Intent, Scope, Target, WriteRequest};

use super::Registry;
use crate::identity::Identity;
use crate::rbac::Attributes;

impl Registry {
    /// Whether somebody may do `verb` to a target.
    ///
    /// # Errors
    /// 403 when not.
    pub(super) fn check_access(&self, who: &Identity, verb: &str, target: &Target) -> Result<(), ApiError> {
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
        };
        if self.authorizer.permits(who, &asks) { Ok(()) } else { Err(asks.refuse(who)) }
    }

    pub(super) fn check_scope(&self, who: &Identity, verb: &str, scope: &Scope) -> Result<(), ApiError> {
        self.check_access(who, verb, &Target::Collection(scope.clone()))
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
