//! The ways to seal a value, byte for byte kube-apiserver's (`storage/value/encrypt` of the apiserver).

use aes::{Aes128, Aes192, Aes256};
use aes_gcm::aead::consts::U12;
use aes_gcm::aead::rand_core::RngCore as _;
use aes_gcm::aead::{Aead, OsRng, Payload};
use aes_gcm::{AesGcm, KeyInit as _, Nonce};
use bytes::Bytes;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockDecryptMut as _, BlockEncryptMut as _, KeyIvInit as _};
use crypto_secretbox::XSalsa20Poly1305;
use zeroize::Zeroizing;

/// What every sealed value begins with.
const SEALED: &[u8] = b"k8s:enc:";

const BLOCK: usize = 16;
const GCM_NONCE: usize = 12;
const BOX_NONCE: usize = 24;

/// How a key seals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// AES in CBC mode with PKCS#7 padding: no proof that the value is what was written.
    AesCbc,
    /// AES in GCM mode; the key of the object is authenticated as well. Random nonces: one key is good for some 200,000 writes.
    AesGcm,
    /// XSalsa20 and Poly1305.
    SecretBox,
}

impl Algorithm {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AesCbc => "aescbc",
            Self::AesGcm => "aesgcm",
            Self::SecretBox => "secretbox",
        }
    }

    /// The lengths that a key may have, in bytes.
    pub(super) fn lengths(self) -> &'static [usize] {
        match self {
            Self::SecretBox => &[32],
            _ => &[16, 24, 32],
        }
    }
}

/// A key. Its bytes are wiped when it is dropped.
pub(super) struct Key {
    pub(super) algorithm: Algorithm,
    prefix: Vec<u8>,
    secret: Zeroizing<Vec<u8>>,
}

/// One entry of the list of a resource.
pub(super) enum Provider {
    /// Values as they are.
    Identity,
    /// A key.
    Key(Key),
}

/// Why a value is not sealed or opened.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum SealError {
    #[error(
        "it was encrypted with {provider} key {key:?}, which the encryption configuration does not list for its resource; add that key below the first provider"
    )]
    Missing { provider: String, key: String },
    #[error(
        "it is not encrypted, and the encryption configuration does not list `identity` for its resource; add it below the first provider"
    )]
    Plain,
    #[error("it does not decrypt with {provider} key {key:?}: the key has another secret, or the value is damaged")]
    Wrong { provider: &'static str, key: String },
    #[error("a value cannot be encrypted: the system gives no random numbers")]
    Random,
    #[error("a value cannot be encrypted: it is too long")]
    Long,
}

impl Key {
    /// A key; its length must be one of [`Algorithm::lengths`].
    pub(super) fn new(algorithm: Algorithm, name: &str, secret: Zeroizing<Vec<u8>>) -> Self {
        Self { algorithm, prefix: format!("k8s:enc:{}:v1:{name}:", algorithm.name()).into_bytes(), secret }
    }

    fn name(&self) -> String {
        named(&self.prefix).map(|(_, name)| name).unwrap_or_default()
    }

    fn seal(&self, key: &[u8], value: &[u8]) -> Result<Bytes, SealError> {
        let mut out = self.prefix.clone();
        match self.algorithm {
            Algorithm::AesCbc => {
                let iv = random::<BLOCK>()?;
                out.extend(iv);
                out.extend(self.cbc_encrypt(&iv, value));
            }
            Algorithm::AesGcm => {
                let nonce = random::<GCM_NONCE>()?;
                out.extend(nonce);
                out.extend(self.gcm(&nonce, Payload { msg: value, aad: key }, true).ok_or(SealError::Long)?);
            }
            Algorithm::SecretBox => {
                let nonce = random::<BOX_NONCE>()?;
                let cipher = XSalsa20Poly1305::new_from_slice(&self.secret).map_err(|_| SealError::Long)?;
                out.extend(nonce);
                out.extend(cipher.encrypt(&nonce.into(), value).map_err(|_| SealError::Long)?);
            }
        }
        Ok(out.into())
    }

    /// `sealed` is without the prefix.
    fn open(&self, key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        match self.algorithm {
            Algorithm::AesCbc => {
                let (iv, rest) = sealed.split_at_checked(BLOCK)?;
                self.cbc_decrypt(iv, rest)
            }
            Algorithm::AesGcm => {
                let (nonce, rest) = sealed.split_at_checked(GCM_NONCE)?;
                self.gcm(nonce, Payload { msg: rest, aad: key }, false)
            }
            Algorithm::SecretBox => {
                let (nonce, rest) = sealed.split_at_checked(BOX_NONCE)?;
                let cipher = XSalsa20Poly1305::new_from_slice(&self.secret).ok()?;
                cipher.decrypt(nonce.into(), rest).ok()
            }
        }
    }

    fn cbc_encrypt(&self, iv: &[u8; BLOCK], value: &[u8]) -> Vec<u8> {
        let secret = self.secret.as_slice();
        let sealed =
            match secret.len() {
                16 => cbc::Encryptor::<Aes128>::new_from_slices(secret, iv)
                    .map(|c| c.encrypt_padded_vec_mut::<Pkcs7>(value)),
                24 => cbc::Encryptor::<Aes192>::new_from_slices(secret, iv)
                    .map(|c| c.encrypt_padded_vec_mut::<Pkcs7>(value)),
                _ => cbc::Encryptor::<Aes256>::new_from_slices(secret, iv)
                    .map(|c| c.encrypt_padded_vec_mut::<Pkcs7>(value)),
            };
        sealed.expect("the configuration lets no key of another length in")
    }

    fn cbc_decrypt(&self, iv: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let secret = self.secret.as_slice();
        match secret.len() {
            16 => {
                cbc::Decryptor::<Aes128>::new_from_slices(secret, iv).ok()?.decrypt_padded_vec_mut::<Pkcs7>(sealed).ok()
            }
            24 => {
                cbc::Decryptor::<Aes192>::new_from_slices(secret, iv).ok()?.decrypt_padded_vec_mut::<Pkcs7>(sealed).ok()
            }
            _ => {
                cbc::Decryptor::<Aes256>::new_from_slices(secret, iv).ok()?.decrypt_padded_vec_mut::<Pkcs7>(sealed).ok()
            }
        }
    }

    fn gcm(&self, nonce: &[u8], payload: Payload<'_, '_>, seals: bool) -> Option<Vec<u8>> {
        fn run(
            cipher: &impl Aead<NonceSize = U12>,
            nonce: &[u8],
            payload: Payload<'_, '_>,
            seals: bool,
        ) -> Option<Vec<u8>> {
            let nonce = Nonce::from_slice(nonce);
            if seals { cipher.encrypt(nonce, payload).ok() } else { cipher.decrypt(nonce, payload).ok() }
        }
        let secret = self.secret.as_slice();
        match secret.len() {
            16 => run(&AesGcm::<Aes128, U12>::new_from_slice(secret).ok()?, nonce, payload, seals),
            24 => run(&AesGcm::<Aes192, U12>::new_from_slice(secret).ok()?, nonce, payload, seals),
            _ => run(&AesGcm::<Aes256, U12>::new_from_slice(secret).ok()?, nonce, payload, seals),
        }
    }
}

fn random<const N: usize>() -> Result<[u8; N], SealError> {
    let mut bytes = [0; N];
    OsRng.try_fill_bytes(&mut bytes).map_err(|_| SealError::Random)?;
    Ok(bytes)
}

/// Provider and key of a sealed value, by its envelope.
fn named(value: &[u8]) -> Option<(String, String)> {
    let head = &value[..value.len().min(256)];
    let text = String::from_utf8_lossy(head.strip_prefix(SEALED)?).into_owned();
    let mut parts = text.splitn(4, ':');
    let (provider, _version, name, _) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    Some((provider.to_owned(), name.to_owned()))
}

/// The providers of a resource: the first writes, any reads.
pub(super) struct Providers(pub(super) Vec<Provider>);

impl Providers {
    /// Seals a value; `key` is where it is kept.
    pub(super) fn seal(&self, key: &[u8], value: Bytes) -> Result<Bytes, SealError> {
        match self.0.first() {
            Some(Provider::Key(own)) => own.seal(key, &value),
            _ => Ok(value),
        }
    }

    /// Opens a value that any of the providers sealed.
    pub(super) fn open(&self, key: &[u8], value: &Bytes) -> Result<Bytes, SealError> {
        let sealed = value.starts_with(SEALED);
        for provider in &self.0 {
            match provider {
                Provider::Identity if !sealed => return Ok(value.clone()),
                Provider::Key(own) if value.starts_with(&own.prefix) => {
                    let wrong = || SealError::Wrong { provider: own.algorithm.name(), key: own.name() };
                    return own.open(key, &value[own.prefix.len()..]).map(Bytes::from).ok_or_else(wrong);
                }
                _ => {}
            }
        }
        Err(match named(value) {
            Some((provider, key)) => SealError::Missing { provider, key },
            None => SealError::Plain,
        })
    }

    /// Whether the first provider would write a value otherwise.
    pub(super) fn is_stale(&self, value: &[u8]) -> bool {
        match self.0.first() {
            Some(Provider::Key(own)) => !value.starts_with(&own.prefix),
            _ => value.starts_with(SEALED),
        }
    }
}
