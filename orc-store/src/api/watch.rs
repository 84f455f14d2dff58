//! Typed watches.

use std::sync::Arc;

use futures::{Stream, StreamExt};
use orc_core::{ApiError, Object, Revision};

use super::Api;
use crate::client::WatchOptions;
use crate::event::{WatchEnd, WatchEvent};

/// One item of a typed watch.
#[derive(Clone, Debug)]
pub enum TypedEvent<K> {
    /// The object came into scope.
    Added(Arc<K>),
    /// The object changed.
    Modified(Arc<K>),
    /// The object left the scope; its last state.
    Removed(Arc<K>),
    /// Nothing at or below `at` is still to come.
    Bookmark {
        /// The revision.
        at: Revision,
        /// Whether this one ends the initial state.
        initial_end: bool,
    },
}

impl<K: Object> Api<K> {
    /// Follows the scope. An object that does not fit the type ends the watch as `Closed`, naming it.
    ///
    /// # Errors
    /// The client's.
    pub async fn watch(
        &self,
        options: &WatchOptions,
    ) -> Result<impl Stream<Item = Result<TypedEvent<K>, WatchEnd>> + Send + Unpin + use<K>, ApiError> {
        Ok(self.client.watch(&self.scope, options).await?.map(|event| decode(event?)))
    }
}

fn decode<K: Object>(event: WatchEvent) -> Result<TypedEvent<K>, WatchEnd> {
    let view = |stored: &crate::Stored| {
        stored.decode::<K>().map(Arc::new).map_err(|error| WatchEnd::Closed(error.to_string()))
    };
    Ok(match event {
        WatchEvent::Added(now) => TypedEvent::Added(view(&now)?),
        WatchEvent::Modified { now, .. } => TypedEvent::Modified(view(&now)?),
        WatchEvent::Removed { last, .. } => TypedEvent::Removed(view(&last)?),
        WatchEvent::Bookmark { at, initial_end } => TypedEvent::Bookmark { at, initial_end },
    })
}
