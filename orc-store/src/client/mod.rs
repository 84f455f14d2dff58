//! The four verbs every loop is written against.
//!
//! Implementations: [`LocalClient`](crate::LocalClient) (rules of any object), `orc_api::Registry` (Kubernetes' own rules)
//! and `orc_api::RemoteClient` (HTTP to any cluster). A handle carries who asks.

mod options;
mod request;

use std::pin::Pin;

use async_trait::async_trait;
use futures::Stream;
use orc_core::ApiError;

pub use options::{
    Continue, DeleteOptions, Freshness, ListOptions, Preconditions, Propagation, ReadOptions, Selection, WatchOptions,
    WatchStart,
};
pub use request::{
    FieldValidation, Gotten, Intent, Listing, Modify, Outcome, PatchKind, Scope, Subresource, Target, WriteOptions,
    WriteRequest, Written,
};

use crate::event::{WatchEnd, WatchEvent};

/// A watch. Ends after the first `Err`. Dropping it unsubscribes.
pub type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchEvent, WatchEnd>> + Send>>;

/// Reads, lists, watches and writes objects of any kind.
///
/// Dropping the future of a `write`: the change happens whole or not at all, may still happen, and holds nothing.
/// Every error is Kubernetes' `Status`.
#[async_trait]
pub trait ObjectClient: Send + Sync + 'static {
    /// Reads one object.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `Timeout` when the freshness asked for is not reached in time.
    async fn get(&self, target: &Target, options: &ReadOptions) -> Result<Gotten, ApiError>;

    /// Reads the objects of a scope at one revision.
    ///
    /// # Errors
    /// `Expired` when a continue token or exact revision is too old.
    async fn list(&self, scope: &Scope, options: &ListOptions) -> Result<Listing, ApiError>;

    /// Follows a scope. Snapshot then stream has no gap.
    ///
    /// # Errors
    /// As `list`; a start that is too old may instead be the stream's first item.
    async fn watch(&self, scope: &Scope, options: &WatchOptions) -> Result<WatchStream, ApiError>;

    /// Creates, replaces, patches or deletes.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound`, `Conflict`, `Invalid`, `Forbidden`, ...
    async fn write(&self, request: WriteRequest) -> Result<Written, ApiError>;
}

#[cfg(test)]
mod tests {
    #[test]
    fn clients_are_object_safe() {
        fn takes(_: Option<&dyn super::ObjectClient>) {}
        takes(None);
    }
}
