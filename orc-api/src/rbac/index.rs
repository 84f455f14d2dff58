//! Roles and bindings, by name and by subject.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::rules::list;
use super::{Attributes, PolicyRule};
use crate::identity::{Identity, MASTERS};

/// The namespace and name of a role or binding; the namespace is empty for those of the cluster.
type Place = (String, String);

/// A pure index: objects in, verdicts out. Cloning shares all parts.
#[derive(Clone, Debug, Default)]
pub struct RbacIndex {
    roles: BTreeMap<Place, Arc<[PolicyRule]>>,
    bindings: BTreeMap<Place, Arc<Binding>>,
    by_subject: BTreeMap<String, BTreeSet<Place>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Binding {
    role_ref: RoleRef,
    #[serde(deserialize_with = "list")]
    subjects: Vec<Subject>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RoleRef {
    kind: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Subject {
    kind: String,
    name: String,
    namespace: String,
}

impl Subject {
    fn key(&self) -> String {
        match self.kind.as_str() {
            "ServiceAccount" => format!("User/system:serviceaccount:{}:{}", self.namespace, self.name),
            kind => format!("{kind}/{}", self.name),
        }
    }

    fn show(&self) -> String {
        match self.kind.as_str() {
            "ServiceAccount" => format!("ServiceAccount \"{}/{}\"", self.name, self.namespace),
            kind => format!("{kind} {:?}", self.name),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Role {
    #[serde(deserialize_with = "list")]
    rules: Vec<PolicyRule>,
}

impl RbacIndex {
    /// Takes in a Role or ClusterRole, or forgets it (`None`). A role that does not decode permits nothing.
    pub fn set_role(&mut self, namespace: &str, name: &str, role: Option<&Value>) {
        let place = (namespace.to_owned(), name.to_owned());
        match role {
            Some(role) => {
                let rules = Role::deserialize(role).unwrap_or_default().rules;
                self.roles.insert(place, rules.into());
            }
            None => {
                self.roles.remove(&place);
            }
        }
    }

    /// Takes in a RoleBinding or ClusterRoleBinding, or forgets it (`None`).
    pub fn set_binding(&mut self, namespace: &str, name: &str, binding: Option<&Value>) {
        let place = (namespace.to_owned(), name.to_owned());
        if let Some(old) = self.bindings.remove(&place) {
            for subject in &old.subjects {
                if let Some(places) = self.by_subject.get_mut(&subject.key()) {
                    places.remove(&place);
                }
            }
        }
        let Some(Ok(new)) = binding.map(Binding::deserialize) else { return };
        for subject in &new.subjects {
            self.by_subject.entry(subject.key()).or_default().insert(place.clone());
        }
        self.bindings.insert(place, Arc::new(new));
    }

    /// Forgets all roles or bindings of a resource.
    pub fn clear(&mut self, plural: &str) {
        let wanted = |(namespace, _): &Place| plural.starts_with("cluster") == namespace.is_empty();
        if plural.ends_with("bindings") {
            let gone: Vec<Place> = self.bindings.keys().filter(|place| wanted(place)).cloned().collect();
            gone.iter().for_each(|(namespace, name)| self.set_binding(namespace, name, None));
        } else {
            self.roles.retain(|place, _| !wanted(place));
        }
    }

    /// Whether somebody may do something.
    pub fn permits(&self, who: &Identity, asks: &Attributes<'_>) -> bool {
        who.is_in(MASTERS) || self.rules_of(who, asks.namespace).any(|rule| rule.permits(asks))
    }

    /// Whether somebody may do something, and the binding that says so. Superusers need none.
    pub fn explain(&self, who: &Identity, asks: &Attributes<'_>) -> (bool, String) {
        if who.is_in(MASTERS) {
            return (true, String::new());
        }
        let granted = self.grants(who, asks.namespace).find(|grant| grant.rules.iter().any(|rule| rule.permits(asks)));
        granted.map_or((false, String::new()), |grant| (true, grant.reason()))
    }

    /// The rules of one role; the namespace is empty for a ClusterRole.
    pub fn role(&self, namespace: &str, name: &str) -> Vec<PolicyRule> {
        self.roles.get(&(namespace.to_owned(), name.to_owned())).map(|rules| rules.to_vec()).unwrap_or_default()
    }

    /// The rules that hold for somebody in a namespace (empty: only those of the cluster).
    pub fn rules_of<'a>(&'a self, who: &'a Identity, namespace: &'a str) -> impl Iterator<Item = &'a PolicyRule> {
        self.grants(who, namespace).flat_map(|grant| grant.rules.iter())
    }

    fn grants<'a>(&'a self, who: &'a Identity, namespace: &'a str) -> impl Iterator<Item = Grant<'a>> {
        let user = std::iter::once(format!("User/{}", who.user));
        let groups = who.groups.iter().map(|group| format!("Group/{group}"));
        user.chain(groups)
            .filter_map(|subject| self.by_subject.get_key_value(&subject))
            .flat_map(|(subject, places)| places.iter().map(move |place| (subject, place)))
            .filter(move |(_, (place, _))| place.is_empty() || place == namespace)
            .filter_map(|(subject, place)| {
                let binding = self.bindings.get(place)?;
                let home = if binding.role_ref.kind == "Role" { place.0.as_str() } else { "" };
                let rules = self.roles.get(&(home.to_owned(), binding.role_ref.name.clone()))?;
                Some(Grant { subject, place, binding, rules })
            })
    }
}

/// The rules that one binding gives to one subject.
struct Grant<'a> {
    subject: &'a str,
    place: &'a Place,
    binding: &'a Binding,
    rules: &'a [PolicyRule],
}

impl Grant<'_> {
    fn reason(&self) -> String {
        let (namespace, name) = self.place;
        let binding = if namespace.is_empty() {
            format!("ClusterRoleBinding {name:?}")
        } else {
            format!("RoleBinding \"{name}/{namespace}\"")
        };
        let matches = |subject: &&Subject| subject.key() == self.subject;
        let subject = self.binding.subjects.iter().find(matches).map(Subject::show).unwrap_or_default();
        format!(
            "RBAC: allowed by {binding} of {} {:?} to {subject}",
            self.binding.role_ref.kind, self.binding.role_ref.name
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bindings_reach_users_groups_and_accounts_in_their_namespace() {
        let mut index = RbacIndex::default();
        let read = json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]});
        index.set_role("", "reader", Some(&read));
        let to = |kind, name| {
            json!({"roleRef": {"kind": "ClusterRole", "name": "reader"},
            "subjects": [{"kind": kind, "name": name, "namespace": "d"}]})
        };
        index.set_binding("d", "b1", Some(&to("User", "alice")));
        index.set_binding("", "b2", Some(&to("Group", "devs")));
        index.set_binding("d", "b3", Some(&to("ServiceAccount", "sa")));
        let get = |namespace| Attributes { verb: "get", resource: "pods", namespace, ..Attributes::default() };
        let alice = Identity::user("alice", &[]);
        assert!(index.permits(&alice, &get("d")));
        assert!(!index.permits(&alice, &get("e")));
        assert!(index.permits(&Identity::user("bob", &["devs"]), &get("e")));
        assert!(index.permits(&Identity::user("system:serviceaccount:d:sa", &[]), &get("d")));
        index.set_binding("d", "b1", None);
        assert!(!index.permits(&alice, &get("d")));
        assert!(index.permits(&Identity::admin(), &get("d")));
    }
}
