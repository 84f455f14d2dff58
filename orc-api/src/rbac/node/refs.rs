//! What an object refers to, as the node authorizer of upstream reads it (`pkg/api/v1/pod/util.go`, `graph.go`).

use orc_core::Name;
use serde_json::Value;

use super::graph::{Place, Sort, Thing, Volume};
use crate::kinds::tree::{at, get, has, list, text};

/// Pods with this annotation mirror a static pod of their node and give it no rights.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Paths of the names of secrets inside a volume of a pod.
const VOLUME_SECRETS: [&str; 10] = [
    "secret.secretName",
    "azureFile.secretName",
    "cephfs.secretRef.name",
    "cinder.secretRef.name",
    "flexVolume.secretRef.name",
    "iscsi.secretRef.name",
    "rbd.secretRef.name",
    "scaleIO.secretRef.name",
    "storageos.secretRef.name",
    "csi.nodePublishSecretRef.name",
];

/// Paths of references to secrets (name, and namespace where given) inside a volume of the cluster.
const PERSISTENT_SECRETS: [&str; 11] = [
    "cephfs.secretRef",
    "cinder.secretRef",
    "csi.controllerPublishSecretRef",
    "csi.nodePublishSecretRef",
    "csi.nodeStageSecretRef",
    "csi.nodeExpandSecretRef",
    "flexVolume.secretRef",
    "iscsi.secretRef",
    "rbd.secretRef",
    "scaleIO.secretRef",
    "storageos.secretRef",
];

/// What a pod needs, each thing once; and whether that may grow later.
pub(super) fn of_pod(namespace: &Name, name: &str, pod: &Value) -> (Vec<Thing>, bool) {
    let spec = get(pod, "spec");
    if has(get(get(pod, "metadata"), "annotations"), MIRROR) {
        return (Vec::new(), false);
    }
    let mut found = Found { namespace: namespace.clone(), things: Vec::new() };
    found.add(Sort::Account, text(spec, "serviceAccountName"));
    for secret in list(spec, "imagePullSecrets") {
        found.add(Sort::Secret, text(secret, "name"));
    }
    for containers in ["initContainers", "containers", "ephemeralContainers"] {
        list(spec, containers).iter().for_each(|container| found.container(container));
    }
    list(spec, "volumes").iter().for_each(|volume| found.volume(name, volume));
    let claims = list(spec, "resourceClaims");
    for claim in claims {
        found.add(Sort::ResourceClaim, text(claim, "resourceClaimName"));
    }
    for claim in list(get(pod, "status"), "resourceClaimStatuses") {
        found.add(Sort::ResourceClaim, text(claim, "resourceClaimName"));
    }
    found.add(Sort::ResourceClaim, text(at(pod, "status.extendedResourceClaimStatus"), "resourceClaimName"));
    found.things.sort();
    found.things.dedup();
    (found.things, !claims.is_empty())
}

/// The first kind of object that a pod without rights refers to all the same.
pub(super) fn reference(pod: &Value) -> Option<&'static str> {
    let mut found = Found { namespace: Name::default(), things: Vec::new() };
    let spec = get(pod, "spec");
    for secret in list(spec, "imagePullSecrets") {
        found.add(Sort::Secret, text(secret, "name"));
    }
    for containers in ["initContainers", "containers", "ephemeralContainers"] {
        list(spec, containers).iter().for_each(|container| found.container(container));
    }
    list(spec, "volumes").iter().for_each(|volume| found.volume("", volume));
    let sources = list(spec, "volumes").iter().flat_map(|volume| list(get(volume, "projected"), "sources"));
    let bundles = sources.map(|source| get(source, "clusterTrustBundle")).any(|bundle| !bundle.is_null());
    let any = |sort: Sort| found.things.iter().any(|thing| thing.0 == sort);
    [
        (any(Sort::Secret), "secrets"),
        (any(Sort::ConfigMap), "configmaps"),
        (bundles, "clustertrustbundles"),
        (any(Sort::Claim), "persistentvolumeclaims"),
    ]
    .into_iter()
    .find_map(|(there, what)| there.then_some(what))
}

struct Found {
    namespace: Name,
    things: Vec<Thing>,
}

impl Found {
    fn add(&mut self, sort: Sort, name: &str) {
        if !name.is_empty() {
            self.things.push((sort, self.namespace.clone(), Name::shared(name)));
        }
    }

    fn container(&mut self, container: &Value) {
        for source in list(container, "envFrom") {
            self.add(Sort::Secret, text(get(source, "secretRef"), "name"));
            self.add(Sort::ConfigMap, text(get(source, "configMapRef"), "name"));
        }
        for variable in list(container, "env") {
            let from = get(variable, "valueFrom");
            self.add(Sort::Secret, text(get(from, "secretKeyRef"), "name"));
            self.add(Sort::ConfigMap, text(get(from, "configMapKeyRef"), "name"));
        }
    }

    fn volume(&mut self, pod: &str, volume: &Value) {
        for path in VOLUME_SECRETS {
            self.add(Sort::Secret, at(volume, path).as_str().unwrap_or_default());
        }
        self.add(Sort::ConfigMap, text(get(volume, "configMap"), "name"));
        self.add(Sort::Claim, text(get(volume, "persistentVolumeClaim"), "claimName"));
        if has(volume, "ephemeral") {
            self.add(Sort::Claim, &format!("{pod}-{}", text(volume, "name")));
        }
        for source in list(get(volume, "projected"), "sources") {
            self.add(Sort::Secret, text(get(source, "secret"), "name"));
            self.add(Sort::ConfigMap, text(get(source, "configMap"), "name"));
        }
    }
}

/// What a volume of the cluster is bound to, `None` while it is free.
pub(super) fn of_volume(volume: &Value) -> Option<Volume> {
    let spec = get(volume, "spec");
    let claim = get(spec, "claimRef");
    let home = text(claim, "namespace");
    if text(claim, "name").is_empty() {
        return None;
    }
    let mut secrets: Vec<Place> = Vec::new();
    let mut add = |namespace: &str, name: &str| {
        if !name.is_empty() {
            let namespace = if namespace.is_empty() { home } else { namespace };
            secrets.push((Name::shared(namespace), Name::shared(name)));
        }
    };
    for path in PERSISTENT_SECRETS {
        let to = at(spec, path);
        add(text(to, "namespace"), text(to, "name"));
    }
    let share = get(spec, "azureFile");
    add(text(share, "secretNamespace"), text(share, "secretName"));
    Some(Volume { claim: (Name::shared(home), Name::shared(text(claim, "name"))), secrets })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_reference_of_a_pod_is_found_once() {
        let pod = json!({"metadata": {}, "spec": {
            "serviceAccountName": "sa", "imagePullSecrets": [{"name": "pull"}],
            "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "s1"}}},
                {"valueFrom": {"configMapKeyRef": {"name": "c1"}}}], "envFrom": [{"secretRef": {"name": "s1"}}]}],
            "ephemeralContainers": [{"envFrom": [{"configMapRef": {"name": "c2"}}]}],
            "volumes": [{"name": "v", "secret": {"secretName": "s2"}}, {"name": "e", "ephemeral": {}},
                {"persistentVolumeClaim": {"claimName": "pvc"}},
                {"projected": {"sources": [{"configMap": {"name": "c3"}}, {"secret": {"name": "s3"}}]}},
                {"csi": {"nodePublishSecretRef": {"name": "s4"}}}],
            "resourceClaims": [{"resourceClaimName": "gpu"}]}});
        let (things, grows) = of_pod(&"d".into(), "p", &pod);
        let shown: Vec<String> = things.iter().map(|(sort, _, name)| format!("{sort:?}/{name}")).collect();
        assert_eq!(
            shown,
            [
                "Secret/pull",
                "Secret/s1",
                "Secret/s2",
                "Secret/s3",
                "Secret/s4",
                "ConfigMap/c1",
                "ConfigMap/c2",
                "ConfigMap/c3",
                "Claim/p-e",
                "Claim/pvc",
                "Account/sa",
                "ResourceClaim/gpu"
            ]
        );
        assert!(grows);
    }

    #[test]
    fn a_mirror_pod_gives_nothing() {
        let pod = json!({"metadata": {"annotations": {MIRROR: "x"}}, "spec": {"serviceAccountName": "sa"}});
        assert_eq!(of_pod(&"d".into(), "p", &pod), (Vec::new(), false));
    }

    #[test]
    fn a_volume_without_a_claim_is_nobodys() {
        assert_eq!(of_volume(&json!({"spec": {"csi": {"nodeStageSecretRef": {"name": "s"}}}})), None);
        let bound = json!({"spec": {"claimRef": {"namespace": "d", "name": "c"},
            "csi": {"nodeStageSecretRef": {"name": "s", "namespace": "kube-system"}}}});
        assert_eq!(of_volume(&bound).unwrap().secrets, [("kube-system".into(), "s".into())]);
    }
}
