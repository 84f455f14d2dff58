//! Audit policies (`audit.k8s.io/v1` `Policy`): which requests are told, at which level and stages.
//!
//! Follows `k8s.io/apiserver/pkg/audit/policy`: the first rule that matches decides; a request that no rule matches is not
//! written down.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::event::Stage;
use crate::identity::Identity;
use crate::rbac::Attributes;

/// How much of a request is written down.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
pub enum Level {
    /// Nothing.
    None,
    /// Who, what, when, and how it went.
    Metadata,
    /// And what was sent.
    Request,
    /// And what was answered.
    RequestResponse,
}

/// What is wrong with a policy file.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It does not decode.
    #[error("the audit policy does not decode: {0}")]
    Form(String),
    /// It is something else.
    #[error("the audit policy must be of apiVersion audit.k8s.io/v1 and kind Policy, not {0:?}")]
    Kind(String),
    /// It has no rules.
    #[error("the audit policy has no rules, so that nothing would be written; add some, such as `- level: Metadata`")]
    Empty,
    /// A rule is about resources and paths at once.
    #[error("rules[{0}] has nonResourceURLs beside resources or namespaces; divide it into two rules")]
    Mixed(usize),
    /// A path of a rule is not one.
    #[error("rules[{rule}].nonResourceURLs: {path:?} must be `*` or begin with `/`, with a `*` only at its end")]
    Path {
        /// Which rule, from 0.
        rule: usize,
        /// The path.
        path: String,
    },
}

/// A policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    #[expect(dead_code, reason = "accepted for its form")]
    metadata: serde::de::IgnoredAny,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    omit_stages: BTreeSet<Stage>,
    #[serde(default)]
    omit_managed_fields: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    level: Level,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    user_groups: Vec<String>,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    resources: Vec<GroupResources>,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default, rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
    #[serde(default)]
    omit_stages: BTreeSet<Stage>,
    omit_managed_fields: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GroupResources {
    #[serde(default)]
    group: String,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
}

/// What a policy says of one request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Verdict {
    pub(crate) level: Level,
    pub(crate) omit_stages: BTreeSet<Stage>,
    pub(crate) omit_managed_fields: bool,
}

impl Policy {
    /// Reads a policy file, YAML or JSON.
    ///
    /// # Errors
    /// What does not fit, with the rule.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let policy: Self = serde_saphyr::from_str(text).map_err(|e| PolicyError::Form(e.to_string()))?;
        if policy.api_version != "audit.k8s.io/v1" || policy.kind != "Policy" {
            return Err(PolicyError::Kind(format!("{} {}", policy.api_version, policy.kind)));
        }
        if policy.rules.is_empty() {
            return Err(PolicyError::Empty);
        }
        for (at, rule) in policy.rules.iter().enumerate() {
            let about_objects = !rule.resources.is_empty() || !rule.namespaces.is_empty();
            if about_objects && !rule.non_resource_urls.is_empty() {
                return Err(PolicyError::Mixed(at));
            }
            let valid = |path: &&String| *path == "*" || path.starts_with('/') && !path[..path.len() - 1].contains('*');
            if let Some(path) = rule.non_resource_urls.iter().find(|path| !valid(path)) {
                return Err(PolicyError::Path { rule: at, path: path.clone() });
            }
        }
        Ok(policy)
    }

    /// What the policy says of a request.
    pub(crate) fn judge(&self, who: &Identity, asks: &Attributes<'_>) -> Verdict {
        let Some(rule) = self.rules.iter().find(|rule| rule.matches(who, asks)) else {
            return Verdict { level: Level::None, omit_stages: BTreeSet::new(), omit_managed_fields: false };
        };
        Verdict {
            level: rule.level,
            omit_stages: rule.omit_stages.union(&self.omit_stages).copied().collect(),
            omit_managed_fields: rule.omit_managed_fields.unwrap_or(self.omit_managed_fields),
        }
    }
}

fn names(list: &[String], wanted: &str) -> bool {
    list.is_empty() || list.iter().any(|item| item == wanted)
}

impl Rule {
    fn matches(&self, who: &Identity, asks: &Attributes<'_>) -> bool {
        let in_group = self.user_groups.is_empty() || self.user_groups.iter().any(|group| who.is_in(group));
        if !names(&self.users, &who.user) || !in_group || !names(&self.verbs, asks.verb) {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return !asks.resource.is_empty()
                && names(&self.namespaces, asks.namespace)
                && (self.resources.is_empty() || self.resources.iter().any(|resources| resources.match_one(asks)));
        }
        if !self.non_resource_urls.is_empty() {
            return asks.resource.is_empty() && self.non_resource_urls.iter().any(|url| covers(url, asks.path));
        }
        true
    }
}

impl GroupResources {
    fn match_one(&self, asks: &Attributes<'_>) -> bool {
        if self.group != asks.group {
            return false;
        }
        let named = names(&self.resource_names, asks.name);
        self.resources.is_empty() || named && self.resources.iter().any(|item| is(item, asks))
    }
}

/// `pods`, `pods/log`, `pods/*`, `*/scale`, or `*` for all with their sub-resources.
fn is(item: &str, asks: &Attributes<'_>) -> bool {
    match item.split_once('/') {
        None => item == "*" || item == asks.resource && asks.subresource.is_empty(),
        Some(("*", sub)) => sub == asks.subresource,
        Some((resource, "*")) => resource == asks.resource,
        Some((resource, sub)) => resource == asks.resource && sub == asks.subresource,
    }
}

fn covers(url: &str, path: &str) -> bool {
    url == "*" || url == path || url.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: ["system:kube-proxy"]
  verbs: [watch]
- level: Metadata
  resources:
  - group: ""
    resources: [secrets, configmaps, "pods/*"]
  omitStages: [Panic]
- level: Request
  resources:
  - group: apps
    resources: [deployments]
    resourceNames: [web]
  omitManagedFields: true
- level: None
  nonResourceURLs: ["/healthz*"]
- level: RequestResponse
  userGroups: [devs]
"#;

    fn level(who: &Identity, asks: Attributes<'_>) -> Level {
        Policy::parse(TEXT).unwrap().judge(who, &asks).level
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let (dev, proxy) = (Identity::user("dev", &["devs"]), Identity::user("system:kube-proxy", &["devs"]));
        let asks = |verb, group, resource, subresource, name| Attributes {
            verb,
            group,
            resource,
            subresource,
            name,
            ..Attributes::default()
        };
        assert_eq!(level(&proxy, asks("watch", "", "pods", "", "")), Level::None);
        assert_eq!(level(&proxy, asks("list", "", "nodes", "", "")), Level::RequestResponse);
        assert_eq!(level(&dev, asks("get", "", "secrets", "", "a")), Level::Metadata);
        assert_eq!(level(&dev, asks("get", "", "pods", "log", "a")), Level::Metadata);
        assert_eq!(level(&dev, asks("get", "apps", "deployments", "", "web")), Level::Request);
        assert_eq!(level(&dev, asks("get", "apps", "deployments", "", "other")), Level::RequestResponse);
        assert_eq!(
            level(&dev, Attributes { verb: "get", path: "/healthz/ping", ..Attributes::default() }),
            Level::None
        );
        assert_eq!(level(&Identity::anonymous(), asks("get", "", "nodes", "", "a")), Level::None);
    }

    #[test]
    fn stages_add_up_and_managed_fields_are_overridden() {
        let policy = Policy::parse(TEXT).unwrap();
        let secret = Attributes { verb: "get", resource: "secrets", ..Attributes::default() };
        let verdict = policy.judge(&Identity::admin(), &secret);
        assert_eq!(verdict.omit_stages, [Stage::RequestReceived, Stage::Panic].into());
        assert!(!verdict.omit_managed_fields);
    }

    #[test]
    fn a_wrong_policy_is_told() {
        let refused = |text: &str| Policy::parse(text).unwrap_err().to_string();
        assert!(refused("apiVersion: v1\nkind: Policy\nrules: [{level: None}]").contains("audit.k8s.io/v1"));
        assert!(refused("apiVersion: audit.k8s.io/v1\nkind: Policy").contains("no rules"));
        assert!(refused("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: All}]").contains("All"));
        let mixed =
            "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None, namespaces: [a], nonResourceURLs: [/a]}]";
        assert!(refused(mixed).contains("rules[0]"));
    }
}
