//! A handle on the registry that carries who asks.

use std::sync::Arc;

use async_trait::async_trait;
use orc_core::{ApiError, Reason};
use orc_store::WatchStream;
use orc_store::client::{
    Gotten, Intent, ListOptions, Listing, ObjectClient, ReadOptions, Scope, Subresource, Target, WatchOptions,
    WriteRequest, Written,
};

use super::{Registry, access};
use crate::identity::Identity;

/// The registry, acting as somebody.
#[derive(Clone)]
pub struct RegistryClient {
    registry: Arc<Registry>,
    who: Identity,
    manager: Arc<str>,
    checked: bool,
}

impl RegistryClient {
    pub(super) fn new(registry: Arc<Registry>, who: Identity, manager: &str, checked: bool) -> Self {
        Self { registry, who, manager: Arc::from(manager), checked }
    }

    /// Who asks.
    pub fn identity(&self) -> &Identity {
        &self.who
    }

    /// The name in `managedFields`.
    pub fn manager(&self) -> &str {
        &self.manager
    }
}

#[async_trait]
impl ObjectClient for RegistryClient {
    async fn get(&self, target: &Target, options: &ReadOptions) -> Result<Gotten, ApiError> {
        if self.checked {
            self.registry.check_access(&self.who, "get", target).await?;
        }
        let Target::Named(key, sub) = target else { return Err(ApiError::bad_request("a get needs a name")) };
        let stored = self.registry.store.get(key, options.freshness).await?;
        let kind = self.registry.kind(&key.resource)?;
        let stored = stored.ok_or_else(|| kind.not_found(key))?;
        match sub.as_ref().map(Subresource::as_str) {
            None | Some("status" | "approval") => Ok(Gotten::Stored(stored)),
            Some("scale") => Ok(Gotten::Made(super::scale::of(&kind, &stored.to_doc()?)?)),
            Some(other) => Err(not_built(other, &kind.info.plural)),
        }
    }

    async fn list(&self, scope: &Scope, options: &ListOptions) -> Result<Listing, ApiError> {
        if self.checked {
            self.registry.check_scope(&self.who, "list", scope, &options.select.fields).await?;
        }
        self.registry.kind(&scope.resource)?;
        self.registry.store.list(scope, options).await
    }

    async fn watch(&self, scope: &Scope, options: &WatchOptions) -> Result<WatchStream, ApiError> {
        if self.checked {
            self.registry.check_scope(&self.who, "watch", scope, &options.select.fields).await?;
        }
        self.registry.kind(&scope.resource)?;
        self.registry.store.watch(scope, options).await
    }

    async fn write(&self, request: WriteRequest) -> Result<Written, ApiError> {
        if self.checked {
            self.registry.check_access(&self.who, access::verb(&request), &request.target).await?;
        }
        let WriteRequest { target, intent, mut options } = request;
        options.field_manager.get_or_insert_with(|| self.manager.to_string());
        let registry = &self.registry;
        match (target, intent) {
            (Target::Collection(scope), Intent::DeleteCollection(delete, list)) => {
                registry.delete_collection(&scope, &delete, &list, &options, &self.who).await
            }
            (Target::Named(key, None), Intent::Create(doc)) => {
                registry.create(&key, None, doc, &options, &self.who).await
            }
            (Target::Generated { scope, prefix }, Intent::Create(doc)) => {
                registry.create_generated(&scope, &prefix, doc, &options, &self.who).await
            }
            (Target::Named(key, Some(sub)), Intent::Create(doc)) => match sub.as_str() {
                "binding" => registry.bind(&key, &doc, &options, &self.who).await,
                "token" => registry.token(&key, doc, &options, &self.who).await,
                "eviction" => registry.evict(&key, &doc, &options, &self.who).await,
                other => Err(not_built(other, key.resource.plural())),
            },
            (Target::Named(key, None), Intent::Delete(delete)) => registry.delete(&key, &delete, &options, &self.who).await,
            (Target::Named(key, Some(sub)), intent) if sub == Subresource::SCALE => {
                registry.write_scale(&key, &intent, &options, &self.who).await
            }
            (Target::Named(key, sub), intent @ (Intent::Replace(_) | Intent::Patch(..) | Intent::Modify(_))) => {
                registry.update(&key, sub.as_ref(), &intent, &options, &self.who).await
            }
            (target, intent) => {
                let verb = format!("{intent:?}").to_ascii_lowercase();
                Err(ApiError::method_not_allowed(target.resource().group(), target.resource().plural(), &verb))
            }
        }
    }
}

/// The clear word for what this version does not do.
pub(super) fn not_built(what: &str, resource: &str) -> ApiError {
    ApiError::new(Reason::MethodNotAllowed, format!("orc does not serve {resource}/{what} yet")).with_code(501)
}
