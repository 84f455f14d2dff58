//! Which secrets a pod may use, for accounts that restrict them (`kubernetes.io/enforce-mountable-secrets`).

use std::collections::BTreeSet;

use orc_core::Doc;
use serde_json::Value;

const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";

/// Checks the secrets that a pod names against those that its account lists.
pub(super) fn check(pod: &Doc, account: &Doc) -> Result<(), String> {
    let says = account.str_at(&["metadata", "annotations", ENFORCE]).unwrap_or_default();
    if !matches!(says, "1" | "t" | "T" | "true" | "TRUE" | "True") {
        return Ok(());
    }
    let tail = |what: &str| {
        format!("is not allowed because service account {} does not reference that {what}", account.name())
    };
    let (mountable, pulls) = (names(account, "secrets"), names(account, "imagePullSecrets"));
    let list = |path: &[&str]| pod.at(path).and_then(Value::as_array).into_iter().flatten();
    for volume in list(&["spec", "volumes"]) {
        let secret = text(volume, "/secret/secretName");
        if !secret.is_empty() && !mountable.contains(secret) {
            return Err(format!("volume with secret.secretName={secret:?} {}", tail("secret")));
        }
    }
    for (field, what) in [("initContainers", "init container"), ("containers", "container")] {
        for container in list(&["spec", field]) {
            if let Some((via, secret)) = used(container).find(|(_, secret)| !mountable.contains(*secret)) {
                let name = text(container, "/name");
                return Err(format!(
                    "{what} {name} with {via} referencing secret.secretName={secret:?} {}",
                    tail("secret")
                ));
            }
        }
    }
    for (i, secret) in list(&["spec", "imagePullSecrets"]).map(|secret| text(secret, "/name")).enumerate() {
        if !pulls.contains(secret) {
            return Err(format!("imagePullSecrets[{i}].name={secret:?} {}", tail("imagePullSecret")));
        }
    }
    Ok(())
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn names<'a>(account: &'a Doc, field: &str) -> BTreeSet<&'a str> {
    account.at(&[field]).and_then(Value::as_array).into_iter().flatten().map(|entry| text(entry, "/name")).collect()
}

/// The secrets that a container's environment names, each with the place.
fn used(container: &Value) -> impl Iterator<Item = (String, &str)> {
    let list = |field: &str| container.get(field).and_then(Value::as_array).into_iter().flatten();
    let single =
        list("env").map(|env| (format!("envVar {}", text(env, "/name")), text(env, "/valueFrom/secretKeyRef/name")));
    let whole = list("envFrom").map(|from| ("envFrom".to_owned(), text(from, "/secretRef/name")));
    single.chain(whole).filter(|(_, secret)| !secret.is_empty())
}
