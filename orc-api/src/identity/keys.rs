//! Public keys in the form that others verify tokens with (RFC 7517), and the discovery document that leads to them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

/// What stands before the point in the `SubjectPublicKeyInfo` of a P-256 key (RFC 5480).
const P256_INFO: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The id of a P-256 key, given as an uncompressed point: the sum of its `SubjectPublicKeyInfo`, as kube-apiserver makes it.
pub(super) fn id(point: &[u8]) -> String {
    BASE64.encode(digest(&SHA256, &[&P256_INFO, point].concat()))
}

/// A P-256 key, given as an uncompressed point (a byte 4, then 32 bytes a coordinate), as a JSON Web Key.
pub(super) fn jwk(point: &[u8], id: &str) -> Value {
    let (x, y) = point.get(1..).unwrap_or_default().split_at(point.len().saturating_sub(1) / 2);
    json!({"use": "sig", "kty": "EC", "kid": id, "crv": "P-256", "alg": "ES256", "x": BASE64.encode(x), "y": BASE64.encode(y)})
}

/// The OpenID Connect discovery document of an issuer.
pub(crate) fn configuration(issuer: &str, keys: &str) -> Value {
    json!({"issuer": issuer, "jwks_uri": keys, "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"]})
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};

    #[test]
    fn a_key_reads_back_from_its_published_form() {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        let point = pair.public_key().as_ref();
        let key = jwk(point, &id(point));
        let half = |name: &str| BASE64.decode(key[name].as_str().unwrap()).unwrap();
        assert_eq!([vec![4], half("x"), half("y")].concat(), point);
        // The id is the sum of what a certificate would carry.
        let rcgen = rcgen::KeyPair::try_from(pkcs8.as_ref()).unwrap();
        let info = rcgen::PublicKeyData::subject_public_key_info(&rcgen);
        assert_eq!(key["kid"], BASE64.encode(digest(&SHA256, &info)));
    }
}
