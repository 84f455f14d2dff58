//! Service account tokens: signed JWTs (RFC 7519, ES256) that are bound to an account and, mostly, to a pod.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use orc_core::env::Clock;
use orc_core::{ApiError, ObjectKey, ResourceId};
use orc_store::client::Freshness;
use orc_store::{Store, Stored};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use serde::{Deserialize, Serialize};

use super::legacy::LegacyClaims;
use super::{AUTHENTICATED, Identity, TokenAuthenticator, keys};

/// The issuer, and the audience of the API itself, where no other is given.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// The claims of a token, in Kubernetes' form.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// Audiences.
    pub aud: Vec<String>,
    /// Expiry, seconds since 1970.
    pub exp: i64,
    /// Issued at.
    pub iat: i64,
    /// Issuer.
    pub iss: String,
    /// Token id.
    pub jti: String,
    /// What the token is bound to.
    #[serde(rename = "kubernetes.io")]
    pub bound: Bound,
    /// Not before.
    pub nbf: i64,
    /// `system:serviceaccount:<namespace>:<name>`.
    pub sub: String,
}

/// What a token is bound to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Bound {
    /// The namespace.
    pub namespace: String,
    /// The node of the pod.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<Ref>,
    /// The pod.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pod: Option<Ref>,
    /// The secret.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub secret: Option<Ref>,
    /// The account.
    pub serviceaccount: Ref,
}

/// A name and the uid that makes it one particular object.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ref {
    /// The name.
    pub name: String,
    /// The uid.
    pub uid: String,
}

/// Signs and verifies tokens with one P-256 key.
pub struct Signer {
    key: EcdsaKeyPair,
    key_id: String,
    issuers: Vec<String>,
    random: SystemRandom,
}

impl Signer {
    /// A signer from a PKCS#8 key (see [`crate::pki`]).
    ///
    /// # Errors
    /// `InternalError` when it is not a P-256 key.
    pub fn new(pkcs8: &[u8]) -> Result<Self, ApiError> {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &random)
            .map_err(|e| ApiError::internal(format!("the service account key is not a P-256 key: {e}")))?;
        let key_id = keys::id(key.public_key().as_ref());
        Ok(Self { key, key_id, issuers: vec![ISSUER.to_owned()], random })
    }

    /// The same key under other issuers (`--service-account-issuer`): the first one signs, and all are accepted. An empty
    /// list changes nothing.
    #[must_use]
    pub fn with_issuers(mut self, issuers: Vec<String>) -> Self {
        if !issuers.is_empty() {
            self.issuers = issuers;
        }
        self
    }

    /// Who signs, which is also the audience of the API itself.
    pub fn issuer(&self) -> &str {
        self.issuers.first().map_or(ISSUER, String::as_str)
    }

    /// The audiences of tokens that the API takes: those of its issuers.
    pub fn audiences(&self) -> &[String] {
        &self.issuers
    }

    /// The public key as a JSON Web Key (RFC 7517).
    pub fn jwk(&self) -> serde_json::Value {
        keys::jwk(self.key.public_key().as_ref(), &self.key_id)
    }

    /// Signs claims.
    ///
    /// # Errors
    /// `InternalError` when the system has no randomness.
    pub fn sign(&self, claims: &Claims) -> Result<String, ApiError> {
        self.sign_body(&serde_json::to_vec(claims).map_err(ApiError::internal)?)
    }

    fn sign_body(&self, body: &[u8]) -> Result<String, ApiError> {
        let header = serde_json::json!({"alg": "ES256", "kid": self.key_id});
        let signed = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(body));
        let signature = self
            .key
            .sign(&self.random, signed.as_bytes())
            .map_err(|_| ApiError::internal("signing a token failed: the system gave no randomness"))?;
        Ok(format!("{signed}.{}", BASE64.encode(signature)))
    }

    /// The claims of a token with a valid signature, issuer and time.
    pub fn verify(&self, token: &str, now: i64) -> Option<Claims> {
        let claims: Claims = serde_json::from_slice(&self.signed(token)?).ok()?;
        (self.issuers.contains(&claims.iss) && claims.nbf <= now && now < claims.exp).then_some(claims)
    }

    /// Signs a token of a secret (see [`legacy`](super::legacy)).
    ///
    /// # Errors
    /// `InternalError` when the system has no randomness.
    pub fn sign_legacy(&self, claims: &LegacyClaims) -> Result<String, ApiError> {
        self.sign_body(&serde_json::to_vec(claims).map_err(ApiError::internal)?)
    }

    /// The claims of a token of a secret with a valid signature.
    pub fn verify_legacy(&self, token: &str) -> Option<LegacyClaims> {
        let claims: LegacyClaims = serde_json::from_slice(&self.signed(token)?).ok()?;
        claims.are_whole().then_some(claims)
    }

    /// The body of a token that was signed with this key.
    fn signed(&self, token: &str) -> Option<Vec<u8>> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, body) = signed.split_once('.')?;
        let header: serde_json::Value = serde_json::from_slice(&BASE64.decode(header).ok()?).ok()?;
        if header.get("alg")?.as_str()? != "ES256" {
            return None;
        }
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key().as_ref())
            .verify(signed.as_bytes(), &BASE64.decode(signature).ok()?)
            .ok()?;
        BASE64.decode(body).ok()
    }
}

/// Accepts tokens whose account, and pod if bound to one, still exist.
pub struct ServiceAccountTokens {
    /// Verifies signatures.
    pub signer: Arc<Signer>,
    /// Where accounts and pods are looked up.
    pub store: Arc<Store>,
    /// The time.
    pub clock: Clock,
}

impl ServiceAccountTokens {
    pub(super) async fn is_alive(&self, plural: &str, namespace: &str, to: &Ref) -> bool {
        let resource = ResourceId::new("", plural);
        let key = match plural {
            "nodes" => ObjectKey::cluster(resource, to.name.as_str()),
            _ => ObjectKey::namespaced(resource, namespace, to.name.as_str()),
        };
        let is_it = |found: Option<Arc<Stored>>| found.is_some_and(|stored| stored.head.uid == *to.uid);
        // Where the replica says no, another server may have made it a moment ago.
        is_it(self.store.peek(&key)) || self.store.get(&key, Freshness::Latest).await.is_ok_and(is_it)
    }
}

#[async_trait]
impl TokenAuthenticator for ServiceAccountTokens {
    async fn authenticate(&self, token: &str) -> Option<Identity> {
        self.authenticate_for(token, self.signer.audiences(), &[]).await.map(|(who, _)| who)
    }

    async fn authenticate_for(
        &self,
        token: &str,
        audiences: &[String],
        _: &[String],
    ) -> Option<(Identity, Vec<String>)> {
        let Some(claims) = self.signer.verify(token, self.clock.now().as_second()) else {
            return self.authenticate_legacy(token, audiences).await;
        };
        let common: Vec<String> = audiences.iter().filter(|wanted| claims.aud.contains(wanted)).cloned().collect();
        if common.is_empty() {
            return None;
        }
        let bound = &claims.bound;
        // The node of a pod goes with the pod; one that the token is bound to itself must be there.
        let node = bound.node.as_ref().filter(|_| bound.pod.is_none());
        let places = [
            ("serviceaccounts", Some(&bound.serviceaccount)),
            ("pods", bound.pod.as_ref()),
            ("secrets", bound.secret.as_ref()),
            ("nodes", node),
        ];
        for (plural, to) in places {
            if let Some(to) = to
                && !self.is_alive(plural, &bound.namespace, to).await
            {
                return None;
            }
        }
        Some((identity(&claims), common))
    }
}

fn identity(claims: &Claims) -> Identity {
    let bound = &claims.bound;
    let mut extra = std::collections::BTreeMap::new();
    extra.insert("authentication.kubernetes.io/credential-id".to_owned(), vec![format!("JTI={}", claims.jti)]);
    for (kind, to) in [("pod", &bound.pod), ("node", &bound.node)] {
        if let Some(to) = to {
            extra.insert(format!("authentication.kubernetes.io/{kind}-name"), vec![to.name.clone()]);
            extra.insert(format!("authentication.kubernetes.io/{kind}-uid"), vec![to.uid.clone()]);
        }
    }
    Identity {
        user: format!("system:serviceaccount:{}:{}", bound.namespace, bound.serviceaccount.name),
        uid: bound.serviceaccount.uid.clone(),
        groups: vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{}", bound.namespace),
            AUTHENTICATED.to_owned(),
        ],
        extra,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        let to = |name: &str| Ref { name: name.into(), uid: format!("{name}-uid") };
        let bound =
            Bound { namespace: "d".into(), node: None, pod: Some(to("p")), secret: None, serviceaccount: to("sa") };
        Claims {
            aud: vec![ISSUER.into()],
            exp: 200,
            iat: 100,
            iss: ISSUER.into(),
            jti: "j".into(),
            bound,
            nbf: 100,
            sub: "s".into(),
        }
    }

    #[test]
    fn only_untouched_tokens_in_their_time_verify() {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let signer = Signer::new(pkcs8.as_ref()).unwrap();
        let token = signer.sign(&claims()).unwrap();
        assert_eq!(signer.verify(&token, 150), Some(claims()));
        assert_eq!(signer.verify(&token, 200), None, "expired");
        assert_eq!(signer.verify(&token, 99), None, "not yet");
        let mut forged = token.into_bytes();
        let middle = forged.len() / 2;
        forged[middle] ^= 1;
        assert_eq!(String::from_utf8(forged).ok().and_then(|t| signer.verify(&t, 150)), None);
        assert_eq!(identity(&claims()).user, "system:serviceaccount:d:sa");
    }
}
