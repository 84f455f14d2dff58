//! What `/healthz`, `/livez` and `/readyz` look at.

use std::sync::Arc;

use async_trait::async_trait;
use orc_api::http::{Check, Checks, Matters};
use orc_api::metrics::MeteredBackend;
use orc_store::backend::EncryptedBackend;

use crate::board::Board;

/// The checks of a server over this backend, and over the encryption below it where there is one.
pub fn checks(board: &Board, backend: Arc<MeteredBackend>, encryption: Option<Arc<EncryptedBackend>>) -> Checks {
    let checks = Checks::default()
        .with("loops", Matters::Live, Arc::new(Loops(board.clone())))
        .with("store", Matters::Ready, Arc::new(Writable(backend)))
        .with("informer-sync", Matters::Ready, Arc::new(Caches(board.clone())))
        .with("shutdown", Matters::Ready, Arc::new(Running(board.clone())));
    match encryption {
        Some(encryption) => checks.with("encryption-config", Matters::Ready, Arc::new(Sealed(encryption))),
        None => checks,
    }
}

/// No loop has ended by itself. One that is behind is alive.
struct Loops(Board);

#[async_trait]
impl Check for Loops {
    async fn check(&self) -> Result<(), String> {
        let ended = self.0.ended();
        if ended.is_empty() || self.0.is_stopping() { Ok(()) } else { Err(format!("ended: {}", ended.join(", "))) }
    }
}

/// A change would be taken.
struct Writable(Arc<MeteredBackend>);

#[async_trait]
impl Check for Writable {
    async fn check(&self) -> Result<(), String> {
        self.0.writable().await.map_err(|error| error.to_string())
    }
}

/// The caches of the controllers have been filled.
struct Caches(Board);

#[async_trait]
impl Check for Caches {
    async fn check(&self) -> Result<(), String> {
        let status = self.0.cache_status();
        let missing: Vec<_> = status.iter().filter(|cache| !cache.synced).collect();
        match missing.first() {
            None => Ok(()),
            Some(first) => Err(format!("{} caches are not filled, such as {:?}", missing.len(), first.interest)),
        }
    }
}

/// The process does not stop.
struct Running(Board);

#[async_trait]
impl Check for Running {
    async fn check(&self) -> Result<(), String> {
        if self.0.is_stopping() { Err("process is shutting down".to_owned()) } else { Ok(()) }
    }
}

/// The encryption configuration in force is the one in its file.
struct Sealed(Arc<EncryptedBackend>);

#[async_trait]
impl Check for Sealed {
    async fn check(&self) -> Result<(), String> {
        // Not why: what is wrong in a file of keys is for the log alone, which was told when the file was read.
        if self.0.stale().is_none() { Ok(()) } else { Err("the file is not in force".to_owned()) }
    }
}
