//! The typed face of the verbs.
//!
//! An [`Api`] is a client, a type and a namespace. It decodes what comes back and encodes what goes out; everything else is
//! the client's. To change an object that may have fields which the type does not know, use [`Api::modify`]: it sends only
//! what the closure changed, while [`Api::replace`] erases what the type does not know.

mod modify;
mod watch;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use orc_core::{ApiError, Doc, Name, Object, ObjectKey, ResourceId, Revision};

pub use self::watch::TypedEvent;
use crate::client::{
    Continue, DeleteOptions, Freshness, Gotten, Intent, ListOptions, ObjectClient, Outcome, PatchKind, ReadOptions,
    Scope, Subresource, Target, WriteRequest,
};

/// Objects of one type, in one namespace or in all.
pub struct Api<K: Object> {
    client: Arc<dyn ObjectClient>,
    dynamic: Arc<K::DynamicType>,
    scope: Scope,
    of: PhantomData<fn() -> K>,
}

/// A page of typed objects.
#[derive(Clone, Debug)]
pub struct TypedList<K> {
    /// The objects in key order.
    pub items: Vec<Arc<K>>,
    /// The revision that the list shows.
    pub revision: Revision,
    /// Where the next page starts.
    pub next: Option<Continue>,
}

impl<K: Object> Api<K>
where
    K::DynamicType: Default,
{
    /// The objects of all namespaces, or of a cluster-scoped kind.
    pub fn all(client: Arc<dyn ObjectClient>) -> Self {
        Self::all_with(client, K::DynamicType::default())
    }

    /// The objects of one namespace.
    pub fn namespaced(client: Arc<dyn ObjectClient>, namespace: impl Into<Name>) -> Self {
        Self::namespaced_with(client, namespace, K::DynamicType::default())
    }
}

impl<K: Object> Api<K> {
    /// As [`Api::all`], for a type whose kind is a value.
    pub fn all_with(client: Arc<dyn ObjectClient>, dynamic: K::DynamicType) -> Self {
        let scope = Scope::all(ResourceId::of_type::<K>(&dynamic));
        Self { client, dynamic: Arc::new(dynamic), scope, of: PhantomData }
    }

    /// As [`Api::namespaced`], for a type whose kind is a value.
    pub fn namespaced_with(client: Arc<dyn ObjectClient>, namespace: impl Into<Name>, dynamic: K::DynamicType) -> Self {
        let scope = Scope::within(ResourceId::of_type::<K>(&dynamic), namespace);
        Self { client, dynamic: Arc::new(dynamic), scope, of: PhantomData }
    }

    /// The scope.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The client.
    pub fn client(&self) -> &Arc<dyn ObjectClient> {
        &self.client
    }

    /// The key of an object of this scope.
    pub fn key(&self, name: &str) -> ObjectKey {
        ObjectKey { resource: self.scope.resource.clone(), namespace: self.scope.namespace.clone(), name: name.into() }
    }

    /// Reads an object.
    ///
    /// # Errors
    /// `NotFound` and the client's.
    pub async fn get(&self, name: &str) -> Result<Arc<K>, ApiError> {
        self.get_with(name, Freshness::Latest).await
    }

    /// Reads an object at a stated freshness.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn get_with(&self, name: &str, freshness: Freshness) -> Result<Arc<K>, ApiError> {
        match self.client.get(&Target::object(self.key(name)), &ReadOptions { freshness }).await? {
            Gotten::Stored(stored) => stored.decode().map(Arc::new),
            Gotten::Made(doc) => doc.to_typed().map(Arc::new),
        }
    }

    /// Reads an object that may not be there.
    ///
    /// # Errors
    /// The client's, `NotFound` apart.
    pub async fn get_opt(&self, name: &str) -> Result<Option<Arc<K>>, ApiError> {
        match self.get(name).await {
            Err(error) if error.is_not_found() => Ok(None),
            other => other.map(Some),
        }
    }

    /// Reads the objects of the scope.
    ///
    /// # Errors
    /// The client's; `InternalError` when one does not fit the type.
    pub async fn list(&self, options: &ListOptions) -> Result<TypedList<K>, ApiError> {
        let page = self.client.list(&self.scope, options).await?;
        let items = page.items.iter().map(|stored| stored.decode().map(Arc::new)).collect::<Result<_, _>>()?;
        Ok(TypedList { items, revision: page.revision, next: page.next })
    }

    /// Makes a new object. Without a name, `generateName` is the prefix of one.
    ///
    /// # Errors
    /// `AlreadyExists`, and the client's.
    pub async fn create(&self, object: &K) -> Result<Arc<K>, ApiError> {
        self.write(self.new_target(object)?, Intent::Create(self.encode(object)?)).await
    }

    /// As [`Api::create`], for those who do not read the answer: it is not decoded.
    ///
    /// # Errors
    /// As [`Api::create`].
    pub async fn create_unread(&self, object: &K) -> Result<(), ApiError> {
        let request = WriteRequest::new(self.new_target(object)?, Intent::Create(self.encode(object)?));
        self.client.write(request).await.map(drop)
    }

    /// Puts the object in the place of the one of its name. Its `resourceVersion`, when set, must match. Fields that the
    /// type does not know are erased; see [`Api::modify`].
    ///
    /// # Errors
    /// `Conflict`, `NotFound`, and the client's.
    pub async fn replace(&self, object: &K) -> Result<Arc<K>, ApiError> {
        let key = self.key_of(object, object.meta().name.as_deref().unwrap_or_default())?;
        self.write(Target::object(key), Intent::Replace(self.encode(object)?)).await
    }

    /// As [`Api::replace`], of the status alone.
    ///
    /// # Errors
    /// As [`Api::replace`].
    pub async fn replace_status(&self, object: &K) -> Result<Arc<K>, ApiError> {
        let key = self.key_of(object, object.meta().name.as_deref().unwrap_or_default())?;
        self.write(Target::status(key), Intent::Replace(self.encode(object)?)).await
    }

    /// Patches an object.
    ///
    /// # Errors
    /// `NotFound`, `Invalid`, and the client's.
    pub async fn patch(&self, name: &str, kind: PatchKind, patch: impl Into<Bytes>) -> Result<Arc<K>, ApiError> {
        self.write(Target::object(self.key(name)), Intent::Patch(kind, patch.into())).await
    }

    /// Patches a sub-resource of an object.
    ///
    /// # Errors
    /// As [`Api::patch`].
    pub async fn patch_sub(
        &self,
        name: &str,
        sub: Subresource,
        kind: PatchKind,
        patch: impl Into<Bytes>,
    ) -> Result<Arc<K>, ApiError> {
        self.write(Target::Named(self.key(name), Some(sub)), Intent::Patch(kind, patch.into())).await
    }

    /// Deletes an object. `Ok` also when it only started to end (finalizers, grace period).
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when a precondition does not hold, and the client's.
    pub async fn delete(&self, name: &str, options: DeleteOptions) -> Result<(), ApiError> {
        let request = WriteRequest::new(Target::object(self.key(name)), Intent::Delete(options));
        self.client.write(request).await.map(drop)
    }

    /// Deletes the selected objects of the scope.
    ///
    /// # Errors
    /// The client's.
    pub async fn delete_all(&self, options: DeleteOptions, list: ListOptions) -> Result<(), ApiError> {
        let intent = Intent::DeleteCollection(options, Box::new(list));
        self.client.write(WriteRequest::new(Target::Collection(self.scope.clone()), intent)).await.map(drop)
    }

    async fn write(&self, target: Target, intent: Intent) -> Result<Arc<K>, ApiError> {
        let written = self.client.write(WriteRequest::new(target, intent)).await?;
        match written.outcome {
            Outcome::Persisted(stored) => stored.decode().map(Arc::new),
            Outcome::Unsaved(doc) => doc.to_typed().map(Arc::new),
            Outcome::Collection(_) | Outcome::Status(_) => {
                Err(ApiError::internal("the write did not return an object"))
            }
        }
    }

    /// The document of an object, with its type.
    fn encode(&self, object: &K) -> Result<Doc, ApiError> {
        let mut doc = Doc::from_typed(object)?;
        if doc.api_version().is_empty() {
            doc.set(&["apiVersion"], K::api_version(&self.dynamic).as_ref());
        }
        if doc.kind().is_empty() {
            doc.set(&["kind"], K::kind(&self.dynamic).as_ref());
        }
        Ok(doc)
    }

    /// Where a new object goes: under its own name, or under one made of its prefix.
    fn new_target(&self, object: &K) -> Result<Target, ApiError> {
        let meta = object.meta();
        match (meta.name.as_deref(), meta.generate_name.as_deref()) {
            (Some(name), _) if !name.is_empty() => Ok(Target::object(self.key_of(object, name)?)),
            (_, Some(prefix)) if !prefix.is_empty() => {
                let namespace = self.key_of(object, "")?.namespace;
                Ok(Target::Generated { scope: Scope { namespace, ..self.scope.clone() }, prefix: prefix.to_owned() })
            }
            _ => Err(ApiError::bad_request("name or generateName is required")),
        }
    }

    /// The key of an object: its own namespace where this face has none.
    fn key_of(&self, object: &K, name: &str) -> Result<ObjectKey, ApiError> {
        let own = object.meta().namespace.as_deref().filter(|namespace| !namespace.is_empty());
        let namespace = match (&self.scope.namespace, own) {
            (Some(here), Some(own)) if *here != *own => {
                let text = "the namespace of the provided object does not match the namespace sent on the request";
                return Err(ApiError::bad_request(text));
            }
            (Some(here), _) => Some(here.clone()),
            (None, own) => own.map(Name::new),
        };
        Ok(ObjectKey { resource: self.scope.resource.clone(), namespace, name: name.into() })
    }
}

impl<K: Object> Clone for Api<K> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), dynamic: self.dynamic.clone(), scope: self.scope.clone(), of: PhantomData }
    }
}

impl<K: Object> fmt::Debug for Api<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Api").field(&self.scope).finish()
    }
}
