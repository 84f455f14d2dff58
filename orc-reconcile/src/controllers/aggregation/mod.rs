//! Aggregated cluster roles: `admin`, `edit` and `view` get their rules from the roles that their selectors find.
//!
//! Follows `clusterroleaggregation_controller.go` of upstream.

use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use orc_core::ObjectKey;
use orc_core::labels::Selector;
use orc_store::cache::Typed;
use orc_store::{Api, Env, Stored};

use super::support::{Memory, PassError, filled, meta};
use crate::{CacheSource, Controller, Next, Reconciler, service};

/// The loop that fills aggregated cluster roles.
pub fn cluster_role_aggregation(env: Env) -> Controller<ObjectKey> {
    let roles = env.caches.typed::<ClusterRole>();
    let concerned = {
        let roles = roles.clone();
        move |changed: &Arc<Stored>| {
            let all = roles.list();
            let concerns = |role: &&Arc<ClusterRole>| {
                selectors(role).iter().any(|selector| selector.matches(&changed.head.labels))
                    || *changed.key.name == *meta::name(&role.metadata)
            };
            all.iter()
                .filter(|role| role.aggregation_rule.is_some())
                .filter(concerns)
                .map(|role| ObjectKey::of(&**role))
                .collect()
        }
    };
    let cache = roles.cache().clone();
    let reconciler = Aggregation { env: env.clone(), roles, memory: Memory::default() };
    Controller::new("clusterrole-aggregation-controller", &env, service(reconciler))
        .source(CacheSource::new(cache, concerned))
}

fn selectors(role: &ClusterRole) -> Vec<Selector> {
    let selectors = role.aggregation_rule.iter().flat_map(|rule| rule.cluster_role_selectors.iter().flatten());
    selectors.filter_map(|selector| Selector::from_label_selector(Some(selector)).ok()).collect()
}

/// The role with the rules of all that its selectors find, each rule once; `None` when it has them.
fn plan(role: &ClusterRole, all: &[Arc<ClusterRole>]) -> Option<ClusterRole> {
    role.aggregation_rule.as_ref()?;
    let mut rules: Vec<PolicyRule> = Vec::new();
    let none = Default::default();
    for selector in selectors(role) {
        let mut found: Vec<_> = all
            .iter()
            .filter(|other| other.metadata.name != role.metadata.name)
            .filter(|other| selector.matches(other.metadata.labels.as_ref().unwrap_or(&none)))
            .collect();
        found.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        for rule in found.iter().flat_map(|other| other.rules.iter().flatten()) {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    let same = role.rules.clone().unwrap_or_default() == rules;
    (!same).then(|| ClusterRole { rules: Some(rules), ..role.clone() })
}

struct Aggregation {
    env: Env,
    roles: Typed<ClusterRole>,
    memory: Memory,
}

#[async_trait]
impl Reconciler for Aggregation {
    type Error = PassError;

    async fn reconcile(&self, key: ObjectKey) -> Result<Next, PassError> {
        filled(&[self.roles.cache()]).await;
        self.memory.settle(&key).await?;
        let Some(role) = self.roles.get(&key) else {
            self.memory.forget(&key);
            return Ok(Next::Done);
        };
        if let Some(next) = plan(&role, &self.roles.list()) {
            let api: Api<ClusterRole> = Api::all(self.env.client.clone());
            let written = api.replace(&next).await?;
            self.memory.wrote(&key, self.roles.cache(), written.metadata.resource_version.as_deref());
        }
        Ok(Next::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_are_united_once_each() {
        let role = |value: serde_json::Value| Arc::new(serde_json::from_value::<ClusterRole>(value).unwrap());
        let rule = json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]});
        let one = role(json!({"metadata": {"name": "b", "labels": {"into": "view"}}, "rules": [rule]}));
        let two = role(json!({"metadata": {"name": "a", "labels": {"into": "view"}}, "rules": [rule,
            {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}]}));
        let other = role(json!({"metadata": {"name": "c"}, "rules": [{"verbs": ["*"]}]}));
        let view = role(json!({"metadata": {"name": "view"},
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"into": "view"}}]}}));
        let all = [one, two, other, view.clone()];
        let next = plan(&view, &all).unwrap();
        assert_eq!(next.rules.as_ref().unwrap().len(), 2);
        assert_eq!(plan(&next, &all), None);
    }
}
