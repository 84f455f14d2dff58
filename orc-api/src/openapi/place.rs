//! Names: of paths, operations, tags and schemas.

use orc_core::catalogue::Served;
use orc_core::schema::Schema;
use serde_json::{Value, json};

/// Where a resource is, and its names.
pub(super) struct Place<'a> {
    pub(super) group: &'a str,
    pub(super) version: &'a str,
    pub(super) one: &'a Served,
}

impl Place<'_> {
    pub(super) fn root(&self) -> String {
        root(self.group, self.version)
    }

    /// `AppsV1`.
    pub(super) fn prefix(&self) -> String {
        format!("{}{}", friendly(self.group), capital(self.version))
    }

    pub(super) fn scope(&self) -> &'static str {
        if self.one.info.is_namespaced() { "Namespaced" } else { "" }
    }

    pub(super) fn collection(&self, below: &str) -> String {
        match self.one.info.is_namespaced() {
            true => format!("{}/{below}namespaces/{{namespace}}/{}", self.root(), self.one.info.plural),
            false => format!("{}/{below}{}", self.root(), self.one.info.plural),
        }
    }

    pub(super) fn gvk(&self) -> Value {
        json!({"group": self.group, "version": self.version, "kind": self.one.info.kind})
    }

    /// The name of the schema of a kind of this version.
    pub(super) fn schema(&self, kind: &str) -> String {
        match Schema::builtin().message_of(self.group, self.version, kind).filter(|_| !self.one.info.custom) {
            Some(message) => message.openapi_name(),
            None => super::custom::name(self.group, self.version, kind),
        }
    }
}

/// The path of a group and version.
pub(super) fn root(group: &str, version: &str) -> String {
    if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") }
}

/// A group in the names of operations: `RbacAuthorization` of `rbac.authorization.k8s.io`.
pub(super) fn friendly(group: &str) -> String {
    match group.strip_suffix(".k8s.io").unwrap_or(group) {
        "" => "Core".to_owned(),
        own if own.len() < group.len() || !group.contains('.') => own.split('.').map(capital).collect(),
        foreign => foreign.rsplit('.').map(capital).collect(),
    }
}

/// A group and version in the tag of operations: `rbacAuthorization_v1`.
pub(super) fn tag(group: &str) -> String {
    let name = friendly(group);
    name[..1].to_lowercase() + &name[1..]
}

pub(super) fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

pub(super) fn a(kind: &str) -> String {
    let article = if kind.starts_with(['A', 'E', 'I', 'O', 'U']) { "an" } else { "a" };
    format!("{article} {kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_names_in_operations() {
        let names = ["", "apps", "rbac.authorization.k8s.io", "flowcontrol.apiserver.k8s.io", "stable.example.com"];
        assert_eq!(
            names.map(friendly),
            ["Core", "Apps", "RbacAuthorization", "FlowcontrolApiserver", "ComExampleStable"]
        );
        assert_eq!(tag("rbac.authorization.k8s.io"), "rbacAuthorization");
    }
}
