//! Whether one rule permits one request.

use serde::{Deserialize, Deserializer};

use super::Attributes;

/// One rule of a role.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyRule {
    /// Verbs, `*` for all.
    #[serde(deserialize_with = "list")]
    pub verbs: Vec<String>,
    /// API groups, `*` for all.
    #[serde(deserialize_with = "list")]
    pub api_groups: Vec<String>,
    /// Resources: `pods`, `pods/log`, `*/scale`, `*`.
    #[serde(deserialize_with = "list")]
    pub resources: Vec<String>,
    /// Names; empty for all.
    #[serde(deserialize_with = "list")]
    pub resource_names: Vec<String>,
    /// Paths that are no resources: `/healthz`, `/api/*`, `*`.
    #[serde(rename = "nonResourceURLs", deserialize_with = "list")]
    pub non_resource_urls: Vec<String>,
}

/// A list that may be `null`.
pub(super) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

fn any(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == "*" || item == wanted)
}

impl PolicyRule {
    /// Whether the rule permits the request.
    pub fn permits(&self, asks: &Attributes<'_>) -> bool {
        if !any(&self.verbs, asks.verb) {
            return false;
        }
        if asks.resource.is_empty() {
            return self.non_resource_urls.iter().any(|url| covers(url, asks.path));
        }
        any(&self.api_groups, asks.group)
            && self.names_resource(asks)
            && (self.resource_names.is_empty() || self.resource_names.iter().any(|n| n == asks.name))
    }

    fn names_resource(&self, asks: &Attributes<'_>) -> bool {
        self.resources.iter().any(|item| match item.split_once('/') {
            _ if item == "*" => true,
            None => asks.subresource.is_empty() && item == asks.resource,
            Some((resource, sub)) => (resource == "*" || resource == asks.resource) && sub == asks.subresource,
        })
    }
}

fn covers(url: &str, path: &str) -> bool {
    url == "*" || url == path || url.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(verbs: &[&str], groups: &[&str], resources: &[&str]) -> PolicyRule {
        let own = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        PolicyRule { verbs: own(verbs), api_groups: own(groups), resources: own(resources), ..PolicyRule::default() }
    }

    #[test]
    fn sub_resources_are_named_apart() {
        let asks = |resource, subresource| Attributes { verb: "get", resource, subresource, ..Attributes::default() };
        assert!(rule(&["get"], &[""], &["pods"]).permits(&asks("pods", "")));
        assert!(!rule(&["get"], &[""], &["pods"]).permits(&asks("pods", "log")));
        assert!(rule(&["get"], &[""], &["pods/log"]).permits(&asks("pods", "log")));
        assert!(rule(&["get"], &[""], &["*/log"]).permits(&asks("pods", "log")));
        assert!(rule(&["*"], &["*"], &["*"]).permits(&asks("pods", "log")));
        assert!(!rule(&["get"], &["apps"], &["pods"]).permits(&asks("pods", "")));
    }

    #[test]
    fn paths_may_end_in_a_star() {
        let rule =
            PolicyRule { verbs: vec!["get".into()], non_resource_urls: vec!["/api/*".into()], ..PolicyRule::default() };
        assert!(rule.permits(&Attributes { verb: "get", path: "/api/v1", ..Attributes::default() }));
        assert!(!rule.permits(&Attributes { verb: "get", path: "/metrics", ..Attributes::default() }));
    }
}
