//! Which FlowSchema a request belongs to: subjects and rules, as `pkg/util/flowcontrol/rule.go` of the apiserver reads them.

use k8s_openapi::api::flowcontrol::v1::{
    FlowSchemaSpec, NonResourcePolicyRule, PolicyRulesWithSubjects, ResourcePolicyRule, Subject,
};

use crate::identity::Identity;
use crate::rbac::Attributes;

/// The name of everything in the lists of a rule.
const ALL: &str = "*";

/// Whether a FlowSchema is about a request.
pub fn matches(spec: &FlowSchemaSpec, who: &Identity, asks: &Attributes<'_>) -> bool {
    spec.rules.iter().flatten().any(|rule| rule_matches(rule, who, asks))
}

/// What tells the flows of a FlowSchema apart.
pub fn distinguisher<'a>(spec: &FlowSchemaSpec, who: &'a Identity, asks: &Attributes<'a>) -> &'a str {
    match spec.distinguisher_method.as_ref().map(|method| method.type_.as_str()) {
        Some("ByUser") => &who.user,
        Some("ByNamespace") => asks.namespace,
        _ => "",
    }
}

fn rule_matches(rule: &PolicyRulesWithSubjects, who: &Identity, asks: &Attributes<'_>) -> bool {
    if !rule.subjects.iter().any(|subject| is(subject, who)) {
        return false;
    }
    if asks.resource.is_empty() {
        return rule.non_resource_rules.iter().flatten().any(|rule| path_matches(rule, asks));
    }
    rule.resource_rules.iter().flatten().any(|rule| resource_matches(rule, asks))
}

fn is(subject: &Subject, who: &Identity) -> bool {
    match subject.kind.as_str() {
        "User" => subject.user.as_ref().is_some_and(|user| user.name == ALL || user.name == who.user),
        "Group" => subject.group.as_ref().is_some_and(|group| group.name == ALL || who.is_in(&group.name)),
        "ServiceAccount" => subject.service_account.as_ref().is_some_and(|account| {
            let rest = who.user.strip_prefix("system:serviceaccount:");
            let own = rest.and_then(|rest| rest.split_once(':'));
            own.is_some_and(|(namespace, name)| {
                namespace == account.namespace && (account.name == ALL || name == account.name)
            })
        }),
        _ => false,
    }
}

/// A list that names the value, or is `*` alone.
fn lists(list: &[String], value: &str) -> bool {
    matches!(list, [all] if all == ALL) || list.iter().any(|entry| entry == value)
}

fn resource_matches(rule: &ResourcePolicyRule, asks: &Attributes<'_>) -> bool {
    let names_resource = |entry: &String| match entry.split_once('/') {
        Some((resource, sub)) => resource == asks.resource && sub == asks.subresource,
        None => asks.subresource.is_empty() && entry == asks.resource,
    };
    let everything = matches!(rule.resources.as_slice(), [all] if all == ALL);
    lists(&rule.verbs, asks.verb)
        && (everything || rule.resources.iter().any(names_resource))
        && lists(&rule.api_groups, asks.group)
        && match asks.namespace {
            "" => rule.cluster_scope.unwrap_or_default(),
            namespace => rule.namespaces.as_ref().is_some_and(|list| lists(list, namespace)),
        }
}

fn path_matches(rule: &NonResourcePolicyRule, asks: &Attributes<'_>) -> bool {
    let below = |entry: &String| {
        let prefix = entry.trim_end_matches(ALL).trim_end_matches('/');
        asks.path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
    };
    lists(&rule.verbs, asks.verb)
        && rule.non_resource_urls.iter().any(|entry| entry == ALL || entry == asks.path || below(entry))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn spec(subject: Value, rule: Value) -> FlowSchemaSpec {
        let mut rules = rule;
        rules["subjects"] = json!([subject]);
        serde_json::from_value(json!({"priorityLevelConfiguration": {"name": "x"}, "rules": [rules]})).unwrap()
    }

    #[test]
    fn resources_are_matched_by_scope_and_subresource() {
        let rule = json!({"resourceRules": [{"verbs": ["*"], "apiGroups": [""], "resources": ["nodes", "nodes/status"],
            "clusterScope": true, "namespaces": ["a"]}]});
        let spec = spec(json!({"kind": "Group", "group": {"name": "system:nodes"}}), rule);
        let node = Identity::user("n", &["system:nodes"]);
        let asks = |resource, subresource, namespace| Attributes {
            verb: "get",
            resource,
            subresource,
            namespace,
            ..Attributes::default()
        };
        assert!(matches(&spec, &node, &asks("nodes", "status", "")));
        assert!(matches(&spec, &node, &asks("nodes", "", "a")));
        assert!(!matches(&spec, &node, &asks("nodes", "proxy", "")));
        assert!(!matches(&spec, &node, &asks("nodes", "", "b")));
        assert!(!matches(&spec, &Identity::user("n", &[]), &asks("nodes", "", "")));
        assert!(!matches(&spec, &node, &Attributes { verb: "get", path: "/nodes", ..Attributes::default() }));
    }

    #[test]
    fn paths_are_matched_with_what_is_below_them() {
        let rule = json!({"nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/metrics/*"]}]});
        let spec = spec(json!({"kind": "User", "user": {"name": "*"}}), rule);
        let asks = |path| Attributes { verb: "get", path, ..Attributes::default() };
        let found = |path| matches(&spec, &Identity::anonymous(), &asks(path));
        assert!(found("/healthz") && found("/healthz/etcd") && found("/metrics/a"));
        assert!(!found("/healthzz") && !found("/version"));
    }

    #[test]
    fn service_accounts_are_matched_by_namespace_and_name() {
        let rule = json!({"nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]});
        let account = |name| json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": "a", "name": name}});
        let asks = Attributes { verb: "get", path: "/x", ..Attributes::default() };
        let who = |name: &str| Identity::user(name, &[]);
        assert!(matches(&spec(account("*"), rule.clone()), &who("system:serviceaccount:a:b"), &asks));
        assert!(!matches(&spec(account("*"), rule.clone()), &who("system:serviceaccount:ab:b"), &asks));
        assert!(!matches(&spec(account("c"), rule), &who("system:serviceaccount:a:b"), &asks));
    }
}
