//! Certificates for an etcd in tests.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

/// Writes a CA, and certificates for the server and a client.
pub(super) fn write(folder: &Path) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| format!("no certificates for etcd: {error}");
    let key = KeyPair::generate().map_err(|error| text(&error))?;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params.distinguished_name.push(DnType::CommonName, "test CA");
    let ca = params.self_signed(&key).map_err(|error| text(&error))?;
    fs::write(folder.join("ca.pem"), ca.pem()).map_err(|error| text(&error))?;
    let issuer = Issuer::new(params, key);
    for name in ["server", "client"] {
        let key = KeyPair::generate().map_err(|error| text(&error))?;
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).map_err(|error| text(&error))?;
        params.distinguished_name.push(DnType::CommonName, name);
        // Both uses: etcd calls itself with the server's.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let signed = params.signed_by(&key, &issuer).map_err(|error| text(&error))?;
        fs::write(folder.join(format!("{name}.pem")), signed.pem()).map_err(|error| text(&error))?;
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).map_err(|error| text(&error))?;
    }
    Ok(())
}
