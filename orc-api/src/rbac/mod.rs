//! Who may do what: role-based access control, a pure index of roles and bindings fed by watches, and beside it the node
//! authorizer ([`node`]).
//!
//! An answer costs the bindings of the asker's user name and groups, not all bindings.

mod escalation;
mod feed;
mod index;
pub mod node;
mod rules;

use orc_core::ApiError;
use orc_core::labels::FieldSelector;

pub use escalation::{show, uncovered};
pub use feed::{Authorizer, start};
pub use index::RbacIndex;
pub use rules::PolicyRule;

use crate::identity::Identity;

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes<'a> {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, ...; lower-case HTTP methods for
    /// paths that are no resources.
    pub verb: &'a str,
    /// The API group.
    pub group: &'a str,
    /// The plural resource name; empty when `path` is meant.
    pub resource: &'a str,
    /// The sub-resource, or empty.
    pub subresource: &'a str,
    /// The namespace, or empty.
    pub namespace: &'a str,
    /// The object's name, or empty.
    pub name: &'a str,
    /// The URL path, for requests that are about no resource.
    pub path: &'a str,
    /// The fields that a list, watch or deletion of a collection selects by.
    pub fields: Option<&'a FieldSelector>,
}

impl<'a> Attributes<'a> {
    /// The same question about only what `fields` select. As upstream, a collection of one name is asked about by that name.
    #[must_use]
    pub fn selecting(mut self, fields: &'a FieldSelector) -> Self {
        if self.name.is_empty() && matches!(self.verb, "list" | "watch" | "deletecollection") {
            self.name = fields.exact("metadata.name").filter(|name| !name.contains('/')).unwrap_or_default();
        }
        self.fields = Some(fields);
        self
    }

    /// Whether only objects with this value of a field are asked about.
    pub(crate) fn selects(&self, field: &str, value: &str) -> bool {
        let requirements = self.fields.map(FieldSelector::requirements).unwrap_or_default();
        requirements.iter().any(|r| r.equals && r.field == field && r.value == value)
    }

    /// The refusal, worded as kube-apiserver words it.
    pub fn refuse(&self, who: &Identity) -> ApiError {
        if self.resource.is_empty() {
            let why = format!("User {:?} cannot {} path {:?}", who.user, self.verb, self.path);
            return ApiError::forbidden("", "", "", why);
        }
        let resource = match self.subresource {
            "" => self.resource.to_owned(),
            sub => format!("{}/{sub}", self.resource),
        };
        let place = match self.namespace {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace {namespace:?}"),
        };
        let (verb, group) = (self.verb, self.group);
        let why = format!("User {:?} cannot {verb} resource {resource:?} in API group {group:?} {place}", who.user);
        ApiError::forbidden(group, self.resource, self.name, why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_read_as_kube_apiservers() {
        let asks = Attributes { verb: "list", resource: "pods", namespace: "d", ..Attributes::default() };
        let error = asks.refuse(&Identity::user("alice", &[]));
        assert_eq!(
            error.message(),
            r#"pods is forbidden: User "alice" cannot list resource "pods" in API group "" in the namespace "d""#
        );
        let path = Attributes { verb: "get", path: "/metrics", ..Attributes::default() };
        let error = path.refuse(&Identity::anonymous());
        assert_eq!(error.message(), r#"forbidden: User "system:anonymous" cannot get path "/metrics""#);
    }
}
