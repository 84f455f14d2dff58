//! The file: an `EncryptionConfiguration` of `apiserver.config.k8s.io/v1`.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::provider::{Algorithm, Key, Provider, Providers};

/// Why a file is refused. The texts name the field and never a secret.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum EncryptionConfigError {
    /// It is no such document.
    #[error("the encryption configuration does not read: {0}")]
    Read(String),
    /// A field is wrong.
    #[error("the encryption configuration: {field}: {why}")]
    Field {
        /// Its path.
        field: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Which resources are encrypted with which keys.
pub struct EncryptionConfig {
    /// By resource (`secrets`, `deployments.apps`), by group (`*.apps`, `*.` for the core group), or `*.*`.
    rules: BTreeMap<String, Arc<Providers>>,
    plain: Arc<Providers>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: String,
    kind: String,
    #[serde(default)]
    resources: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    providers: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    identity: Option<serde_json::Value>,
    aescbc: Option<Keys>,
    aesgcm: Option<Keys>,
    secretbox: Option<Keys>,
    kms: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(default)]
    keys: Vec<NamedKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedKey {
    name: String,
    secret: Zeroizing<String>,
}

impl EncryptionConfig {
    /// Reads a file's text, YAML or JSON.
    ///
    /// # Errors
    /// When it does not read, names a provider that is not built, or has keys of a wrong length.
    pub fn parse(text: &str) -> Result<Self, EncryptionConfigError> {
        // The parser's own message quotes the text, which has keys in it.
        let file: File = serde_saphyr::from_str(text).map_err(|_| {
            EncryptionConfigError::Read(
                "it is not an EncryptionConfiguration in YAML, or has a field that there is not".to_owned(),
            )
        })?;
        if file.api_version != "apiserver.config.k8s.io/v1" || file.kind != "EncryptionConfiguration" {
            let found = format!(
                "it is {} {}, not apiserver.config.k8s.io/v1 EncryptionConfiguration",
                file.api_version, file.kind
            );
            return Err(EncryptionConfigError::Read(found));
        }
        if file.resources.is_empty() {
            return Err(wrong("resources", "required: at least one entry"));
        }
        let mut rules = BTreeMap::new();
        for (at, rule) in file.resources.iter().enumerate() {
            let path = format!("resources[{at}]");
            let providers = Arc::new(providers(&rule.providers, &path)?);
            if rule.resources.is_empty() {
                return Err(wrong(&format!("{path}.resources"), "required: at least one resource"));
            }
            for name in &rule.resources {
                check_resource(name, &format!("{path}.resources"))?;
                if covers(&rules, name) {
                    let why = format!(
                        "{name:?} is covered by an entry before, which is used for it: take it out or put it first"
                    );
                    return Err(wrong(&format!("{path}.resources"), &why));
                }
                rules.insert(name.clone(), providers.clone());
            }
        }
        Ok(Self { rules, plain: Arc::new(Providers(vec![Provider::Identity])) })
    }

    /// The providers of a resource (`deployments.apps`); plain where the file says nothing.
    pub(super) fn providers(&self, resource: &str) -> &Providers {
        let group = resource.split_once('.').map_or("", |(_, group)| group);
        let rule = self.rules.get(resource).or_else(|| self.rules.get(&format!("*.{group}")));
        rule.or_else(|| self.rules.get("*.*")).unwrap_or(&self.plain)
    }
}

/// The resource in a raw key.
pub(super) fn resource_of(key: &[u8]) -> &str {
    let text = key.strip_prefix(b"/").unwrap_or(key);
    let end = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
    std::str::from_utf8(&text[..end]).unwrap_or_default()
}

fn wrong(field: &str, why: &str) -> EncryptionConfigError {
    EncryptionConfigError::Field { field: field.to_owned(), why: why.to_owned() }
}

fn covers(rules: &BTreeMap<String, Arc<Providers>>, name: &str) -> bool {
    let group = name.split_once('.').map_or("", |(_, group)| group);
    rules.contains_key(name) || rules.contains_key("*.*") || rules.contains_key(&format!("*.{group}"))
}

fn check_resource(name: &str, path: &str) -> Result<(), EncryptionConfigError> {
    let (resource, group) = name.split_once('.').unwrap_or((name, ""));
    if name == "*" || resource.is_empty() || name.contains('/') {
        return Err(wrong(
            path,
            &format!("{name:?} is no resource: use `secrets`, `deployments.apps`, `*.apps`, `*.` or `*.*`"),
        ));
    }
    if resource.contains('*') && resource != "*" || group.contains('*') && name != "*.*" {
        return Err(wrong(
            path,
            &format!("{name:?}: a wildcard stands for all resources of a group, or `*.*` for everything"),
        ));
    }
    Ok(())
}

fn providers(entries: &[Entry], path: &str) -> Result<Providers, EncryptionConfigError> {
    let mut found = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        let path = format!("{path}.providers[{at}]");
        if entry.kms.is_some() {
            return Err(wrong(
                &format!("{path}.kms"),
                "key management services are not built; use secretbox, aesgcm or aescbc",
            ));
        }
        let keyed = [
            (Algorithm::AesCbc, &entry.aescbc),
            (Algorithm::AesGcm, &entry.aesgcm),
            (Algorithm::SecretBox, &entry.secretbox),
        ];
        let given = keyed.iter().filter(|(_, keys)| keys.is_some()).count() + usize::from(entry.identity.is_some());
        if given != 1 {
            return Err(wrong(&path, "exactly one of aescbc, aesgcm, secretbox, identity must be given"));
        }
        if entry.identity.is_some() {
            found.push(Provider::Identity);
        }
        for (algorithm, keys) in keyed {
            if let Some(keys) = keys {
                read_keys(algorithm, keys, &format!("{path}.{}.keys", algorithm.name()), &mut found)?;
            }
        }
    }
    if found.is_empty() {
        return Err(wrong(&format!("{path}.providers"), "required: at least one provider"));
    }
    Ok(Providers(found))
}

fn read_keys(
    algorithm: Algorithm,
    keys: &Keys,
    path: &str,
    found: &mut Vec<Provider>,
) -> Result<(), EncryptionConfigError> {
    if keys.keys.is_empty() {
        return Err(wrong(path, "required: at least one key"));
    }
    let mut names = Vec::new();
    for (at, key) in keys.keys.iter().enumerate() {
        let path = format!("{path}[{at}]");
        if key.name.is_empty() || key.name.contains(':') {
            return Err(wrong(&format!("{path}.name"), "a name is required, without `:`"));
        }
        if names.contains(&&key.name) {
            return Err(wrong(&format!("{path}.name"), &format!("{:?} is there twice", key.name)));
        }
        names.push(&key.name);
        let secret = base64::engine::general_purpose::STANDARD.decode(key.secret.trim()).map(Zeroizing::new);
        let secret = secret.map_err(|_| wrong(&format!("{path}.secret"), "it is not base64"))?;
        if !algorithm.lengths().contains(&secret.len()) {
            let why = format!("it has {} bytes, and must have one of {:?}", secret.len(), algorithm.lengths());
            return Err(wrong(&format!("{path}.secret"), &why));
        }
        found.push(Provider::Key(Key::new(algorithm, &key.name, secret)));
    }
    Ok(())
}
