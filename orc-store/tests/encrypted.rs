//! Encryption at rest over the durable backend: nothing on the disk and in a backup is in clear, and a restart needs the key.

use std::path::Path;
use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use orc_core::env::System;
use orc_store::backend::{DurableBackend, DurableConfig, EncryptedBackend, EncryptionConfig, backup};
use orc_store::{Api, Backend as _, LocalClient, Store};

const MARK: &str = "correct-horse-battery-staple";

fn config(name: &str) -> EncryptionConfig {
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers:\n  \
         - aesgcm: {{keys: [{{name: {name}, secret: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=}}]}}\n"
    );
    EncryptionConfig::parse(&text).unwrap()
}

struct Run {
    disk: Arc<DurableBackend>,
    store: Arc<Store>,
    secrets: Api<Secret>,
}

async fn start(folder: &Path, key: &str) -> Result<Run, String> {
    let system = System::real();
    let disk = Arc::new(DurableBackend::open(DurableConfig::new(folder)).unwrap());
    let sealed = Arc::new(EncryptedBackend::new(disk.clone(), config(key)));
    let store = Store::open(sealed, Arc::new(|_| Arc::from([])), system.clone()).await;
    let store = store.map_err(|error| error.to_string()).inspect_err(|_| disk.close())?;
    let secrets = Api::namespaced(Arc::new(LocalClient::new(store.clone(), &system)), "d");
    Ok(Run { disk, store, secrets })
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

#[tokio::test]
async fn nothing_below_the_store_is_in_clear() {
    let folder = tempfile::tempdir().unwrap();
    let run = start(folder.path(), "one").await.unwrap();
    let mut secret = Secret::default();
    secret.metadata.name = Some("s".into());
    secret.metadata.annotations = Some([("note".to_owned(), MARK.to_owned())].into());
    secret.data = Some([("password".to_owned(), ByteString(MARK.as_bytes().into()))].into());
    run.secrets.create(&secret).await.unwrap();
    assert_eq!(run.secrets.get("s").await.unwrap().data, secret.data);
    let mut copy = Vec::new();
    backup::write(&*run.disk, &mut copy).await.unwrap();
    assert!(holds(&copy, "k8s:enc:aesgcm:v1:one:") && !holds(&copy, MARK), "the backup holds what the disk holds");
    let at = run.disk.bounds().await.unwrap();
    run.disk.close();
    drop(run.store);

    let mut seen = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!holds(&bytes, MARK), "{}", path.display());
            seen += usize::from(holds(&bytes, "k8s:enc:aesgcm:v1:one:"));
        }
    }
    assert!(seen > 0, "the record is in one of the files");

    let error = start(folder.path(), "two").await.err().unwrap();
    assert!(error.contains("/secrets/d/s") && error.contains("aesgcm key \"one\""), "{error}");
    let run = start(folder.path(), "one").await.unwrap();
    assert_eq!(run.disk.bounds().await.unwrap().current, at.current);
    assert_eq!(run.secrets.get("s").await.unwrap().data, secret.data);
}
