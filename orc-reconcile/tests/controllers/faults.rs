//! A client whose writes go wrong now and then: refused, lost, or done with the answer lost.

use std::sync::Arc;

use async_trait::async_trait;
use orc_core::ApiError;
use orc_core::env::Rng;
use orc_store::client::{
    Gotten, ListOptions, Listing, ReadOptions, Scope, Target, WatchOptions, WriteRequest, Written,
};
use orc_store::{ObjectClient, WatchStream};

pub struct Faulty {
    inner: Arc<dyn ObjectClient>,
    rng: Rng,
    one_in: Option<u64>,
}

impl Faulty {
    pub fn new(inner: Arc<dyn ObjectClient>, rng: Rng, one_in: Option<u64>) -> Self {
        Self { inner, rng, one_in }
    }

    /// Reads fail less often: an ending namespace makes so many of them that they would never all succeed.
    fn strikes(&self, rarer: u64) -> bool {
        self.one_in.is_some_and(|n| self.rng.below(n * rarer) == 0)
    }
}

#[async_trait]
impl ObjectClient for Faulty {
    async fn get(&self, target: &Target, options: &ReadOptions) -> Result<Gotten, ApiError> {
        if self.strikes(20) {
            return Err(ApiError::timeout("a fault"));
        }
        self.inner.get(target, options).await
    }
    async fn list(&self, scope: &Scope, options: &ListOptions) -> Result<Listing, ApiError> {
        if self.strikes(20) {
            return Err(ApiError::timeout("a fault"));
        }
        self.inner.list(scope, options).await
    }
    async fn watch(&self, scope: &Scope, options: &WatchOptions) -> Result<WatchStream, ApiError> {
        self.inner.watch(scope, options).await
    }
    async fn write(&self, request: WriteRequest) -> Result<Written, ApiError> {
        if !self.strikes(1) {
            return self.inner.write(request).await;
        }
        let resource = request.target.resource().clone();
        match self.rng.below(3) {
            0 => Err(ApiError::stale(resource.group(), resource.plural(), "a-fault")),
            1 => Err(ApiError::timeout("not done")),
            _ => {
                self.inner.write(request).await?;
                Err(ApiError::timeout("done, but the answer was lost"))
            }
        }
    }
}
