//! Roles and bindings.

use super::rules::Kind;
use super::tree::*;
use orc_core::validation::{FieldErrors, FieldPath, names};
use serde_json::Value;

const GROUP: &str = "rbac.authorization.k8s.io";

/// The rules of `roles`.
pub(super) static ROLE: Kind = Kind {
    name: names::path_segment,
    create_on_update: true,
    revalidates_meta: true,
    validate: |role, e| rules(role, true, e),
    validate_update: |role, _, e| rules(role, true, e),
    ..Kind::NAMESPACED
};

/// The rules of `clusterroles`.
pub(super) static CLUSTER_ROLE: Kind = Kind {
    namespaced: false,
    validate: |role, e| cluster(role, e),
    validate_update: |role, _, e| cluster(role, e),
    ..ROLE
};

/// The rules of `rolebindings`.
pub(super) static ROLE_BINDING: Kind = Kind {
    name: names::path_segment,
    create_on_update: true,
    revalidates_meta: true,
    default: binding_default,
    validate: |binding, e| self::binding(binding, true, e),
    validate_update: |new, old, e| binding_update(new, old, true, e),
    ..Kind::NAMESPACED
};

/// The rules of `clusterrolebindings`.
pub(super) static CLUSTER_ROLE_BINDING: Kind = Kind {
    namespaced: false,
    validate: |binding, e| self::binding(binding, false, e),
    validate_update: |new, old, e| binding_update(new, old, false, e),
    ..ROLE_BINDING
};

fn rules(role: &Value, namespaced: bool, e: &mut FieldErrors) {
    let path = FieldPath::new("rules");
    for (i, rule) in list(role, "rules").iter().enumerate() {
        let at = path.index(i);
        if list(rule, "verbs").is_empty() {
            e.required(&at.child("verbs"), "verbs must contain at least one value");
        }
        let urls = list(rule, "nonResourceURLs");
        if !urls.is_empty() {
            let shown = get(rule, "nonResourceURLs");
            if namespaced {
                e.invalid(&at.child("nonResourceURLs"), shown, "namespaced rules cannot apply to non-resource URLs");
            }
            let resources = ["apiGroups", "resources", "resourceNames"].iter().any(|f| !list(rule, f).is_empty());
            if resources {
                let text = "rules cannot apply to both regular resources and non-resource URLs";
                e.invalid(&at.child("nonResourceURLs"), shown, text);
            }
            continue;
        }
        if list(rule, "apiGroups").is_empty() {
            e.required(&at.child("apiGroups"), "resource rules must supply at least one api group");
        }
        if list(rule, "resources").is_empty() {
            e.required(&at.child("resources"), "resource rules must supply at least one resource");
        }
    }
}

fn cluster(role: &Value, e: &mut FieldErrors) {
    rules(role, false, e);
    if !has(role, "aggregationRule") {
        return;
    }
    let root = FieldPath::new("aggregationRule");
    let path = root.child("clusterRoleSelectors");
    let selectors = list(get(role, "aggregationRule"), "clusterRoleSelectors");
    if selectors.is_empty() {
        e.required(&path, "at least one clusterRoleSelector required if aggregationRule is non-nil");
    }
    for (i, selector) in selectors.iter().enumerate() {
        super::pod_spec::labels::label_selector(selector, &path.index(i), e);
    }
}

fn binding_default(binding: &mut Value) {
    put_text(ensure(binding, "roleRef"), "apiGroup", GROUP);
    for subject in items(binding, "subjects") {
        if ["User", "Group"].contains(&text(subject, "kind")) {
            put_text(subject, "apiGroup", GROUP);
        }
    }
}

fn binding(binding: &Value, namespaced: bool, e: &mut FieldErrors) {
    let (role, path) = (get(binding, "roleRef"), FieldPath::new("roleRef"));
    e.supported(&path.child("apiGroup"), text(role, "apiGroup"), &[GROUP]);
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    e.supported(&path.child("kind"), text(role, "kind"), kinds);
    match text(role, "name") {
        "" => e.required(&path.child("name"), ""),
        name => e.each(&path.child("name"), name, names::path_segment(name)),
    }
    let all = FieldPath::new("subjects");
    for (i, subject) in list(binding, "subjects").iter().enumerate() {
        self::subject(subject, namespaced, &all.index(i), e);
    }
}

fn subject(subject: &Value, namespaced: bool, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let (name, group) = (text(subject, "name"), text(subject, "apiGroup"));
    if name.is_empty() {
        e.required(&path.child("name"), "");
    }
    match text(subject, "kind") {
        "ServiceAccount" => {
            if !name.is_empty() {
                e.each(&path.child("name"), name, names::dns1123_subdomain(name));
            }
            e.supported(&path.child("apiGroup"), group, &[""]);
            if !namespaced && text(subject, "namespace").is_empty() {
                e.required(&path.child("namespace"), "");
            }
        }
        "User" | "Group" => e.supported(&path.child("apiGroup"), group, &[GROUP]),
        other => e.supported(&path.child("kind"), other, &["ServiceAccount", "User", "Group"]),
    }
}

fn binding_update(new: &Value, old: &Value, namespaced: bool, e: &mut FieldErrors) {
    binding(new, namespaced, e);
    if !same(get(new, "roleRef"), get(old, "roleRef")) {
        e.invalid(&FieldPath::new("roleRef"), get(new, "roleRef"), "cannot change roleRef");
    }
}
