//! What a token secret needs, from the secret and its account.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};

use super::{AccountToken, TokenSigner};
use crate::controllers::support::meta;

/// The type of the secrets that hold a token.
pub(super) const TYPE: &str = "kubernetes.io/service-account-token";
/// Names the account of a token secret.
pub(super) const ACCOUNT: &str = "kubernetes.io/service-account.name";
/// The uid that makes it one particular account.
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

/// The step that a secret needs.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Step {
    /// Nothing.
    Done,
    /// To be written so.
    Fill(Box<Secret>),
    /// To go: the account that it was for is not there.
    Remove,
}

/// The account that a secret is for, `""` when it says none.
pub(super) fn account_of(secret: &Secret) -> &str {
    let typed = secret.type_.as_deref() == Some(TYPE);
    meta::annotation(&secret.metadata, ACCOUNT).filter(|_| typed).unwrap_or_default()
}

/// Whether a secret is for this very account; one that names no uid is for any of the name.
fn is_for(secret: &Secret, account: &ServiceAccount) -> bool {
    let uid = meta::annotation(&secret.metadata, ACCOUNT_UID).unwrap_or_default();
    uid.is_empty() || uid == meta::uid(&account.metadata)
}

/// Decides for a secret that names an account. `account` is the one of that name, `None` when there is none for certain.
///
/// # Errors
/// Why a token could not be signed.
pub(super) fn plan(
    secret: &Secret,
    account: Option<&ServiceAccount>,
    root_ca: &str,
    signer: &dyn TokenSigner,
) -> Result<Step, String> {
    let Some(account) = account.filter(|account| is_for(secret, account)) else { return Ok(Step::Remove) };
    if meta::is_terminating(&secret.metadata) {
        return Ok(Step::Done);
    }
    let held = |key: &str| secret.data.as_ref().and_then(|data| data.get(key)).map_or(&[][..], |bytes| &bytes.0);
    let needs_ca = !root_ca.is_empty() && held("ca.crt") != root_ca.as_bytes();
    let (needs_namespace, needs_token) = (held("namespace").is_empty(), held("token").is_empty());
    if !(needs_ca || needs_namespace || needs_token) {
        return Ok(Step::Done);
    }
    let mut next = secret.clone();
    let data = next.data.get_or_insert_default();
    let namespace = meta::namespace(&secret.metadata);
    let (name, uid) = (meta::name(&account.metadata), meta::uid(&account.metadata));
    if needs_ca {
        data.insert("ca.crt".to_owned(), ByteString(root_ca.as_bytes().to_vec()));
    }
    if needs_namespace {
        data.insert("namespace".to_owned(), ByteString(namespace.as_bytes().to_vec()));
    }
    if needs_token {
        let token = AccountToken { namespace, secret: meta::name(&secret.metadata), account: name, uid };
        data.insert("token".to_owned(), ByteString(signer.sign(&token)?.into_bytes()));
    }
    let annotations = next.metadata.annotations.get_or_insert_default();
    annotations.insert(ACCOUNT.to_owned(), name.to_owned());
    annotations.insert(ACCOUNT_UID.to_owned(), uid.to_owned());
    Ok(Step::Fill(Box::new(next)))
}

/// An account without its reference to a secret that is gone, `None` when it has none.
pub(super) fn without(account: &ServiceAccount, secret: &str) -> Option<ServiceAccount> {
    let names_it = |list: &Vec<_>| list.iter().any(|entry| refers(entry, secret));
    account.secrets.as_ref().filter(|list| names_it(list))?;
    let mut next = account.clone();
    next.secrets.iter_mut().for_each(|list| list.retain(|entry| !refers(entry, secret)));
    Some(next)
}

fn refers(entry: &k8s_openapi::api::core::v1::ObjectReference, secret: &str) -> bool {
    entry.name.as_deref() == Some(secret)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Plain;

    impl TokenSigner for Plain {
        fn sign(&self, token: &AccountToken<'_>) -> Result<String, String> {
            Ok(format!("{}/{}/{}/{}", token.namespace, token.secret, token.account, token.uid))
        }
    }

    fn secret(annotations: serde_json::Value, data: serde_json::Value) -> Secret {
        let metadata = json!({"name": "s", "namespace": "n", "annotations": annotations});
        serde_json::from_value(json!({"metadata": metadata, "type": TYPE, "data": data})).unwrap()
    }

    fn account() -> ServiceAccount {
        serde_json::from_value(json!({"metadata": {"name": "a", "namespace": "n", "uid": "u"},
            "secrets": [{"name": "s"}, {"name": "other"}]}))
        .unwrap()
    }

    #[test]
    fn a_secret_is_filled_once() {
        let empty = secret(json!({ACCOUNT: "a"}), json!(null));
        assert_eq!(account_of(&empty), "a");
        let Step::Fill(full) = plan(&empty, Some(&account()), "ca", &Plain).unwrap() else { panic!("not filled") };
        let data = full.data.clone().unwrap();
        assert_eq!(data["token"].0, b"n/s/a/u");
        assert_eq!((&data["namespace"].0[..], &data["ca.crt"].0[..]), (&b"n"[..], &b"ca"[..]));
        assert_eq!(meta::annotation(&full.metadata, ACCOUNT_UID), Some("u"));
        assert_eq!(plan(&full, Some(&account()), "ca", &Plain), Ok(Step::Done));
        let Step::Fill(renewed) = plan(&full, Some(&account()), "new", &Plain).unwrap() else { panic!("old ca.crt") };
        assert_eq!(renewed.data.unwrap()["token"].0, b"n/s/a/u", "the token stays");
    }

    #[test]
    fn a_secret_goes_with_its_account() {
        let of_other = secret(json!({ACCOUNT: "a", ACCOUNT_UID: "former"}), json!({}));
        assert_eq!(plan(&of_other, Some(&account()), "ca", &Plain), Ok(Step::Remove));
        assert_eq!(plan(&secret(json!({ACCOUNT: "a"}), json!({})), None, "ca", &Plain), Ok(Step::Remove));
    }

    #[test]
    fn an_account_forgets_a_secret_that_is_gone() {
        let names = without(&account(), "s").unwrap().secrets.unwrap();
        assert_eq!(names.len(), 1);
        assert_eq!(without(&account(), "t"), None);
    }
}
