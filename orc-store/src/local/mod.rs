//! The verbs with the rules of any object: an API without a server.
//!
//! For embedders that bring their own kinds, and for tests: uid, creation time, generation, generated names, optimistic
//! concurrency, status apart from the rest, finalizers and deletion. It knows no kind: no defaults, no validation, no
//! admission, no strategic merge patch, no server-side apply, no identity (`orc_api::Registry` has all that).

pub mod deletion;
mod patching;
pub mod rules;
mod write;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use orc_core::env::{Clock, Ids, System};
use orc_core::{ApiError, ResourceId};

use crate::client::{
    Gotten, ListOptions, Listing, ObjectClient, ReadOptions, Scope, Subresource, Target, WatchOptions, WatchStream,
    WriteRequest, Written,
};
use crate::store::Store;
use rules::Part;

/// The verbs over a store in this process.
#[derive(Clone)]
pub struct LocalClient {
    store: Arc<Store>,
    clock: Clock,
    ids: Ids,
    whole: Arc<BTreeSet<ResourceId>>,
}

impl LocalClient {
    /// A client whose every kind keeps its status apart: a main write does not touch it, a status write nothing else.
    pub fn new(store: Arc<Store>, system: &System) -> Self {
        Self { store, clock: system.clock.clone(), ids: system.ids.clone(), whole: Arc::default() }
    }

    /// The same, for resources that have no status sub-resource: a main write writes their status too.
    pub fn without_status(mut self, resources: impl IntoIterator<Item = ResourceId>) -> Self {
        self.whole = Arc::new(self.whole.iter().cloned().chain(resources).collect());
        self
    }

    /// The store.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// What a write to a target may change.
    fn part(&self, resource: &ResourceId, sub: Option<&Subresource>) -> Result<Part, ApiError> {
        let whole = self.whole.contains(resource);
        match sub {
            None if whole => Ok(Part::Whole),
            None => Ok(Part::Main),
            Some(sub) if *sub == Subresource::STATUS && !whole => Ok(Part::Status),
            Some(sub) => Err(ApiError::method_not_allowed(resource.group(), resource.plural(), sub.as_str())),
        }
    }
}

#[async_trait]
impl ObjectClient for LocalClient {
    async fn get(&self, target: &Target, options: &ReadOptions) -> Result<Gotten, ApiError> {
        match target {
            Target::Named(key, sub) => {
                self.part(&key.resource, sub.as_ref())?;
                Ok(Gotten::Stored(self.store.require(key, options.freshness).await?))
            }
            _ => Err(ApiError::bad_request("a read needs the object's name")),
        }
    }

    async fn list(&self, scope: &Scope, options: &ListOptions) -> Result<Listing, ApiError> {
        self.store.list(scope, options).await
    }

    async fn watch(&self, scope: &Scope, options: &WatchOptions) -> Result<WatchStream, ApiError> {
        self.store.watch(scope, options).await
    }

    async fn write(&self, request: WriteRequest) -> Result<Written, ApiError> {
        self.write_request(request).await
    }
}
