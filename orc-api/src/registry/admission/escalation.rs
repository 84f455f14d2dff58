//! Nobody hands out more than they hold: roles and bindings are checked against their writer's own rules.

use orc_core::{ApiError, Doc, ObjectKey};
use serde_json::Value;

use super::super::Registry;
use crate::identity::{Identity, MASTERS};
use crate::rbac::{Attributes, PolicyRule, show, uncovered};

const GROUP: &str = "rbac.authorization.k8s.io";

impl Registry {
    /// Checks a role or binding that somebody writes. The server's own handles (without a user) and superusers pass.
    ///
    /// # Errors
    /// 403 with the permissions that the writer does not hold.
    pub(super) fn admit_rbac(
        &self,
        key: &ObjectKey,
        doc: &Doc,
        old: Option<&Doc>,
        who: &Identity,
    ) -> Result<(), ApiError> {
        if key.resource.group() != GROUP || who.user.is_empty() || who.is_in(MASTERS) {
            return Ok(());
        }
        let plural = key.resource.plural();
        let same = |path: &[&str]| old.is_some_and(|old| old.at(path) == doc.at(path));
        let (wanted, verb, target) = if plural.ends_with("bindings") {
            if same(&["roleRef"]) && same(&["subjects"]) {
                return Ok(());
            }
            let (kind, name) = (
                doc.str_at(&["roleRef", "kind"]).unwrap_or_default(),
                doc.str_at(&["roleRef", "name"]).unwrap_or_default(),
            );
            let home = if kind == "Role" { key.namespace_str() } else { "" };
            let resource = if kind == "Role" { "roles" } else { "clusterroles" };
            (self.authorizer.role(home, name), "bind", (resource, name.to_owned()))
        } else {
            if same(&["rules"]) && same(&["aggregationRule"]) {
                return Ok(());
            }
            (rules(doc), "escalate", (plural, key.name.to_string()))
        };
        let asks = Attributes {
            verb,
            group: GROUP,
            resource: target.0,
            namespace: key.namespace_str(),
            name: &target.1,
            ..Attributes::default()
        };
        if self.authorizer.permits(who, &asks) {
            return Ok(());
        }
        if doc.at(&["aggregationRule"]).is_some_and(|rule| !rule.is_null()) && plural == "clusterroles" {
            // Whoever aggregates picks up rules that do not exist yet: only all of them cover that.
            let all = vec![everything(), every_path()];
            return self.covered(key, &all, who).map_err(|_| {
                ApiError::forbidden(
                    GROUP,
                    plural,
                    &key.name,
                    "must have cluster-admin privileges to use the aggregationRule",
                )
            });
        }
        self.covered(key, &wanted, who)
    }

    fn covered(&self, key: &ObjectKey, wanted: &[PolicyRule], who: &Identity) -> Result<(), ApiError> {
        let held = self.authorizer.rules_of(who, key.namespace_str());
        let missing = uncovered(&held, wanted);
        if missing.is_empty() {
            return Ok(());
        }
        let groups: Vec<String> = who.groups.iter().map(|group| format!("{group:?}")).collect();
        let list: Vec<String> = missing.iter().map(show).collect();
        let why = format!(
            "user {:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
            who.user,
            groups.join(" "),
            list.join("\n")
        );
        Err(ApiError::forbidden(GROUP, key.resource.plural(), &key.name, why))
    }
}

fn rules(doc: &Doc) -> Vec<PolicyRule> {
    let list = doc.at(&["rules"]).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|rule| serde_json::from_value(rule.clone()).ok()).collect()
}

fn everything() -> PolicyRule {
    let all = || vec!["*".to_owned()];
    PolicyRule { verbs: all(), api_groups: all(), resources: all(), ..PolicyRule::default() }
}

fn every_path() -> PolicyRule {
    PolicyRule { verbs: vec!["*".to_owned()], non_resource_urls: vec!["*".to_owned()], ..PolicyRule::default() }
}
