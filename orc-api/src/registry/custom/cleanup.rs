//! A deleted definition takes its objects with it; when they are gone, it goes.
//!
//! Follows the finalizing controller of `apiextensions-apiserver`. Objects with finalizers keep the definition until whoever set
//! them is done: the task waits for the changes of the objects, not for a clock.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::StreamExt as _;
use orc_core::{ApiError, Doc};
use orc_store::client::{
    DeleteOptions, Intent, ListOptions, Modify, ObjectClient as _, Scope, Subresource, Target, WatchOptions,
    WatchStart, WriteRequest,
};
use orc_store::{Store, local};

use super::definition::{CLEANUP, Definition};
use super::names::set_condition;
use crate::identity::Identity;
use crate::registry::Registry;

/// How long to wait after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// Deletes all objects of a definition, waits until they are gone, and lets the definition go.
pub(super) async fn run(registry: Weak<Registry>, store: Arc<Store>, name: String) {
    loop {
        let Some(strong) = registry.upgrade() else { return };
        let clock = strong.system.clock.clone();
        let Some(definition) = strong.definitions.refresh(&name) else { return };
        let scope = Scope::all(definition.id());
        match strong.empty(&definition, &scope).await {
            Ok(true) => match strong.let_go(&definition).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, name, "a definition could not be let go yet"),
            },
            Ok(false) => {
                let from = store.current();
                drop(strong);
                changed(&store, &scope, from).await;
                continue;
            }
            Err(error) => tracing::warn!(%error, name, "the objects of a deleted definition could not be deleted yet"),
        }
        drop(strong);
        clock.sleep(PAUSE).await;
    }
}

/// Waits for a change in a scope.
async fn changed(store: &Store, scope: &Scope, from: orc_core::Revision) {
    let options = WatchOptions { start: WatchStart::After(from), ..WatchOptions::default() };
    if let Ok(mut stream) = store.watch(scope, &options).await
        && store.count(&scope.resource) > 0
    {
        // An end of the watch is a reason to look again as well.
        let _ = stream.next().await;
    }
}

impl Registry {
    /// Deletes what is not being deleted; says whether nothing is left.
    async fn empty(self: &Arc<Self>, definition: &Definition, scope: &Scope) -> Result<bool, ApiError> {
        if !definition.is("Established") {
            return Ok(true);
        }
        let items = self.store.list(scope, &ListOptions::default()).await?.items;
        if !items.is_empty() {
            let why = "CustomResource deletion is in progress";
            self.terminating(definition.name(), ["Terminating", "True", "InstanceDeletionInProgress", why]).await?;
        }
        let who = Identity::user("system:apiserver", &["system:masters"]);
        let client = self.trusted(who, "kube-apiserver");
        for item in items.iter().filter(|item| !item.head.is_terminating()) {
            let target = Target::object(item.key.clone());
            match client.write(WriteRequest::new(target, Intent::Delete(DeleteOptions::default()))).await {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        Ok(self.store.count(&scope.resource) == 0)
    }

    async fn let_go(&self, definition: &Definition) -> Result<(), ApiError> {
        let (reason, why) = match definition.is("Established") {
            true => ("InstanceDeletionCompleted", "removed all instances"),
            false => ("NeverEstablished", "resource was never established"),
        };
        self.terminating(definition.name(), ["Terminating", "False", reason, why]).await?;
        let modify: Modify = Arc::new(|doc: &mut Doc| {
            let left: Vec<String> = local::rules::finalizers(doc).into_iter().filter(|name| name != CLEANUP).collect();
            local::rules::set_finalizers(doc, &left);
            Ok(())
        });
        self.write_definition(definition.name(), None, modify).await
    }

    async fn terminating(&self, name: &str, condition: [&'static str; 4]) -> Result<(), ApiError> {
        let now = self.system.clock.now();
        let modify: Modify = Arc::new(move |doc: &mut Doc| {
            set_condition(doc.value_mut(), condition, now);
            Ok(())
        });
        self.write_definition(name, Some(&Subresource::STATUS), modify).await
    }
}
