//! Where the objects are kept: the data folder, or an etcd that several servers share.

use std::sync::Arc;

use orc_core::env::System;
use orc_store::Backend;
use orc_store::backend::{DurableBackend, DurableConfig};

use crate::args::{ClusterArgs, EtcdArgs};
use crate::data_dir::DataDir;
use crate::progress;

/// An open backend.
pub struct Storage {
    /// The backend.
    pub backend: Arc<dyn Backend>,
    /// Whether other servers may use the same objects, so that loops need to be elected.
    pub shared: bool,
}

/// Opens what the flags name.
///
/// # Errors
/// When it cannot be opened or reached; the messages say what to do.
pub async fn open(args: &ClusterArgs, data: &DataDir, system: &System) -> anyhow::Result<Storage> {
    if !args.etcd.servers.is_empty() {
        return Ok(Storage { backend: etcd(&args.etcd, system).await?, shared: true });
    }
    let mut config = DurableConfig::new(data.store());
    config.progress = Some(progress::reading_store());
    let opened = tokio::task::spawn_blocking(move || DurableBackend::open(config)).await?;
    Ok(Storage { backend: Arc::new(opened?), shared: false })
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
