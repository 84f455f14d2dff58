use bytes::Bytes;

use super::*;
use crate::backend::MemoryBackend;
use crate::testing::check_backend;

const KEY: RawKey = Bytes::from_static(b"/secrets/d/a");

/// A configuration of secrets with these providers (YAML, one a line).
fn config(providers: &[&str]) -> EncryptionConfig {
    EncryptionConfig::parse(&file("secrets", providers)).unwrap()
}

fn file(resources: &str, providers: &[&str]) -> String {
    let providers: String = providers.iter().map(|provider| format!("  - {provider}\n")).collect();
    format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [{resources}]\n  providers:\n{providers}"
    )
}

fn key(provider: &str, name: &str, byte: u8, length: usize) -> String {
    use base64::Engine as _;
    let secret = base64::engine::general_purpose::STANDARD.encode(vec![byte; length]);
    format!("{provider}: {{keys: [{{name: {name}, secret: {secret}}}]}}")
}

fn put(key: &RawKey, value: &'static str) -> RawChange {
    let value = Some(Bytes::from_static(value.as_bytes()));
    RawChange { key: key.clone(), value, expect: Expect::Absent, durability: Durability::Durable, ttl: None }
}

async fn values(backend: &dyn Backend) -> Result<Vec<Bytes>, BackendError> {
    let page = backend.scan(KeyRange::all(), None, Page { limit: 100 }).await?;
    Ok(page.records.into_iter().map(|record| record.value).collect())
}

#[tokio::test]
async fn it_keeps_the_laws_of_a_backend() {
    for seed in 0..5 {
        let make = || async {
            let config = EncryptionConfig::parse(&file("'*.*'", &[&key("secretbox", "k", 1, 32)])).unwrap();
            Arc::new(EncryptedBackend::new(Arc::new(MemoryBackend::new()), config)) as Arc<dyn Backend>
        };
        check_backend(make, seed).await;
    }
}

#[tokio::test]
async fn every_provider_seals_and_opens() {
    for (provider, length) in [
        ("aescbc", 16),
        ("aescbc", 24),
        ("aescbc", 32),
        ("aesgcm", 16),
        ("aesgcm", 24),
        ("aesgcm", 32),
        ("secretbox", 32),
    ] {
        let inner = Arc::new(MemoryBackend::new());
        let provider_key = key(provider, "key1", 7, length);
        let backend = EncryptedBackend::new(inner.clone(), config(&[&provider_key]));
        backend.commit(put(&KEY, "the battery")).await.unwrap();
        backend.commit(put(&Bytes::from_static(b"/configmaps/d/a"), "plain")).await.unwrap();
        let raw = values(&*inner).await.unwrap();
        assert_eq!(&raw[0][..], b"plain", "the file says nothing about config maps");
        assert!(raw[1].starts_with(format!("k8s:enc:{provider}:v1:key1:").as_bytes()), "{:?}", raw[1]);
        assert!(!raw[1].windows(7).any(|part| part == b"battery"));
        assert_eq!(values(&backend).await.unwrap()[1], "the battery");
        let error =
            values(&EncryptedBackend::new(inner, config(&[&key(provider, "key1", 8, length)]))).await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("/secrets/d/a cannot be read") && text.contains("\"key1\""), "{text}");
    }
}

/// kube-apiserver's layout, with a value that openssl encrypted.
#[test]
fn the_envelope_is_kube_apiservers() {
    // AES-128-CBC of "hello" with PKCS#7 padding under a key and an IV of zeros (`openssl enc -aes-128-cbc -K 0.. -iv 0..`).
    let sealed = [
        b"k8s:enc:aescbc:v1:key1:".as_slice(),
        &[0; 16],
        &[0x98, 0x34, 0xed, 0x51, 0x8c, 0xbc, 0x8f, 0xbe, 0x9a, 0xf3, 0xc6, 0xec, 0xb7, 0x5e, 0xb8, 0xc0],
    ]
    .concat();
    let config = config(&[&key("aescbc", "key1", 0, 16)]);
    let opened = config.providers("secrets").open(&KEY, &Bytes::from(sealed));
    assert_eq!(opened.unwrap(), "hello");
}

#[tokio::test]
async fn a_value_cannot_be_moved_to_another_key_under_aesgcm() {
    let inner = Arc::new(MemoryBackend::new());
    let gcm = key("aesgcm", "key1", 7, 32);
    EncryptedBackend::new(inner.clone(), config(&[&gcm])).commit(put(&KEY, "mine")).await.unwrap();
    let raw = values(&*inner).await.unwrap().remove(0);
    let change = RawChange { value: Some(raw), ..put(&Bytes::from_static(b"/secrets/d/b"), "") };
    inner.commit(change).await.unwrap();
    let error = values(&EncryptedBackend::new(inner, config(&[&gcm]))).await.unwrap_err();
    assert!(error.to_string().starts_with("/secrets/d/b cannot be read"), "{error}");
}

#[tokio::test]
async fn keys_are_changed_by_a_rewrite() {
    let inner = Arc::new(MemoryBackend::new());
    inner.commit(put(&KEY, "old")).await.unwrap();
    let (one, two) = (key("aesgcm", "one", 1, 32), key("secretbox", "two", 2, 32));
    let error = values(&EncryptedBackend::new(inner.clone(), config(&[&one]))).await.unwrap_err();
    assert!(error.to_string().contains("`identity`"), "{error}");

    let first = EncryptedBackend::new(inner.clone(), config(&[&one, "identity: {}"]));
    assert_eq!(values(&first).await.unwrap(), ["old"], "plain values stay readable");
    assert_eq!((first.rewrite().await.unwrap(), first.rewrite().await.unwrap()), (1, 0));
    let second = EncryptedBackend::new(inner.clone(), config(&[&two, &one]));
    assert_eq!(values(&second).await.unwrap(), ["old"]);
    assert_eq!(second.rewrite().await.unwrap(), 1);
    assert_eq!(values(&EncryptedBackend::new(inner.clone(), config(&[&two]))).await.unwrap(), ["old"]);
    let error = values(&EncryptedBackend::new(inner.clone(), config(&[&one]))).await.unwrap_err();
    assert!(error.to_string().contains("encrypted with secretbox key \"two\""), "{error}");
    let back = EncryptedBackend::new(inner.clone(), config(&["identity: {}", &two]));
    assert_eq!(back.rewrite().await.unwrap(), 1);
    assert_eq!(values(&*inner).await.unwrap(), ["old"]);
}

#[test]
fn wildcards_cover_groups_and_the_closest_rule_counts() {
    let text = format!(
        "{}- resources: ['*.apps', '*.']\n  providers: [{{{}}}]\n- resources: ['*.*']\n  providers: [{{identity: {{}}}}]\n",
        file("secrets, deployments.apps", &[&key("secretbox", "a", 1, 32)]),
        key("secretbox", "b", 2, 32)
    );
    let config = EncryptionConfig::parse(&text).unwrap();
    let sealed = |resource: &str| {
        let sealed = config.providers(resource).seal(b"/k", Bytes::from_static(b"x")).unwrap();
        sealed.starts_with(b"k8s:enc:").then(|| sealed[21..22].to_vec())
    };
    let found = ["secrets", "deployments.apps", "statefulsets.apps", "configmaps", "widgets.example.com"].map(sealed);
    let by = |name: &str| Some(name.as_bytes().to_vec());
    assert_eq!(found, [by("a"), by("a"), by("b"), by("b"), None]);
}

#[test]
fn what_is_wrong_with_a_file_is_named_and_no_key_is_told() {
    let good = key("aescbc", "k", 1, 32);
    let told = |text: String| EncryptionConfig::parse(&text).err().unwrap().to_string();
    let cases = [
        (file("secrets", &["kms: {name: x}"]), "resources[0].providers[0].kms: key management services are not built"),
        (
            file("secrets", &[&key("secretbox", "k", 1, 16)]),
            "resources[0].providers[0].secretbox.keys[0].secret: it has 16 bytes",
        ),
        (file("secrets", &["aescbc: {keys: [{name: 'a:b', secret: ''}]}"]), "keys[0].name"),
        (file("secrets", &["aescbc: {keys: [{name: a, secret: '???'}]}"]), "keys[0].secret: it is not base64"),
        (file("secrets", &["{}"]), "resources[0].providers[0]: exactly one of"),
        (file("'*.*', secrets", &[&good]), "resources[0].resources: \"secrets\" is covered"),
        (file("'*'", &[&good]), "resources[0].resources: \"*\" is no resource"),
        (file("secrets", &[&good]).replace("v1\n", "v2\n"), "apiserver.config.k8s.io/v2"),
        (file("secrets", &[&good]).replace("secret:", "sacret:"), "does not read"),
    ];
    for (text, wanted) in cases {
        let error = told(text);
        assert!(error.contains(wanted) && !error.contains("AQEB"), "{error}");
    }
}

/// A new key in front is used without a restart, a mistake leaves the last good file in force, and is told.
#[tokio::test]
async fn a_file_that_changes_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("encryption.yaml");
    let (old, new) = (key("aescbc", "old", 1, 32), key("secretbox", "new", 2, 32));
    std::fs::write(&path, file("secrets", &[&old])).unwrap();
    let inner = Arc::new(MemoryBackend::new());
    let backend = Arc::new(EncryptedBackend::new(inner.clone(), config(&[&old])));
    let begun = backend.bounds().await.unwrap().current;
    let mut feed = backend.feed(begun).await.unwrap();
    let followed = backend.clone();
    let clock = orc_core::env::Clock::wall();
    let (path_of, every) = (path.clone(), std::time::Duration::from_millis(5));
    let following = tokio::spawn(async move { followed.follow(path_of, clock, every).await });
    let until = async |holds: &dyn Fn() -> bool| {
        for _ in 0..4000 {
            if holds() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("nothing happened");
    };
    backend.commit(put(&KEY, "first")).await.unwrap();
    // The mistake comes first: that it is told shows that the file is being followed.
    std::fs::write(&path, "kind: Nonsense").unwrap();
    until(&|| backend.stale().is_some()).await;
    let second = Bytes::from_static(b"/secrets/d/b");
    backend.commit(put(&second, "second")).await.unwrap();
    std::fs::write(&path, file("secrets", &[&new, &old])).unwrap();
    until(&|| backend.stale().is_none()).await;
    let third = Bytes::from_static(b"/secrets/d/c");
    backend.commit(put(&third, "third")).await.unwrap();
    let sealed: Vec<bool> = values(inner.as_ref())
        .await
        .unwrap()
        .iter()
        .map(|value| value.starts_with(b"k8s:enc:secretbox:v1:new:"))
        .collect();
    assert_eq!(sealed, [false, false, true]);
    assert_eq!(values(backend.as_ref()).await.unwrap(), ["first", "second", "third"]);
    let mut read = Vec::new();
    while read.len() < 3 {
        if let Some(Ok(RawEvent::Put(record))) = feed.next().await {
            read.push(record.value);
        }
    }
    assert_eq!(read, ["first", "second", "third"], "an open feed reads with the keys of now");
    following.abort();
}
