//! Which requests a webhook or a policy is about: rules and selectors.

use std::borrow::Cow;

use orc_core::labels::Selector;
use serde_json::Value;

use super::Attributes;

/// Resources that admission configuration never applies to, so that nobody locks themselves out.
const EXEMPT: [&str; 6] = [
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
    "mutatingwebhookconfigurations",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "validatingwebhookconfigurations",
];

/// One rule: operations, groups, versions and resources, each of which may be `*`.
#[derive(Clone, Debug)]
struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<String>,
    names: Vec<String>,
    scope: String,
}

/// Compiled conditions on requests.
#[derive(Clone, Debug)]
pub struct Matcher {
    rules: Option<Vec<Rule>>,
    exclude: Vec<Rule>,
    namespaces: Selector,
    objects: Selector,
    /// A rule about another version of the same resource counts.
    equivalent: bool,
}

fn texts(value: &Value, field: &str) -> Vec<String> {
    let list = value.get(field).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn rules(value: &Value, field: &str) -> Vec<Rule> {
    let list = value.get(field).and_then(Value::as_array).into_iter().flatten();
    list.map(|rule| Rule {
        operations: texts(rule, "operations"),
        groups: texts(rule, "apiGroups"),
        versions: texts(rule, "apiVersions"),
        resources: texts(rule, "resources"),
        names: texts(rule, "resourceNames"),
        scope: rule.get("scope").and_then(Value::as_str).unwrap_or("*").to_owned(),
    })
    .collect()
}

fn selector(value: &Value, field: &str) -> Result<Selector, String> {
    match value.get(field).filter(|selector| !selector.is_null()) {
        None => Ok(Selector::everything()),
        Some(selector) => Selector::from_value(selector).map_err(|error| error.to_string()),
    }
}

impl Matcher {
    /// Compiles a webhook (`rules`) or `matchConstraints` / `matchResources` (`resourceRules`); null matches everything.
    ///
    /// # Errors
    /// When a selector does not read.
    pub fn compile(value: &Value) -> Result<Self, String> {
        let given = ["rules", "resourceRules"].into_iter().find(|field| value.get(field).is_some_and(Value::is_array));
        Ok(Self {
            rules: given.map(|field| rules(value, field)),
            exclude: rules(value, "excludeResourceRules"),
            namespaces: selector(value, "namespaceSelector")?,
            objects: selector(value, "objectSelector")?,
            equivalent: value.get("matchPolicy").and_then(Value::as_str) != Some("Exact"),
        })
    }

    /// The plural resource names that the rules can match; `*` stands for all.
    pub fn resources(&self) -> Vec<String> {
        let Some(rules) = &self.rules else { return vec!["*".to_owned()] };
        let all = rules.iter().flat_map(|rule| &rule.resources);
        all.map(|resource| resource.split('/').next().unwrap_or_default().to_owned()).collect()
    }

    /// The version in which the rules match a request, the request's own first; `None` when they do not. `namespace` are
    /// the labels of the request's namespace, `None` for requests outside of namespaces.
    pub fn matches<'a>(&self, ask: &'a Attributes<'_>, namespace: Option<&Value>) -> Option<Cow<'a, str>> {
        if let Some(labels) = namespace
            && !selects(&self.namespaces, Some(labels))
        {
            return None;
        }
        let own: &str = &ask.asked().version;
        let others = ask.info.versions.iter().filter(|v| v.served && self.equivalent).map(|version| &*version.name);
        let versions: Vec<&str> = std::iter::once(own).chain(others.filter(|name| *name != own)).collect();
        if versions.iter().any(|version| self.exclude.iter().any(|rule| rule.matches(ask, version))) {
            return None;
        }
        let version = match &self.rules {
            None => own,
            Some(rules) => versions.into_iter().find(|version| rules.iter().any(|rule| rule.matches(ask, version)))?,
        };
        let labels = |value: &Value| selects(&self.objects, value.pointer("/metadata/labels"));
        let objects = [ask.object.as_ref().map(orc_core::Doc::value), ask.old.map(orc_core::Doc::value)];
        let chosen = self.objects.is_everything() || objects.into_iter().flatten().any(labels);
        chosen.then_some(Cow::Borrowed(version))
    }
}

fn selects(selector: &Selector, labels: Option<&Value>) -> bool {
    selector.matches_with(|key| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str))
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == "*" || item == wanted)
}

impl Rule {
    fn matches(&self, ask: &Attributes<'_>, version: &str) -> bool {
        let namespaced = ask.key.namespace.is_some();
        let scope = match self.scope.as_str() {
            "Namespaced" => namespaced,
            "Cluster" => !namespaced,
            _ => true,
        };
        scope
            && has(&self.operations, ask.operation.as_str())
            && has(&self.groups, &ask.asked().group)
            && has(&self.versions, version)
            && self.resources.iter().any(|resource| covers(resource, &ask.info.plural, ask.subresource))
            && (self.names.is_empty() || self.names.iter().any(|name| name == ask.key.name.as_str()))
    }
}

/// Whether `pods`, `pods/status`, `pods/*`, `*/status`, `*` or `*/*` means a resource and sub-resource.
fn covers(pattern: &str, plural: &str, sub: &str) -> bool {
    let (resource, wanted) = pattern.split_once('/').unwrap_or((pattern, ""));
    (resource == "*" || resource == plural) && (wanted == "*" || wanted == sub)
}

/// Whether admission configuration applies to the resource at all.
pub fn is_exempt(ask: &Attributes<'_>) -> bool {
    &*ask.info.group == "admissionregistration.k8s.io" && EXEMPT.contains(&ask.info.plural.as_str())
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn resources_cover_subresources_only_when_they_say_so() {
        for (pattern, sub, covered) in [
            ("pods", "", true),
            ("pods", "status", false),
            ("pods/*", "", true),
            ("pods/*", "status", true),
            ("*/status", "status", true),
            ("*", "status", false),
            ("*/*", "status", true),
            ("nodes", "", false),
        ] {
            assert_eq!(covers(pattern, "pods", sub), covered, "{pattern} {sub}");
        }
    }
}
