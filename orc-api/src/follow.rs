//! Follows the objects of one resource in the store, for the server's own indexes.
//!
//! One task a resource: the present state first, then its changes in order; where the watch falls behind, the present state
//! again. What keeps an index says what to do with each.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use orc_core::env::{System, Task};
use orc_core::{ApiError, ResourceId, Revision};
use orc_store::client::{ListOptions, Scope, WatchOptions, WatchStart};
use orc_store::{Store, Stored, WatchEvent};

/// How long to wait before a broken watch is taken up again.
const PAUSE: Duration = Duration::from_millis(100);

/// What is told of a resource. Calls come from one task a resource, one after the other.
pub(crate) trait Follower: Send + Sync + 'static {
    /// The present state, at the start and after a gap: what is not in it is gone.
    fn reset(&self, resource: &ResourceId, items: &[Arc<Stored>]);
    /// One change. Bookmarks are not told.
    fn change(&self, event: &WatchEvent);
}

/// Tells the present state of a resource, then follows it until the task is dropped.
///
/// # Errors
/// When the store cannot be read.
pub(crate) async fn start(
    store: &Arc<Store>,
    system: &System,
    resource: ResourceId,
    follower: Arc<dyn Follower>,
) -> Result<Task, ApiError> {
    let scope = Scope::all(resource);
    let listing = store.list(&scope, &ListOptions::default()).await?;
    follower.reset(&scope.resource, &listing.items);
    let (store, clock, at) = (store.clone(), system.clock.clone(), listing.revision);
    Ok(system.spawn.spawn(async move {
        let mut at = at;
        loop {
            at = watch(&store, &scope, at, follower.as_ref()).await;
            // The watch fell behind or the store is closing: start over from the present state.
            clock.sleep(PAUSE).await;
            match store.list(&scope, &ListOptions::default()).await {
                Ok(listing) => {
                    at = listing.revision;
                    follower.reset(&scope.resource, &listing.items);
                }
                Err(error) => {
                    tracing::warn!(%error, resource = %scope.resource, "an index of the server cannot be read")
                }
            }
        }
    }))
}

async fn watch(store: &Store, scope: &Scope, mut at: Revision, follower: &dyn Follower) -> Revision {
    let options = WatchOptions { start: WatchStart::After(at), bookmarks: true, ..WatchOptions::default() };
    if let Ok(mut stream) = store.watch(scope, &options).await {
        while let Some(Ok(event)) = stream.next().await {
            at = event.revision();
            if event.object().is_some() {
                follower.change(&event);
            }
        }
    }
    at
}
