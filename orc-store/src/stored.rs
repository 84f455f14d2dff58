//! One revision of one object.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use orc_core::{ApiError, Doc, Head, Object, ObjectKey, Revision};
use parking_lot::Mutex;

/// One revision of one object: identity, head, canonical body, and typed views while somebody holds them.
///
/// Immutable and shared by `Arc` from the log to every watcher. The body is JSON of the storage version without
/// `resourceVersion`; [`Stored::frame`] splices the revision in while writing.
pub struct Stored {
    /// The object's identity.
    pub key: ObjectKey,
    /// The revision that wrote it.
    pub revision: Revision,
    /// What is known without decoding.
    pub head: Head,
    /// The canonical body.
    pub body: Bytes,
    views: Mutex<Vec<(TypeId, Weak<dyn Any + Send + Sync>)>>,
}

impl Stored {
    /// Puts the parts together.
    pub fn new(key: ObjectKey, revision: Revision, head: Head, body: Bytes) -> Self {
        Self { key, revision, head, body, views: Mutex::new(Vec::new()) }
    }

    /// Reads the head of a body and puts the parts together. `paths` are the resource's selectable fields.
    ///
    /// # Errors
    /// As [`Head::parse`].
    pub fn parse(key: ObjectKey, revision: Revision, body: Bytes, paths: &[impl AsRef<str>]) -> Result<Self, ApiError> {
        let head = Head::parse(&body, paths)?;
        Ok(Self::new(key, revision, head, body))
    }

    /// Whether the body may have a field of this name, at any depth: a look at its bytes, for those who would otherwise decode
    /// every object to find the few that matter to them. A text that reads like the field counts as well.
    pub fn may_have(&self, field: &str) -> bool {
        let quoted = [b"\"", field.as_bytes(), b"\":"].concat();
        memchr::memmem::find(&self.body, &quoted).is_some()
    }

    /// The object as the type `K`, decoded once while anyone holds the result. It is what loops read, so it is **without
    /// `metadata.managedFields`**; [`Stored::decode`] has all.
    ///
    /// # Errors
    /// `InternalError` when the body does not fit the type.
    pub fn view<K: Object>(&self) -> Result<Arc<K>, ApiError> {
        let id = TypeId::of::<K>();
        let held = |views: &Vec<(TypeId, Weak<dyn Any + Send + Sync>)>| {
            let (_, weak) = views.iter().find(|(of, _)| *of == id)?;
            weak.upgrade()?.downcast::<K>().ok()
        };
        if let Some(view) = held(&self.views.lock()) {
            return Ok(view);
        }
        let view = Arc::new(self.typed::<K>(&self.head.lean(&self.body))?);
        let mut views = self.views.lock();
        if let Some(winner) = held(&views) {
            return Ok(winner);
        }
        views.retain(|(of, weak)| *of != id && weak.strong_count() > 0);
        let weak: Weak<dyn Any + Send + Sync> = Arc::downgrade(&(view.clone() as Arc<dyn Any + Send + Sync>));
        views.push((id, weak));
        Ok(view)
    }

    /// The object as a value of its own, whole.
    ///
    /// # Errors
    /// As [`Stored::view`].
    pub fn decode<K: Object>(&self) -> Result<K, ApiError> {
        self.typed(&self.body)
    }

    fn typed<K: Object>(&self, body: &[u8]) -> Result<K, ApiError> {
        let mut object: K = serde_json::from_slice(body)
            .map_err(|e| ApiError::internal(format!("{} does not decode: {e}", self.key)))?;
        object.meta_mut().resource_version = Some(self.revision.to_string());
        Ok(object)
    }

    /// The object as a document, with its `resourceVersion`.
    ///
    /// # Errors
    /// `InternalError` when the body does not decode.
    pub fn to_doc(&self) -> Result<Doc, ApiError> {
        let mut doc = Doc::from_body(&self.body)?;
        doc.set(&["metadata", "resourceVersion"], self.revision.to_string());
        Ok(doc)
    }

    /// The body with the revision spliced in, as slices; `at` overrides the revision (a DELETED event carries an older body
    /// under the event's revision).
    pub fn frame(&self, at: Option<Revision>, with_gvk: bool) -> [Bytes; 3] {
        self.head.frame(&self.body, at.unwrap_or(self.revision), with_gvk)
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.key, self.revision)
    }
}

impl PartialEq for Stored {
    fn eq(&self, other: &Self) -> bool {
        self.revision == other.revision && self.key == other.key && self.body == other.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;
    use orc_core::ResourceId;
    use serde_json::json;

    #[test]
    fn a_view_is_decoded_once_while_it_is_held() {
        let doc = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"},
            "metadata": {"name": "x", "managedFields": [{"manager": "m"}]}});
        let key = ObjectKey::namespaced(ResourceId::new("", "configmaps"), "d", "x");
        let body = Doc::from_value(doc).unwrap().to_body();
        let stored = Stored::parse(key, Revision(9), body, &[] as &[&str]).unwrap();
        let (one, two) = (stored.view::<ConfigMap>().unwrap(), stored.view::<ConfigMap>().unwrap());
        assert!(Arc::ptr_eq(&one, &two));
        assert_eq!(one.metadata.resource_version.as_deref(), Some("9"));
        assert_eq!(one.metadata.managed_fields, None);
        assert_eq!(stored.decode::<ConfigMap>().unwrap().metadata.managed_fields.map(|fields| fields.len()), Some(1));
    }
}
