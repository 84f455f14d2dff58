//! The cluster's own certificate authority and what it signs.
//!
//! Made once in the data folder and kept there; private keys have mode 0600. The CA lives for ten years, leaf
//! certificates for one; leaves that end within thirty days are made anew at start.

mod files;

use std::net::IpAddr;

use orc_core::ApiError;
use orc_core::env::Clock;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};

pub use files::{Pki, PkiError};

const CA_DAYS: i64 = 3650;
const LEAF_DAYS: i64 = 365;

/// A certificate and its private key, both as PEM text.
#[derive(Clone)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The private key (PKCS#8).
    pub key: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pair(certificate, key withheld)")
    }
}

/// Who a certificate is for.
pub enum Leaf<'a> {
    /// A user with groups.
    Client {
        /// Common name.
        user: &'a str,
        /// Organizations.
        groups: &'a [&'a str],
    },
    /// A server under these names.
    Server {
        /// DNS names.
        names: &'a [String],
        /// Addresses.
        addresses: &'a [IpAddr],
    },
}

/// Makes a certificate authority.
///
/// # Errors
/// `InternalError` when key generation fails.
pub fn make_ca(name: &str, clock: &Clock) -> Result<Pair, ApiError> {
    let key = KeyPair::generate().map_err(ApiError::internal)?;
    let mut params = dated(CA_DAYS, clock);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let certificate = params.self_signed(&key).map_err(ApiError::internal)?;
    Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// Signs a certificate with a fresh key.
///
/// # Errors
/// `InternalError` when the CA does not read back or key generation fails.
pub fn sign(ca: &Pair, leaf: &Leaf<'_>, clock: &Clock) -> Result<Pair, ApiError> {
    if let Leaf::Client { user, groups } = leaf {
        return crate::certificates::client(ca, user, groups, clock.now()).map_err(ApiError::internal);
    }
    let ca_key = KeyPair::from_pem(&ca.key).map_err(ApiError::internal)?;
    let issuer = Issuer::from_ca_cert_pem(&ca.certificate, ca_key).map_err(ApiError::internal)?;
    let key = KeyPair::generate().map_err(ApiError::internal)?;
    let mut params = dated(LEAF_DAYS, clock);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    if let Leaf::Server { names, addresses } = leaf {
        params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        for name in *names {
            let name = name.as_str().try_into().map_err(ApiError::internal)?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        params.subject_alt_names.extend(addresses.iter().map(|a| SanType::IpAddress(*a)));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    }
    let certificate = params.signed_by(&key, &issuer).map_err(ApiError::internal)?;
    Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
}

fn dated(days: i64, clock: &Clock) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let now = clock.now().as_second();
    // An hour back, for clients whose clock is a little behind.
    params.not_before = date(now - 3600);
    params.not_after = date(now + days * 86_400);
    params
}

fn date(second: i64) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(second).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}
