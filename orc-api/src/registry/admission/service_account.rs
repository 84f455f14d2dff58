//! Every pod runs as a service account, and gets a token for it as a projected volume (ServiceAccount).

use orc_core::{ApiError, Doc, ObjectKey, ResourceId};
use serde_json::{Value, json};

use crate::registry::Registry;

/// Where programs look for their token.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The life of a pod's token in seconds: an hour and a margin for the renewal, as upstream.
const TOKEN_SECONDS: i64 = 3607;
/// Pods with this annotation mirror a static pod of a node and get no account.
const MIRROR: &str = "kubernetes.io/config.mirror";

impl Registry {
    pub(super) async fn admit_service_account(&self, key: &ObjectKey, pod: &mut Doc) -> Result<(), ApiError> {
        if pod.at(&["metadata", "annotations", MIRROR]).is_some() {
            return Ok(());
        }
        let name = match pod.str_at(&["spec", "serviceAccountName"]) {
            Some(name) if !name.is_empty() => name.to_owned(),
            // The field's old name still counts where the new one is not given.
            _ => match pod.str_at(&["spec", "serviceAccount"]) {
                Some(name) if !name.is_empty() => name.to_owned(),
                _ => "default".to_owned(),
            },
        };
        pod.set(&["spec", "serviceAccountName"], name.as_str());
        pod.set(&["spec", "serviceAccount"], name.as_str());
        let resource = ResourceId::new("", "serviceaccounts");
        let account = ObjectKey { resource, namespace: key.namespace.clone(), name: name.as_str().into() };
        let Some(stored) = self.store.find(&account).await? else {
            let namespace = key.namespace_str();
            let why = format!("error looking up service account {namespace}/{name}: serviceaccount {name:?} not found");
            return Err(ApiError::forbidden("", "pods", &key.name, why));
        };
        let account = Doc::from_body(&stored.body)?;
        super::secrets::check(pod, &account).map_err(|why| ApiError::forbidden("", "pods", &key.name, why))?;
        if wants_token(pod, &account) {
            mount_token(pod, &self.system.ids.suffix());
        }
        inherit_pull_secrets(pod, &account);
        Ok(())
    }
}

fn wants_token(pod: &Doc, account: &Doc) -> bool {
    let says = |doc: &Doc, path: &[&str]| doc.at(path).and_then(Value::as_bool);
    says(pod, &["spec", "automountServiceAccountToken"])
        .or_else(|| says(account, &["automountServiceAccountToken"]))
        .unwrap_or(true)
}

fn inherit_pull_secrets(pod: &mut Doc, account: &Doc) {
    let none = |value: Option<&Value>| value.and_then(Value::as_array).is_none_or(Vec::is_empty);
    if none(pod.at(&["spec", "imagePullSecrets"]))
        && let Some(secrets) = account.at(&["imagePullSecrets"]).filter(|list| !none(Some(list)))
    {
        pod.set(&["spec", "imagePullSecrets"], secrets.clone());
    }
}

fn mount_token(pod: &mut Doc, suffix: &str) {
    let volume = format!("kube-api-access-{suffix}");
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        let Some(containers) = pod.value_mut().pointer_mut(&format!("/spec/{list}")).and_then(Value::as_array_mut)
        else {
            continue;
        };
        for container in containers {
            mounted |= mount(container, &volume);
        }
    }
    if mounted {
        let mut volumes = pod.at(&["spec", "volumes"]).and_then(Value::as_array).cloned().unwrap_or_default();
        volumes.push(token_volume(&volume));
        pod.set(&["spec", "volumes"], volumes);
    }
}

/// Mounts the token unless the container has something of its own there.
fn mount(container: &mut Value, volume: &str) -> bool {
    let Some(container) = container.as_object_mut() else { return false };
    let mounts = container.entry("volumeMounts").or_insert_with(|| json!([]));
    if mounts.is_null() {
        *mounts = json!([]);
    }
    let Some(mounts) = mounts.as_array_mut() else { return false };
    if mounts.iter().any(|m| m.get("mountPath").and_then(Value::as_str) == Some(MOUNT_PATH)) {
        return false;
    }
    mounts.push(json!({"name": volume, "readOnly": true, "mountPath": MOUNT_PATH}));
    true
}

fn token_volume(name: &str) -> Value {
    let namespace = json!({"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}});
    json!({"name": name, "projected": {"defaultMode": 0o644, "sources": [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace]}},
    ]}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_mounted_once_into_every_container() {
        let mut pod = Doc::from_value(json!({"spec": {"containers": [
            {"name": "a"}, {"name": "b", "volumeMounts": [{"name": "own", "mountPath": MOUNT_PATH}]}]}}))
        .unwrap();
        mount_token(&mut pod, "abcde");
        assert_eq!(
            pod.value().pointer("/spec/containers/0/volumeMounts/0/name"),
            Some(&json!("kube-api-access-abcde"))
        );
        assert_eq!(pod.value().pointer("/spec/containers/1/volumeMounts/1"), None);
        assert_eq!(
            pod.value().pointer("/spec/volumes/0/projected/sources/0/serviceAccountToken/path"),
            Some(&json!("token"))
        );
    }
}
