//! The decoders of this crate as functions of bytes: see [`orc_core::fuzzing`].

use orc_core::fuzzing::Target;

use crate::store::{parse_key, raw_key};

/// Every decoder of this crate that its features have.
pub const TARGETS: &[Target] = &[
    Target { name: "raw_key", run: key, seeds: keys },
    #[cfg(feature = "durable")]
    Target {
        name: "durable_log",
        run: crate::backend::durable_fuzzing::log,
        seeds: crate::backend::durable_fuzzing::logs,
    },
    #[cfg(feature = "encryption")]
    Target { name: "encryption_config", run: encryption_config, seeds: encryption_configs },
];

fn keys() -> Vec<Vec<u8>> {
    ["/pods/d/a", "/clusterroles.rbac.authorization.k8s.io//system:a", "/x//", "///"]
        .map(|key| key.as_bytes().to_vec())
        .into()
}

/// A raw key that reads is written as it was.
fn key(bytes: &[u8]) {
    if let Some(key) = parse_key(bytes) {
        assert_eq!(raw_key(&key), bytes);
    }
}

#[cfg(feature = "encryption")]
fn encryption_configs() -> Vec<Vec<u8>> {
    let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n";
    let keys = "{keys: [{name: a, secret: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=}]}";
    let rules = format!(
        "- resources: [secrets, '*.apps']\n  providers:\n  - aesgcm: {keys}\n  - aescbc: {keys}\n  - secretbox: {keys}\n  - identity: {{}}\n"
    );
    vec![format!("{head}{rules}- resources: ['*.*']\n  providers: [{{identity: {{}}}}]\n").into_bytes()]
}

#[cfg(feature = "encryption")]
fn encryption_config(bytes: &[u8]) {
    let _ = crate::backend::EncryptionConfig::parse(orc_core::fuzzing::text(bytes));
}
