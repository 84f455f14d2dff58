//! The default roles, read from `data/rbac.txt` (made by `tools/rbac.py`, which describes the format).

use serde_json::{Map, Value, json};

const TEXT: &str = include_str!("../../data/rbac.txt");
const API: &str = "rbac.authorization.k8s.io";

/// The default roles and bindings, roles first.
pub(super) fn defaults() -> Vec<Value> {
    let mut objects: Vec<Value> = Vec::new();
    for line in TEXT.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["role", namespace, name, marks @ ..] => objects.push(role(namespace, name, marks)),
            ["bind", namespace, name, to, subjects @ ..] => objects.push(binding(namespace, name, to, subjects)),
            _ => add_rule(objects.last_mut(), line),
        }
    }
    objects
}

fn object(kind: &str, namespace: &str, name: &str) -> Value {
    let (kind, cluster) = if namespace == "-" { (format!("Cluster{kind}"), true) } else { (kind.to_owned(), false) };
    let mut metadata = json!({
        "name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    });
    if !cluster {
        metadata["namespace"] = namespace.into();
    }
    json!({"apiVersion": format!("{API}/v1"), "kind": kind, "metadata": metadata})
}

fn role(namespace: &str, name: &str, marks: &[&str]) -> Value {
    let mut role = object("Role", namespace, name);
    role["rules"] = json!([]);
    for mark in marks {
        match mark.split_once('=') {
            Some(("aggregates", from)) => {
                let label = json!({format!("{API}/aggregate-to-{from}"): "true"});
                role["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": label}]});
            }
            Some(("into", all)) => {
                for into in all.split(',') {
                    role["metadata"]["labels"][format!("{API}/aggregate-to-{into}")] = "true".into();
                }
            }
            _ => unreachable!("tools/rbac.py writes no other mark: {mark}"),
        }
    }
    role
}

fn add_rule(role: Option<&mut Value>, line: &str) {
    let names = ["verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs"];
    let mut rule = Map::new();
    for (name, list) in names.iter().zip(line.split('\t')).filter(|(_, list)| *list != "-") {
        let items: Vec<&str> = list.split(',').map(|item| if item == "\"\"" { "" } else { item }).collect();
        rule.insert((*name).to_owned(), json!(items));
    }
    if let Some(rules) = role.and_then(|role| role["rules"].as_array_mut()) {
        rules.push(Value::Object(rule));
    }
}

fn binding(namespace: &str, name: &str, to: &str, subjects: &[&str]) -> Value {
    let mut binding = object("RoleBinding", namespace, name);
    let (kind, role) = to.split_once('/').unwrap_or(("ClusterRole", to));
    binding["roleRef"] = json!({"apiGroup": API, "kind": kind, "name": role});
    let subject = |text: &&str| {
        let (kind, rest) = text.split_once(':').unwrap_or(("User", text));
        match rest.split_once('/') {
            Some((namespace, name)) if kind == "ServiceAccount" => {
                json!({"kind": kind, "name": name, "namespace": namespace})
            }
            _ => json!({"kind": kind, "name": rest, "apiGroup": API}),
        }
    };
    binding["subjects"] = subjects.iter().map(subject).collect::<Vec<_>>().into();
    binding
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_and_bindings_read_back() {
        let all = defaults();
        let named =
            |kind: &str, name: &str| all.iter().find(|o| o["kind"] == kind && o["metadata"]["name"] == name).unwrap();
        let admin = named("ClusterRole", "cluster-admin");
        assert_eq!(admin["rules"][0], json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
        assert!(named("ClusterRole", "view")["aggregationRule"].is_object());
        let scheduler = named("ClusterRoleBinding", "system:kube-scheduler");
        assert_eq!(scheduler["subjects"][0]["name"], "system:kube-scheduler");
        assert!(all.iter().filter(|o| o["kind"] == "ClusterRole").count() > 60);
    }
}
