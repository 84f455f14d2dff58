//! A handle on the registry that carries who asks.

use std::sync::Arc;

use async_trait::async_trait;
use orc_core::{ApiError, Name, Reason, ResourceId};
use orc_store::WatchStream;
use orc_store::client::{
    Gotten, Intent, ListOptions, Listing, ObjectClient, Outcome, ReadOptions, Scope, Subresource, Target, WatchOptions,
    WriteRequest, Written,
};

use super::kind::Kind;
use super::{Registry, access};
use crate::identity::Identity;

/// The registry, acting as somebody.
#[derive(Clone)]
pub struct RegistryClient {
    registry: Arc<Registry>,
    who: Identity,
    manager: Arc<str>,
    checked: bool,
    version: Option<Name>,
}

impl RegistryClient {
    pub(super) fn new(registry: Arc<Registry>, who: Identity, manager: &str, checked: bool) -> Self {
        Self { registry, who, manager: Arc::from(manager), checked, version: None }
    }

    /// The same handle for a caller that speaks a version, as `v1` or with its group as `events.k8s.io/v1`: objects are
    /// read and written in it, not in the one that they are stored in.
    #[must_use]
    pub fn in_version(mut self, version: &str) -> Self {
        self.version = Some(Name::new(version));
        self
    }

    fn kind(&self, id: &ResourceId) -> Result<Kind, ApiError> {
        self.registry.kind_in(id, self.version.as_deref())
    }

    async fn shown(&self, written: Written, id: &ResourceId) -> Result<Written, ApiError> {
        // What was deleted by the write is shown as it was; only what is still served can be converted.
        let Ok(kind) = self.kind(id) else { return Ok(written) };
        let outcome = match written.outcome {
            Outcome::Persisted(stored) => {
                let mut shown = self.registry.present(&kind, vec![stored]).await?;
                shown.pop().map(Outcome::Persisted).ok_or_else(|| ApiError::internal("nothing was shown"))?
            }
            Outcome::Collection(items) => Outcome::Collection(self.registry.present(&kind, items).await?),
            other => other,
        };
        Ok(Written { outcome, ..written })
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
        let kind = self.kind(&key.resource)?;
        let stored = stored.ok_or_else(|| kind.not_found(key))?;
        let mut shown = self.registry.present(&kind, vec![stored]).await?;
        let stored = shown.pop().ok_or_else(|| kind.not_found(key))?;
        match sub.as_ref().map(Subresource::as_str) {
            None | Some("status" | "approval" | "ephemeralcontainers" | "resize") => Ok(Gotten::Stored(stored)),
            Some("scale") => Ok(Gotten::Made(super::scale::of(&kind, &stored.to_doc()?)?)),
            Some(other) => Err(not_built(other, &kind.info.plural)),
        }
    }

    async fn list(&self, scope: &Scope, options: &ListOptions) -> Result<Listing, ApiError> {
        if self.checked {
            self.registry.check_scope(&self.who, "list", scope, &options.select.fields).await?;
        }
        let kind = self.kind(&scope.resource)?;
        let listing = self.registry.store.list(scope, options).await?;
        Ok(Listing { items: self.registry.present(&kind, listing.items).await?, ..listing })
    }

    async fn watch(&self, scope: &Scope, options: &WatchOptions) -> Result<WatchStream, ApiError> {
        if self.checked {
            self.registry.check_scope(&self.who, "watch", scope, &options.select.fields).await?;
        }
        let kind = self.kind(&scope.resource)?;
        let stream = self.registry.store.watch(scope, options).await?;
        Ok(self.registry.show(&kind, stream))
    }

    async fn write(&self, request: WriteRequest) -> Result<Written, ApiError> {
        if self.checked {
            self.registry.check_access(&self.who, access::verb(&request), &request.target).await?;
        }
        let WriteRequest { target, intent, mut options } = request;
        options.field_manager.get_or_insert_with(|| self.manager.to_string());
        options.version = options.version.or_else(|| self.version.clone());
        let registry = &self.registry;
        let id = target.resource().clone();
        let written = match (target, intent) {
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
            (Target::Named(key, None), Intent::Delete(delete)) => {
                registry.delete(&key, &delete, &options, &self.who).await
            }
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
        }?;
        self.shown(written, &id).await
    }
}

/// The clear word for what this version does not do.
pub(super) fn not_built(what: &str, resource: &str) -> ApiError {
    ApiError::new(Reason::MethodNotAllowed, format!("orc does not serve {resource}/{what} yet")).with_code(501)
}
