//! Where the objects are kept: the data folder, or an etcd that several servers share.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use orc_core::env::System;
use orc_store::Backend;
use orc_store::backend::{DurableBackend, DurableConfig, EncryptedBackend, EncryptionConfig, RELOAD_EVERY};
use zeroize::Zeroizing;

use crate::args::{ClusterArgs, EtcdArgs};
use crate::data_dir::DataDir;
use crate::progress;

/// An open backend.
pub struct Storage {
    /// The backend.
    pub backend: Arc<dyn Backend>,
    /// The same below encryption, for backups: they hold what is kept, as it is kept.
    pub kept: Arc<dyn Backend>,
    /// The encryption between the two, where there is one.
    pub encryption: Option<Arc<EncryptedBackend>>,
    /// Whether other servers may use the same objects, so that loops need to be elected.
    pub shared: bool,
}

/// Opens what the flags name.
///
/// # Errors
/// When it cannot be opened or reached; the messages say what to do.
pub async fn open(args: &ClusterArgs, data: &DataDir, system: &System) -> anyhow::Result<Storage> {
    // Before anything is opened: a file that does not read should not cost the time to read a large store.
    let encryption = args.encryption_provider_config.as_deref().map(encryption).transpose()?;
    let shared = !args.etcd.servers.is_empty();
    let kept = if shared { etcd(&args.etcd, system).await? } else { durable(data).await? };
    let Some(encryption) = encryption else {
        return Ok(Storage { backend: kept.clone(), kept, encryption: None, shared });
    };
    let sealed = EncryptedBackend::new(kept.clone(), encryption);
    if args.encryption_rewrite {
        let count = sealed.rewrite().await?;
        tracing::info!(count, "values were written anew for the first provider of the encryption configuration");
    }
    let sealed = Arc::new(sealed);
    if args.encryption_provider_config_automatic_reload
        && let Some(path) = args.encryption_provider_config.clone()
    {
        let (backend, clock) = (sealed.clone(), system.clock.clone());
        system.spawn.detach(async move { backend.follow(path, clock, RELOAD_EVERY).await });
    }
    Ok(Storage { backend: sealed.clone(), kept, encryption: Some(sealed), shared })
}

/// Reads an EncryptionConfiguration.
fn encryption(path: &Path) -> anyhow::Result<EncryptionConfig> {
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    let text = text.with_context(|| format!("the encryption configuration {} cannot be read", path.display()))?;
    EncryptionConfig::parse(&text).with_context(|| format!("{}", path.display()))
}

async fn durable(data: &DataDir) -> anyhow::Result<Arc<dyn Backend>> {
    let mut config = DurableConfig::new(data.store());
    config.progress = Some(progress::reading_store());
    let opened = tokio::task::spawn_blocking(move || DurableBackend::open(config)).await?;
    Ok(Arc::new(opened?))
}

#[cfg(feature = "etcd")]
async fn etcd(args: &EtcdArgs, system: &System) -> anyhow::Result<Arc<dyn Backend>> {
    use orc_store::backend::{EtcdBackend, EtcdConfig, Pem};
    let pem = |path: &Option<std::path::PathBuf>| path.clone().map(Pem::File);
    let mut config = EtcdConfig::new(args.servers.clone());
    config.prefix = args.prefix.clone();
    (config.ca, config.cert, config.key) = (pem(&args.ca), pem(&args.cert), pem(&args.key));
    Ok(Arc::new(EtcdBackend::connect(config, system).await?))
}

#[cfg(not(feature = "etcd"))]
#[expect(clippy::unused_async, reason = "the same shape as with the feature")]
async fn etcd(_: &EtcdArgs, _: &System) -> anyhow::Result<Arc<dyn Backend>> {
    anyhow::bail!(
        "this orc was built without etcd; build it with `cargo build --release --features etcd` (needs protoc), or leave out \
         --etcd-servers to keep the objects in the data folder"
    )
}
