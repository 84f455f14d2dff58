//! Nobody may hand out more than they hold.
//!
//! A role may be written with rules that its writer holds, or with the verb `escalate` on it; a binding may be made to a
//! role whose rules its writer holds, or with the verb `bind`. A rule is held when each of its single permissions (verb,
//! group, resource, name) is covered by one rule of the holder.

use super::PolicyRule;

/// The rules of `wanted` that `held` does not cover, broken into single permissions and put together again by what they
/// share (as Kubernetes' message shows them).
pub fn uncovered(held: &[PolicyRule], wanted: &[PolicyRule]) -> Vec<PolicyRule> {
    let missing = wanted.iter().flat_map(singles).filter(|single| !held.iter().any(|rule| covers(rule, single)));
    compact(missing.collect())
}

/// Breaks a rule into rules of one verb and one resource or path each.
fn singles(rule: &PolicyRule) -> Vec<PolicyRule> {
    let mut out = Vec::new();
    for group in &rule.api_groups {
        for resource in &rule.resources {
            for verb in &rule.verbs {
                let base = PolicyRule {
                    verbs: vec![verb.clone()],
                    api_groups: vec![group.clone()],
                    resources: vec![resource.clone()],
                    ..PolicyRule::default()
                };
                if rule.resource_names.is_empty() {
                    out.push(base.clone());
                }
                out.extend(
                    rule.resource_names
                        .iter()
                        .map(|name| PolicyRule { resource_names: vec![name.clone()], ..base.clone() }),
                );
            }
        }
    }
    for url in &rule.non_resource_urls {
        for verb in &rule.verbs {
            out.push(PolicyRule {
                verbs: vec![verb.clone()],
                non_resource_urls: vec![url.clone()],
                ..PolicyRule::default()
            });
        }
    }
    out
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == "*" || item == wanted)
}

fn covers(held: &PolicyRule, single: &PolicyRule) -> bool {
    if !single.verbs.iter().all(|verb| has(&held.verbs, verb)) {
        return false;
    }
    if let Some(url) = single.non_resource_urls.first() {
        let within = |own: &String| {
            own == url || own == "*" || own.strip_suffix('*').is_some_and(|prefix| url.starts_with(prefix))
        };
        return held.non_resource_urls.iter().any(within);
    }
    single.api_groups.iter().all(|group| has(&held.api_groups, group))
        && single.resources.iter().all(|resource| {
            let any_sub = resource.split_once('/').map(|(_, sub)| format!("*/{sub}"));
            has(&held.resources, resource) || any_sub.is_some_and(|any| held.resources.contains(&any))
        })
        && (held.resource_names.is_empty()
            || !single.resource_names.is_empty()
                && single.resource_names.iter().all(|name| held.resource_names.contains(name)))
}

/// Puts single permissions on one resource together.
fn compact(singles: Vec<PolicyRule>) -> Vec<PolicyRule> {
    let mut out: Vec<PolicyRule> = Vec::new();
    for single in singles {
        let same = |rule: &&mut PolicyRule| {
            rule.api_groups == single.api_groups
                && rule.resources == single.resources
                && rule.resource_names == single.resource_names
                && rule.non_resource_urls == single.non_resource_urls
        };
        match out.iter_mut().find(same) {
            Some(rule) => rule
                .verbs
                .extend(single.verbs.into_iter().filter(|verb| !rule.verbs.contains(verb)).collect::<Vec<_>>()),
            None => out.push(single),
        }
    }
    out
}

/// A rule as Kubernetes' refusal prints it.
pub fn show(rule: &PolicyRule) -> String {
    let list =
        |items: &[String]| format!("[{}]", items.iter().map(|item| format!("{item:?}")).collect::<Vec<_>>().join(" "));
    let parts = [
        ("APIGroups", &rule.api_groups),
        ("Resources", &rule.resources),
        ("ResourceNames", &rule.resource_names),
        ("NonResourceURLs", &rule.non_resource_urls),
        ("Verbs", &rule.verbs),
    ];
    let shown: Vec<String> = parts
        .iter()
        .filter(|(_, items)| !items.is_empty())
        .map(|(name, items)| format!("{name}:{}", list(items)))
        .collect();
    format!("{{{}}}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(verbs: &[&str], resources: &[&str], names: &[&str]) -> PolicyRule {
        let own = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        PolicyRule {
            verbs: own(verbs),
            api_groups: vec![String::new()],
            resources: own(resources),
            resource_names: own(names),
            ..PolicyRule::default()
        }
    }

    #[test]
    fn what_is_not_held_is_told() {
        let held = [rule(&["get", "list"], &["pods"], &[])];
        assert_eq!(uncovered(&held, &[rule(&["get"], &["pods"], &["a"])]), []);
        let missing = uncovered(&held, &[rule(&["get", "delete"], &["pods", "secrets"], &[])]);
        assert_eq!(
            missing.iter().map(show).collect::<Vec<_>>(),
            [
                r#"{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}"#,
                r#"{APIGroups:[""], Resources:["secrets"], Verbs:["get" "delete"]}"#,
            ]
        );
        assert_eq!(uncovered(&[rule(&["*"], &["*"], &[])], &[rule(&["get"], &["pods"], &[])]), []);
        assert_eq!(uncovered(&[rule(&["get"], &["pods"], &["a"])], &[rule(&["get"], &["pods"], &[])]).len(), 1);
    }
}
