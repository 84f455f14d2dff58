//! Changing an object by a function of it, sending only the difference.

use std::sync::Arc;

use orc_core::patch::diff;
use orc_core::{ApiError, Object};

use super::Api;
use crate::client::{
    Freshness, Intent, Outcome, PatchKind, Preconditions, ReadOptions, Target, WriteOptions, WriteRequest,
};

/// Attempts before a conflict is given back: a loop that loses so often is better off reconciling again.
const ATTEMPTS: usize = 16;

impl<K: Object> Api<K> {
    /// Reads the object, changes it, and sends the difference as a merge patch bound to the revision that was read; tries
    /// again when somebody else was faster. Fields that the type does not know stay. No change sends nothing. Neither what the
    /// closure gets nor the answer has `metadata.managedFields` (see [`Stored::view`](crate::Stored::view)).
    ///
    /// # Errors
    /// `NotFound`; `Conflict` after many lost races; and the client's.
    pub async fn modify<F>(&self, name: &str, change: F) -> Result<Arc<K>, ApiError>
    where
        F: FnMut(&mut K) + Send,
    {
        self.modify_target(Target::object(self.key(name)), name, change).await
    }

    /// As [`Api::modify`], of the status alone.
    ///
    /// # Errors
    /// As [`Api::modify`].
    pub async fn modify_status<F>(&self, name: &str, change: F) -> Result<Arc<K>, ApiError>
    where
        F: FnMut(&mut K) + Send,
    {
        self.modify_target(Target::status(self.key(name)), name, change).await
    }

    async fn modify_target<F>(&self, target: Target, name: &str, mut change: F) -> Result<Arc<K>, ApiError>
    where
        F: FnMut(&mut K) + Send,
    {
        // Not from a cache: a closure that finds its wish fulfilled in an old state would change nothing.
        let options = ReadOptions { freshness: Freshness::Latest };
        for _ in 0..ATTEMPTS {
            let read = self.client.get(&Target::object(self.key(name)), &options).await?.stored()?;
            let before = read.view::<K>()?;
            let mut after = K::clone(&before);
            change(&mut after);
            let patch = diff(self.encode(&before)?.value(), self.encode(&after)?.value());
            if patch.as_object().is_some_and(serde_json::Map::is_empty) {
                return Ok(before);
            }
            let body = serde_json::to_vec(&patch).map_err(ApiError::internal)?;
            let preconditions = Preconditions { uid: None, revision: Some(read.revision) };
            let bound = WriteOptions { preconditions, ..WriteOptions::default() };
            let intent = Intent::Patch(PatchKind::Merge, body.into());
            match self.client.write(WriteRequest { target: target.clone(), intent, options: bound }).await {
                Err(error) if error.is_conflict() => {}
                written => {
                    return match written?.outcome {
                        Outcome::Persisted(stored) => stored.view(),
                        Outcome::Unsaved(doc) => doc.to_typed().map(Arc::new),
                        _ => Err(ApiError::internal("the write did not return an object")),
                    };
                }
            }
        }
        let resource = &self.scope.resource;
        Err(ApiError::stale(resource.group(), resource.plural(), name))
    }
}
