//! Tokens of secrets of type `kubernetes.io/service-account-token`: without an end, good while the secret holds them.
//!
//! Kubernetes has made none of its own accord since 1.24; users still make such secrets, for clients that cannot fetch a
//! token when they need one. Claims and checks are those of `pkg/serviceaccount/legacy.go` of upstream. Unlike there, the
//! day of the last use is not noted on the secret.

use orc_core::{Doc, ObjectKey, ResourceId};
use orc_store::client::Freshness;
use serde::{Deserialize, Serialize};

use super::service_account::{Ref, ServiceAccountTokens};
use super::{AUTHENTICATED, Identity};

/// The issuer of these tokens.
pub const ISSUER: &str = "kubernetes/serviceaccount";
/// The label of a secret whose token is refused since that day, though the secret is still there.
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";

/// The claims of such a token.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LegacyClaims {
    /// Issuer.
    pub iss: String,
    /// `system:serviceaccount:<namespace>:<name>`.
    pub sub: String,
    /// The namespace of account and secret.
    #[serde(rename = "kubernetes.io/serviceaccount/namespace")]
    pub namespace: String,
    /// The secret that holds the token.
    #[serde(rename = "kubernetes.io/serviceaccount/secret.name")]
    pub secret: String,
    /// The account.
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.name")]
    pub account: String,
    /// The account's uid.
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.uid")]
    pub uid: String,
}

impl LegacyClaims {
    /// The claims for an account's token in a secret.
    pub fn new(namespace: &str, secret: &str, account: &str, uid: &str) -> Self {
        Self {
            iss: ISSUER.to_owned(),
            sub: format!("system:serviceaccount:{namespace}:{account}"),
            namespace: namespace.to_owned(),
            secret: secret.to_owned(),
            account: account.to_owned(),
            uid: uid.to_owned(),
        }
    }

    /// Whether the claims are the ones that [`LegacyClaims::new`] makes, with nothing left out.
    pub(super) fn are_whole(&self) -> bool {
        let named = [&self.namespace, &self.secret, &self.account, &self.uid].iter().all(|text| !text.is_empty());
        named && *self == Self::new(&self.namespace, &self.secret, &self.account, &self.uid)
    }

    fn identity(&self) -> Identity {
        Identity {
            user: self.sub.clone(),
            uid: self.uid.clone(),
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{}", self.namespace),
                AUTHENTICATED.to_owned(),
            ],
            extra: Default::default(),
        }
    }
}

impl ServiceAccountTokens {
    /// The identity of a token of a secret. Such tokens name no audience and are meant for the API alone.
    pub(super) async fn authenticate_legacy(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Option<(Identity, Vec<String>)> {
        let claims = self.signer.verify_legacy(token)?;
        let own = self.signer.audiences();
        let common: Vec<String> = audiences.iter().filter(|wanted| own.contains(wanted)).cloned().collect();
        if common.is_empty() {
            return None;
        }
        let account = Ref { name: claims.account.clone(), uid: claims.uid.clone() };
        let good =
            self.is_held(&claims, token).await && self.is_alive("serviceaccounts", &claims.namespace, &account).await;
        good.then(|| (claims.identity(), common))
    }

    /// Whether the secret is there, is not going, and holds the token.
    async fn is_held(&self, claims: &LegacyClaims, token: &str) -> bool {
        let key =
            ObjectKey::namespaced(ResourceId::new("", "secrets"), claims.namespace.as_str(), claims.secret.as_str());
        let Ok(Some(stored)) = self.store.get(&key, Freshness::Latest).await else { return false };
        stored.to_doc().is_ok_and(|secret| holds(&secret, token))
    }
}

fn holds(secret: &Doc, token: &str) -> bool {
    use base64::Engine as _;
    let data = secret.str_at(&["data", "token"]).unwrap_or_default();
    let held = base64::engine::general_purpose::STANDARD.decode(data).unwrap_or_default();
    let going = secret.str_at(&["metadata", "deletionTimestamp"]).is_some();
    let refused = secret.str_at(&["metadata", "labels", INVALID_SINCE]).is_some();
    // The signature was checked: whoever holds the token knows it, so the comparison tells nothing by its time.
    held == token.as_bytes() && !going && !refused
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_are_as_upstream_writes_them() {
        let claims = LegacyClaims::new("n", "s", "a", "u");
        let written = serde_json::to_value(&claims).unwrap();
        assert_eq!(
            written,
            json!({"iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:n:a",
                "kubernetes.io/serviceaccount/namespace": "n", "kubernetes.io/serviceaccount/secret.name": "s",
                "kubernetes.io/serviceaccount/service-account.name": "a", "kubernetes.io/serviceaccount/service-account.uid": "u"})
        );
        assert!(claims.are_whole());
        assert!(!LegacyClaims { sub: "system:serviceaccount:n:b".into(), ..claims.clone() }.are_whole());
        assert!(!LegacyClaims { uid: String::new(), ..claims }.are_whole());
    }

    #[test]
    fn a_token_is_good_while_its_secret_holds_it() {
        let data = base64::engine::general_purpose::STANDARD.encode("token");
        let mut secret = Doc::from_value(json!({"metadata": {"name": "s"}, "data": {"token": data}})).unwrap();
        assert!(holds(&secret, "token") && !holds(&secret, "older"));
        let mut going = secret.clone();
        going.set(&["metadata", "deletionTimestamp"], "2024-01-01T00:00:00Z");
        assert!(!holds(&going, "token"));
        secret.set(&["metadata", "labels"], json!({INVALID_SINCE: "2024-01-01"}));
        assert!(!holds(&secret, "token"));
    }
}
