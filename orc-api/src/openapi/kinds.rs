//! Which kinds a schema is (`x-kubernetes-group-version-kind`).

use serde_json::{Value, json};

use super::schema::Schemas;

/// Groups and versions beside the served ones that upstream's scheme knows: the kinds that are of every group (options,
/// watch events) name them.
const KNOWN: [(&str, &[&str]); 26] = [
    ("", &["v1"]),
    ("admission.k8s.io", &["v1", "v1beta1"]),
    ("admissionregistration.k8s.io", &["v1", "v1alpha1", "v1beta1"]),
    ("apiextensions.k8s.io", &["v1", "v1beta1"]),
    ("apiregistration.k8s.io", &["v1", "v1beta1"]),
    ("apps", &["v1", "v1beta1", "v1beta2"]),
    ("authentication.k8s.io", &["v1", "v1alpha1", "v1beta1"]),
    ("authorization.k8s.io", &["v1", "v1beta1"]),
    ("autoscaling", &["v1", "v2"]),
    ("batch", &["v1", "v1beta1"]),
    ("certificates.k8s.io", &["v1", "v1alpha1", "v1beta1"]),
    ("coordination.k8s.io", &["v1", "v1alpha2", "v1beta1"]),
    ("discovery.k8s.io", &["v1", "v1beta1"]),
    ("events.k8s.io", &["v1", "v1beta1"]),
    ("extensions", &["v1beta1"]),
    ("flowcontrol.apiserver.k8s.io", &["v1", "v1beta1", "v1beta2", "v1beta3"]),
    ("imagepolicy.k8s.io", &["v1alpha1"]),
    ("internal.apiserver.k8s.io", &["v1alpha1"]),
    ("networking.k8s.io", &["v1", "v1beta1"]),
    ("node.k8s.io", &["v1", "v1alpha1", "v1beta1"]),
    ("policy", &["v1", "v1beta1"]),
    ("rbac.authorization.k8s.io", &["v1", "v1alpha1", "v1beta1"]),
    ("resource.k8s.io", &["v1", "v1alpha3", "v1beta1", "v1beta2"]),
    ("scheduling.k8s.io", &["v1", "v1alpha2", "v1beta1"]),
    ("storage.k8s.io", &["v1", "v1alpha1", "v1beta1"]),
    ("storagemigration.k8s.io", &["v1beta1"]),
];

/// Says which kind a schema is; one schema may be several.
pub(super) fn name_kind(schemas: &mut Schemas<'_>, name: &str, gvk: &Value) {
    if let Some(schema) = schemas.all.get_mut(name).filter(|schema| schema.is_object()) {
        let kinds = &mut schema["x-kubernetes-group-version-kind"];
        match kinds.as_array_mut() {
            Some(kinds) if !kinds.contains(gvk) => kinds.push(gvk.clone()),
            Some(_) => {}
            None => *kinds = json!([gvk]),
        }
    }
}

/// Says of a kind of `meta/v1` which groups have it: all that upstream's scheme knows, or the core group alone.
pub(super) fn everywhere(schemas: &mut Schemas<'_>, kind: &str) {
    let name = format!("io.k8s.apimachinery.pkg.apis.meta.v1.{kind}");
    let groups = if kind == "Status" { &KNOWN[..1] } else { &KNOWN[..] };
    for (group, versions) in groups {
        for version in *versions {
            name_kind(schemas, &name, &json!({"group": group, "version": version, "kind": kind}));
        }
    }
}
