//! IP families of a Service in a cluster of IPv4 alone.
//!
//! Follows the allocator of kube-apiserver's Service storage: a headless Service without selector is said to be of both
//! families, since its endpoints are the user's own; every other one gets the cluster's family.

use orc_core::Doc;
use orc_core::validation::{FieldError, FieldPath};
use serde_json::{Value, json};

/// Fills in `ipFamilies` and `ipFamilyPolicy`. Errors name families that the cluster does not have.
pub(super) fn init(service: &mut Doc) -> Vec<FieldError> {
    if service.str_at(&["spec", "type"]) == Some("ExternalName") {
        return Vec::new();
    }
    let families = families(service);
    let errors = foreign(service, &families);
    if !errors.is_empty() {
        return errors;
    }
    let headless = service.str_at(&["spec", "clusterIP"]) == Some("None");
    let selects = service.at(&["spec", "selector"]).and_then(Value::as_object).is_some_and(|map| !map.is_empty());
    let policy = service.str_at(&["spec", "ipFamilyPolicy"]).unwrap_or_default().to_owned();
    let both = headless
        && !selects
        && families.is_empty()
        && matches!(policy.as_str(), "" | "RequireDualStack" | "PreferDualStack");
    if policy.is_empty() {
        service.set(&["spec", "ipFamilyPolicy"], if both { "RequireDualStack" } else { "SingleStack" });
    }
    if families.is_empty() {
        service.set(&["spec", "ipFamilies"], if both { json!(["IPv4", "IPv6"]) } else { json!(["IPv4"]) });
    }
    Vec::new()
}

fn families(service: &Doc) -> Vec<String> {
    let list = service.at(&["spec", "ipFamilies"]).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|family| family.as_str().map(str::to_owned)).collect()
}

fn foreign(service: &Doc, families: &[String]) -> Vec<FieldError> {
    let root = FieldPath::new("spec");
    let headless = service.str_at(&["spec", "clusterIP"]) == Some("None");
    let selects = service.at(&["spec", "selector"]).and_then(Value::as_object).is_some_and(|map| !map.is_empty());
    if headless && !selects {
        return Vec::new();
    }
    let mut errors = Vec::new();
    let path = root.child("ipFamilies");
    for (at, family) in families.iter().enumerate().filter(|(_, family)| *family == "IPv6") {
        errors.push(FieldError::invalid(&path.index(at), family.as_str(), "not configured on this cluster"));
    }
    if service.str_at(&["spec", "ipFamilyPolicy"]) == Some("RequireDualStack") {
        let why = "this cluster is not configured for dual-stack services";
        errors.push(FieldError::invalid(&root.child("ipFamilyPolicy"), "RequireDualStack", why));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(spec: Value) -> Value {
        let mut doc = Doc::from_value(json!({"spec": spec})).unwrap();
        assert!(init(&mut doc).is_empty());
        doc.at(&["spec", "ipFamilies"]).cloned().unwrap_or_default()
    }

    #[test]
    fn the_cluster_has_one_family() {
        assert_eq!(filled(json!({"type": "ClusterIP"})), json!(["IPv4"]));
        assert_eq!(filled(json!({"type": "ClusterIP", "clusterIP": "None"})), json!(["IPv4", "IPv6"]));
        assert_eq!(filled(json!({"type": "ClusterIP", "clusterIP": "None", "selector": {"a": "b"}})), json!(["IPv4"]));
        assert_eq!(filled(json!({"type": "ExternalName"})), Value::Null);
        let mut six = Doc::from_value(json!({"spec": {"type": "ClusterIP", "ipFamilies": ["IPv6"]}})).unwrap();
        assert_eq!(init(&mut six).len(), 1);
    }
}
