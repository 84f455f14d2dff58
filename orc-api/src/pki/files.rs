//! The certificates of a cluster in its data folder.

use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use orc_core::ApiError;
use orc_core::env::Clock;
use rcgen::KeyPair;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use super::{Leaf, Pair, make_ca, sign};
use crate::aggregation::FrontProxy;

/// The keys and certificates of a cluster.
#[derive(Clone, Debug)]
pub struct Pki {
    /// Signs everything.
    pub ca: Pair,
    /// The API server's.
    pub server: Pair,
    /// An administrator's (`system:masters`).
    pub admin: Pair,
    /// What other API servers know this one by.
    pub front_proxy: FrontProxy,
    /// PKCS#8 of the key that signs service account tokens.
    pub service_account_key: Vec<u8>,
}

/// Why the certificates cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Making or reading a certificate failed.
    #[error("certificates in {folder}: {source}; move the folder away to have new ones made")]
    Certificate {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: ApiError,
    },
}

impl Pki {
    /// Reads the certificates of a folder, and makes what is missing. The server's certificate is made anew at every start,
    /// for the names and addresses of that start.
    ///
    /// # Errors
    /// When files cannot be read or written, or do not hold what they should.
    pub fn open(folder: &Path, names: &[String], addresses: &[IpAddr], clock: &Clock) -> Result<Self, PkiError> {
        fs::create_dir_all(folder).map_err(|source| PkiError::File { path: folder.to_owned(), source })?;
        // Several servers may share the folder and start at once; the first one makes what is missing.
        let _lock = lock(folder)?;
        let broken = |source| PkiError::Certificate { folder: folder.to_owned(), source };
        let ca = match read_pair(folder, "ca")? {
            Some(pair) => pair,
            None => write_pair(folder, "ca", make_ca("orc-ca", clock).map_err(broken)?)?,
        };
        let server = sign(&ca, &Leaf::Server { names, addresses }, clock).map_err(broken)?;
        let admin =
            sign(&ca, &Leaf::Client { user: "system:admin", groups: &["system:masters"] }, clock).map_err(broken)?;
        let front_ca = match read_pair(folder, "front-proxy-ca")? {
            Some(pair) => pair,
            None => write_pair(folder, "front-proxy-ca", make_ca("orc-front-proxy-ca", clock).map_err(broken)?)?,
        };
        let front_proxy = FrontProxy::of(front_ca, clock).map_err(broken)?;
        let service_account_key = service_account_key(folder)?;
        Ok(Self { ca, server, admin, front_proxy, service_account_key })
    }
}

/// Held while the value lives.
fn lock(folder: &Path) -> Result<fs::File, PkiError> {
    let path = folder.join("lock");
    let take = || {
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path)?;
        file.lock().map(|()| file)
    };
    take().map_err(|source| PkiError::File { path, source })
}

impl Pki {
    /// New certificates and keys that are kept nowhere.
    ///
    /// # Errors
    /// When making them fails.
    pub fn in_memory(names: &[String], addresses: &[IpAddr], clock: &Clock) -> Result<Self, ApiError> {
        let ca = make_ca("orc-ca", clock)?;
        let server = sign(&ca, &Leaf::Server { names, addresses }, clock)?;
        let admin = sign(&ca, &Leaf::Client { user: "system:admin", groups: &["system:masters"] }, clock)?;
        let front_proxy = FrontProxy::new(clock)?;
        let service_account_key = KeyPair::generate().map_err(ApiError::internal)?.serialize_der();
        Ok(Self { ca, server, admin, front_proxy, service_account_key })
    }
}

fn service_account_key(folder: &Path) -> Result<Vec<u8>, PkiError> {
    let broken = |e: String| PkiError::Certificate { folder: folder.to_owned(), source: ApiError::internal(e) };
    let path = folder.join("service-account.key");
    if !path.exists() {
        let key = KeyPair::generate().map_err(|e| broken(e.to_string()))?;
        write(&path, &key.serialize_pem())?;
    }
    let text = read(&path)?;
    match PrivateKeyDer::from_pem_slice(text.as_bytes()) {
        Ok(PrivateKeyDer::Pkcs8(key)) => Ok(key.secret_pkcs8_der().to_vec()),
        Ok(_) => Err(broken("service-account.key is not PKCS#8".to_owned())),
        Err(e) => Err(broken(format!("service-account.key: {e}"))),
    }
}

fn read_pair(folder: &Path, name: &str) -> Result<Option<Pair>, PkiError> {
    let (certificate, key) = (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
    if !certificate.exists() || !key.exists() {
        return Ok(None);
    }
    Ok(Some(Pair { certificate: read(&certificate)?, key: read(&key)? }))
}

fn write_pair(folder: &Path, name: &str, pair: Pair) -> Result<Pair, PkiError> {
    write(&folder.join(format!("{name}.key")), &pair.key)?;
    write(&folder.join(format!("{name}.crt")), &pair.certificate)?;
    Ok(pair)
}

fn read(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(|source| PkiError::File { path: path.to_owned(), source })
}

/// Writes a file of mode 0600 whole or not at all.
fn write(path: &Path, text: &str) -> Result<(), PkiError> {
    let fresh = path.with_extension("new");
    let attempt = || {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    attempt().map_err(|source| PkiError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_folder_keeps_its_authority_and_its_keys_private() {
        let folder = tempfile::tempdir().unwrap();
        let open = || {
            Pki::open(folder.path(), &["localhost".into()], &["127.0.0.1".parse().unwrap()], &Clock::wall()).unwrap()
        };
        let (first, second) = (open(), open());
        assert_eq!(first.ca.certificate, second.ca.certificate);
        assert_eq!(first.service_account_key, second.service_account_key);
        let mode = fs::metadata(folder.path().join("ca.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
