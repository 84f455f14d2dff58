//! Values encrypted at rest, over any other backend.
//!
//! The store above sees plain bodies; what is below, a disk, an etcd or a backup of either, sees kube-apiserver's envelopes:
//! `k8s:enc:<provider>:v1:<key name>:` and the sealed value. Keys of objects stay readable. Which resources are sealed by what
//! says an [`EncryptionConfig`]: the first provider of a resource writes, any of them reads, so that keys are changed by
//! putting the new one first and [rewriting](EncryptedBackend::rewrite).
//!
//! [`EncryptedBackend::follow`] reads the file again while running. Not built: `kms`.

mod config;
mod provider;
mod reload;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use orc_core::Revision;

pub use self::config::{EncryptionConfig, EncryptionConfigError};
pub use self::reload::EVERY as RELOAD_EVERY;
use super::{
    Backend, BackendError, Bounds, Durability, Expect, KeyRange, Page, RawChange, RawEvent, RawFeed, RawKey, RawPage,
    RawRecord,
};

/// Records that are read at once while rewriting.
const PAGE: usize = 500;
/// Resources of which a backend drops objects by itself: a rewrite would make them stay. They are gone in an hour anyway.
const SHORT_LIVED: [&str; 2] = ["events", "events.events.k8s.io"];

/// A backend whose values are encrypted before they reach another one.
pub struct EncryptedBackend {
    inner: Arc<dyn Backend>,
    /// Shared with the feeds, which outlive a change of keys.
    config: Arc<ArcSwap<EncryptionConfig>>,
    /// Why the file that is followed is not in force, if so.
    stale: parking_lot::Mutex<Option<String>>,
}

impl EncryptedBackend {
    /// Encrypts what goes into `inner`.
    pub fn new(inner: Arc<dyn Backend>, config: EncryptionConfig) -> Self {
        Self { inner, config: Arc::new(ArcSwap::from_pointee(config)), stale: parking_lot::Mutex::default() }
    }

    /// The backend below, with values as they are kept.
    pub fn inner(&self) -> &Arc<dyn Backend> {
        &self.inner
    }

    /// Writes every value anew that the first provider of its resource would write otherwise, and returns how many. Each is a
    /// change with a revision of its own. Values that somebody else changes meanwhile are passed over: that was a rewrite.
    ///
    /// # Errors
    /// The backend's; [`BackendError::Open`] for a value that no provider reads.
    pub async fn rewrite(&self) -> Result<u64, BackendError> {
        let (mut range, mut count) = (KeyRange::all(), 0);
        loop {
            let page = self.inner.scan(range.clone(), None, Page { limit: PAGE }).await?;
            for record in page.records {
                let resource = config::resource_of(&record.key);
                let short = self.inner.expires() && SHORT_LIVED.contains(&resource);
                if short || !self.config.load().providers(resource).is_stale(&record.value) {
                    continue;
                }
                let change = RawChange {
                    value: Some(self.open(&record.key, &record.value)?),
                    key: record.key,
                    expect: Expect::At(record.revision),
                    durability: Durability::Durable,
                    ttl: None,
                };
                match self.commit(change).await {
                    Ok(_) => count += 1,
                    Err(BackendError::Unmet { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            match page.next {
                Some(next) => range.start = next,
                None => return Ok(count),
            }
        }
    }

    fn open(&self, key: &RawKey, value: &Bytes) -> Result<Bytes, BackendError> {
        open(&self.config.load(), key, value)
    }
}

fn open(config: &EncryptionConfig, key: &RawKey, value: &Bytes) -> Result<Bytes, BackendError> {
    config.providers(config::resource_of(key)).open(key, value).map_err(|error| {
        let path = String::from_utf8_lossy(key);
        BackendError::Open(format!("{path} cannot be read: {error}"))
    })
}

#[async_trait]
impl Backend for EncryptedBackend {
    async fn commit(&self, mut change: RawChange) -> Result<Revision, BackendError> {
        if let Some(value) = change.value.take() {
            let sealed = self.config.load().providers(config::resource_of(&change.key)).seal(&change.key, value);
            change.value = Some(sealed.map_err(|error| BackendError::Unavailable(error.to_string()))?);
        }
        self.inner.commit(change).await
    }

    async fn scan(&self, range: KeyRange, at: Option<Revision>, page: Page) -> Result<RawPage, BackendError> {
        let mut page = self.inner.scan(range, at, page).await?;
        for record in &mut page.records {
            record.value = self.open(&record.key, &record.value)?;
        }
        Ok(page)
    }

    async fn feed(&self, after: Revision) -> Result<RawFeed, BackendError> {
        let config = self.config.clone();
        let feed = self.inner.feed(after).await?;
        Ok(feed
            .map(move |event| match event? {
                RawEvent::Put(record) => {
                    let value = open(&config.load(), &record.key, &record.value)?;
                    Ok(RawEvent::Put(RawRecord { value, ..record }))
                }
                other => Ok(other),
            })
            .boxed())
    }

    async fn bounds(&self) -> Result<Bounds, BackendError> {
        self.inner.bounds().await
    }

    fn expires(&self) -> bool {
        self.inner.expires()
    }
}
