//! Certificates for requests, signed with the cluster's authority.
//!
//! Follows `PermissiveSigningPolicy` of kube-controller-manager's signer: subject, names and key as asked for, usages as the
//! request object says, never a certificate that signs others.

use std::time::Duration;

use base64::Engine as _;
use jiff::Timestamp;
use rcgen::{KeyPair, SigningKey as _};
use ring::rand::SecureRandom as _;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::extensions::ParsedExtension;

use super::der::{self, OCTETS, TRUE, integer, named_bits, oid, sequence, tagged};
use super::request::Request;
use crate::pki::Pair;

/// Certificates start so long ago, for clients whose clock is a little behind.
const BACKDATE: Duration = Duration::from_secs(5 * 60);
/// Lives shorter than this are not cut by [`BACKDATE`].
const SHORT: Duration = Duration::from_secs(8 * 3600);
/// The shortest life that is signed.
const SHORTEST: Duration = Duration::from_secs(600);
/// The longest, and the life where none is asked for (kube-controller-manager's `--cluster-signing-duration`).
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// Signs certificates.
pub struct Authority {
    key: KeyPair,
    algorithm: Vec<u8>,
    issuer: Vec<u8>,
    key_id: Option<Vec<u8>>,
    ends: Timestamp,
}

/// Why a certificate is not signed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The authority's certificate or key cannot be used.
    #[error("the certificate authority cannot be used: {0}")]
    Authority(String),
    /// The request names usages that there are not.
    #[error("unrecognized usage values: {0:?}")]
    Usages(Vec<String>),
    /// The system gave no randomness, or signing failed.
    #[error("signing failed: {0}")]
    Signing(String),
}

impl Authority {
    /// An authority from its certificate and key.
    ///
    /// # Errors
    /// When they do not read, or the key is of a kind that cannot sign.
    pub fn new(ca: &Pair) -> Result<Self, AuthorityError> {
        let broken = |error: &dyn std::fmt::Display| AuthorityError::Authority(error.to_string());
        let key = KeyPair::from_pem(&ca.key).map_err(|e| broken(&e))?;
        let algorithm = algorithm(&key).ok_or_else(|| broken(&"its key is neither RSA, P-256, P-384 nor Ed25519"))?;
        let certificate = CertificateDer::from_pem_slice(ca.certificate.as_bytes()).map_err(|e| broken(&e))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).map_err(|e| broken(&e))?;
        let key_id = parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        });
        let ends = Timestamp::from_second(parsed.validity().not_after.timestamp()).map_err(|e| broken(&e))?;
        Ok(Self { key, algorithm, issuer: parsed.subject().as_raw().to_vec(), key_id, ends })
    }

    /// Signs what a request asks for, as PEM text. `usages` have the names of `spec.usages`; `seconds` is
    /// `spec.expirationSeconds`, held between ten minutes and a year.
    ///
    /// # Errors
    /// When a usage is not known, or signing fails.
    pub fn sign(
        &self,
        request: &Request,
        usages: &[String],
        seconds: Option<i64>,
        now: Timestamp,
    ) -> Result<String, AuthorityError> {
        let mut serial = [0_u8; 16];
        let random = ring::rand::SystemRandom::new().fill(&mut serial);
        random.map_err(|_| AuthorityError::Signing("the system gave no randomness".to_owned()))?;
        let (starts, ends) = self.life(seconds, now)?;
        let body = sequence(&[
            &tagged(0xa0, &integer(&[2])),
            &integer(&serial),
            &self.algorithm,
            &self.issuer,
            &sequence(&[&der::time(starts), &der::time(ends)]),
            &request.subject,
            &request.public_key,
            &tagged(0xa3, &self.extensions(request, usages)?),
        ]);
        let signature = self.key.sign(&body).map_err(|e| AuthorityError::Signing(e.to_string()))?;
        Ok(pem("CERTIFICATE", &sequence(&[&body, &self.algorithm, &der::bits(&signature)])))
    }

    fn life(&self, seconds: Option<i64>, now: Timestamp) -> Result<(Timestamp, Timestamp), AuthorityError> {
        let asked = seconds.map(|seconds| Duration::from_secs(seconds.max(0).unsigned_abs()));
        let life = asked.unwrap_or(LONGEST).clamp(SHORTEST, LONGEST);
        let cut = if life < SHORT { Duration::ZERO } else { BACKDATE };
        let wrong = |error: jiff::Error| AuthorityError::Signing(error.to_string());
        let starts = now.checked_sub(BACKDATE).map_err(wrong)?;
        Ok((starts, now.checked_add(life - cut).map_err(wrong)?.min(self.ends)))
    }

    fn extensions(&self, request: &Request, usages: &[String]) -> Result<Vec<u8>, AuthorityError> {
        let (bits, purposes) = split(usages)?;
        let mut all = Vec::new();
        let mut add = |id: u64, critical: bool, value: &[u8]| {
            let flag: &[u8] = if critical { &TRUE } else { &[] };
            all.extend(sequence(&[&oid(&[2, 5, 29, id]), flag, &tagged(OCTETS, value)]));
        };
        if bits != 0 {
            add(15, true, &named_bits(bits));
        }
        if !purposes.is_empty() {
            add(37, false, &tagged(der::SEQUENCE, &purposes.concat()));
        }
        // No authority over others.
        add(19, true, &sequence(&[]));
        if let Some(id) = &self.key_id {
            add(35, false, &sequence(&[&tagged(0x80, id)]));
        }
        let names = alternative_names(request);
        if !names.is_empty() {
            // Critical where it is all that names the subject (RFC 5280, 4.2.1.6).
            let nameless = request.subject == sequence(&[]);
            add(17, nameless, &tagged(der::SEQUENCE, &names));
        }
        Ok(tagged(der::SEQUENCE, &all))
    }
}

fn alternative_names(request: &Request) -> Vec<u8> {
    let mut names = Vec::new();
    request.emails.iter().for_each(|name| names.extend(tagged(0x81, name.as_bytes())));
    request.dns.iter().for_each(|name| names.extend(tagged(0x82, name.as_bytes())));
    request.uris.iter().for_each(|name| names.extend(tagged(0x86, name.as_bytes())));
    for address in &request.addresses {
        let bytes = match address {
            std::net::IpAddr::V4(v4) => v4.octets().to_vec(),
            std::net::IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        names.extend(tagged(0x87, &bytes));
    }
    names
}

/// The `AlgorithmIdentifier` of what a key signs with.
fn algorithm(key: &KeyPair) -> Option<Vec<u8>> {
    let used = key.algorithm();
    let known = [
        (&rcgen::PKCS_ECDSA_P256_SHA256, &[1, 2, 840, 10045, 4, 3, 2][..], false),
        (&rcgen::PKCS_ECDSA_P384_SHA384, &[1, 2, 840, 10045, 4, 3, 3][..], false),
        (&rcgen::PKCS_ED25519, &[1, 3, 101, 112][..], false),
        (&rcgen::PKCS_RSA_SHA256, &[1, 2, 840, 113_549, 1, 1, 11][..], true),
    ];
    let (_, arcs, null) = known.into_iter().find(|(of, ..)| *of == used)?;
    Some(if null { sequence(&[&oid(arcs), &[5, 0]]) } else { sequence(&[&oid(arcs)]) })
}

/// Usages as bits of the key usage and as identifiers of purposes.
fn split(usages: &[String]) -> Result<(u16, Vec<Vec<u8>>), AuthorityError> {
    let (mut bits, mut purposes, mut unknown) = (0, Vec::new(), Vec::new());
    for usage in usages {
        match (bit(usage), purpose(usage)) {
            (Some(bit), _) => bits |= 1 << bit,
            (None, Some(purpose)) if !purposes.contains(&purpose) => purposes.push(purpose),
            (None, Some(_)) => {}
            (None, None) => unknown.push(usage.clone()),
        }
    }
    if unknown.is_empty() { Ok((bits, purposes)) } else { Err(AuthorityError::Usages(unknown)) }
}

/// RFC 5280, 4.2.1.3.
fn bit(usage: &str) -> Option<u16> {
    Some(match usage {
        "signing" | "digital signature" => 0,
        "content commitment" => 1,
        "key encipherment" => 2,
        "data encipherment" => 3,
        "key agreement" => 4,
        "cert sign" => 5,
        "crl sign" => 6,
        "encipher only" => 7,
        "decipher only" => 8,
        _ => return None,
    })
}

/// RFC 5280, 4.2.1.12, and the older ones that Go knows.
fn purpose(usage: &str) -> Option<Vec<u8>> {
    let pkix = |last: u64| oid(&[1, 3, 6, 1, 5, 5, 7, 3, last]);
    Some(match usage {
        "any" => oid(&[2, 5, 29, 37, 0]),
        "server auth" => pkix(1),
        "client auth" => pkix(2),
        "code signing" => pkix(3),
        "email protection" | "s/mime" => pkix(4),
        "ipsec end system" => pkix(5),
        "ipsec tunnel" => pkix(6),
        "ipsec user" => pkix(7),
        "timestamping" => pkix(8),
        "ocsp signing" => pkix(9),
        "microsoft sgc" => oid(&[1, 3, 6, 1, 4, 1, 311, 10, 3, 3]),
        "netscape sgc" => oid(&[2, 16, 840, 1, 113_730, 4, 1]),
        _ => return None,
    })
}

/// DER as PEM text (RFC 7468).
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use orc_core::env::Clock;
    use rcgen::{CertificateParams, DnType};

    #[test]
    fn a_signed_certificate_says_what_was_asked_for() {
        let ca = crate::pki::make_ca("test-ca", &Clock::wall()).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "alice");
        let request = params.serialize_request(&key).unwrap().pem().unwrap();
        let request = Request::parse(request.as_bytes()).unwrap();
        let authority = Authority::new(&ca).unwrap();
        let usages = ["client auth", "digital signature"].map(str::to_owned);
        let now = Clock::wall().now();
        let text = authority.sign(&request, &usages, Some(3600), now).unwrap();
        let der = CertificateDer::from_pem_slice(text.as_bytes()).unwrap();
        let (_, signed) = x509_parser::parse_x509_certificate(&der).unwrap();
        let ca_der = CertificateDer::from_pem_slice(ca.certificate.as_bytes()).unwrap();
        let (_, ca) = x509_parser::parse_x509_certificate(&ca_der).unwrap();
        signed.verify_signature(Some(ca.public_key())).unwrap();
        assert_eq!(signed.subject().iter_common_name().next().unwrap().as_str().unwrap(), "alice");
        assert_eq!(signed.validity().not_after.timestamp(), now.as_second() + 3600);
        assert!(signed.key_usage().unwrap().unwrap().value.digital_signature());
        assert!(signed.extended_key_usage().unwrap().unwrap().value.client_auth);
        assert!(!signed.is_ca());
        assert_eq!(signed.subject_alternative_name().unwrap().unwrap().value.general_names.len(), 1);
        assert_eq!(signed.public_key().raw, request.public_key);
        let unknown = authority.sign(&request, &["flying".to_owned()], None, now).unwrap_err();
        assert_eq!(unknown, AuthorityError::Usages(vec!["flying".to_owned()]));
    }
}
