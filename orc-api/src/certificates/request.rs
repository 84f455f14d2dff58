//! What a certificate signing request (PKCS #10, RFC 2986) asks for.

use std::net::IpAddr;

use rustls_pki_types::pem::{PemObject as _, SectionKind};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;

/// A request whose signature proves that the asker holds the key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// The subject's common name.
    pub common_name: String,
    /// The subject's organizations.
    pub organizations: Vec<String>,
    /// Alternative names: DNS.
    pub dns: Vec<String>,
    /// Alternative names: addresses.
    pub addresses: Vec<IpAddr>,
    /// Alternative names: mail addresses.
    pub emails: Vec<String>,
    /// Alternative names: URIs.
    pub uris: Vec<String>,
    pub(super) subject: Vec<u8>,
    pub(super) public_key: Vec<u8>,
}

/// What is wrong with a request.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RequestError {
    /// There is no request in the text.
    #[error("PEM block type must be CERTIFICATE REQUEST")]
    Pem,
    /// It does not decode.
    #[error("x509: the certificate request does not decode: {0}")]
    Form(String),
    /// The signature does not fit the key.
    #[error("x509: the signature of the certificate request does not fit its public key")]
    Signature,
}

impl Request {
    /// Reads a request from PEM text and checks its signature.
    ///
    /// # Errors
    /// When it does not decode, or was not signed with its own key.
    pub fn parse(pem: &[u8]) -> Result<Self, RequestError> {
        let der = CertificateSigningRequestDer::from_pem_slice(pem).map_err(|_| RequestError::Pem)?;
        let form = |error: &dyn std::fmt::Display| RequestError::Form(error.to_string());
        let (_, parsed) = X509CertificationRequest::from_der(&der).map_err(|e| form(&e))?;
        parsed.verify_signature().map_err(|_| RequestError::Signature)?;
        let info = &parsed.certification_request_info;
        let texts = |names: Vec<&x509_parser::x509::AttributeTypeAndValue<'_>>| {
            names.into_iter().filter_map(|name| name.as_str().ok()).map(str::to_owned).collect::<Vec<_>>()
        };
        let mut request = Self {
            common_name: texts(info.subject.iter_common_name().collect()).pop().unwrap_or_default(),
            organizations: texts(info.subject.iter_organization().collect()),
            dns: Vec::new(),
            addresses: Vec::new(),
            emails: Vec::new(),
            uris: Vec::new(),
            subject: info.subject.as_raw().to_vec(),
            public_key: info.subject_pki.raw.to_vec(),
        };
        for extension in parsed.requested_extensions().into_iter().flatten() {
            if let ParsedExtension::SubjectAlternativeName(names) = extension {
                names.general_names.iter().for_each(|name| request.add(name));
            }
        }
        Ok(request)
    }

    fn add(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(name) => self.dns.push((*name).to_owned()),
            GeneralName::RFC822Name(name) => self.emails.push((*name).to_owned()),
            GeneralName::URI(name) => self.uris.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => {
                let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
                self.addresses.extend(v4.ok().or(v6.ok()));
            }
            _ => {}
        }
    }
}

/// Checks the text of a signed certificate: one or more blocks of certificates and nothing else.
///
/// # Errors
/// What is wrong, as kube-apiserver words it.
pub fn check_certificates(pem: &[u8]) -> Result<(), String> {
    let mut blocks = 0;
    for block in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        let Ok((kind, der)) = block else { break };
        if kind != SectionKind::Certificate {
            return Err(format!("only CERTIFICATE PEM blocks are allowed, found {:?}", label(kind)));
        }
        let der = CertificateDer::from(der);
        x509_parser::parse_x509_certificate(&der).map_err(|e| format!("x509: malformed certificate: {e}"))?;
        blocks += 1;
    }
    if blocks == 0 { Err("must contain at least one CERTIFICATE PEM block".to_owned()) } else { Ok(()) }
}

/// When a certificate (PEM) ends, in seconds since 1970; `None` when it does not read.
pub fn ends(pem: &[u8]) -> Option<i64> {
    let der = CertificateDer::from_pem_slice(pem).ok()?;
    x509_parser::parse_x509_certificate(&der).ok().map(|(_, certificate)| certificate.validity().not_after.timestamp())
}

fn label(kind: SectionKind) -> &'static str {
    match kind {
        SectionKind::PublicKey => "PUBLIC KEY",
        SectionKind::RsaPrivateKey => "RSA PRIVATE KEY",
        SectionKind::PrivateKey => "PRIVATE KEY",
        SectionKind::EcPrivateKey => "EC PRIVATE KEY",
        SectionKind::Crl => "X509 CRL",
        SectionKind::Csr => "CERTIFICATE REQUEST",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    #[test]
    fn a_request_tells_its_subject_and_names() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "system:node:n1");
        params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
        params.subject_alt_names.push(SanType::IpAddress("10.0.0.1".parse().unwrap()));
        let pem = params.serialize_request(&key).unwrap().pem().unwrap();
        let request = Request::parse(pem.as_bytes()).unwrap();
        assert_eq!(
            (request.common_name.as_str(), request.dns.as_slice()),
            ("system:node:n1", &["a.example".to_owned()][..])
        );
        assert_eq!(request.organizations, ["system:nodes"]);
        assert_eq!(request.addresses, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
        // A request for another's key.
        let mut der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec();
        let last = der.len() - 1;
        der[last] ^= 1;
        let forged = pem_of("CERTIFICATE REQUEST", &der);
        assert_eq!(Request::parse(forged.as_bytes()), Err(RequestError::Signature));
        assert_eq!(Request::parse(b"nothing"), Err(RequestError::Pem));
    }

    fn pem_of(label: &str, der: &[u8]) -> String {
        super::super::issue::pem(label, der)
    }

    #[test]
    fn only_certificates_are_certificates() {
        assert_eq!(check_certificates(b"AAAA").unwrap_err(), "must contain at least one CERTIFICATE PEM block");
        let key = KeyPair::generate().unwrap();
        let refused = check_certificates(key.serialize_pem().as_bytes()).unwrap_err();
        assert_eq!(refused, "only CERTIFICATE PEM blocks are allowed, found \"PRIVATE KEY\"");
        let own = CertificateParams::default().self_signed(&key).unwrap();
        assert_eq!(check_certificates(own.pem().as_bytes()), Ok(()));
    }
}
