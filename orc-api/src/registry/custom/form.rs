//! Objects in the version that a caller speaks.
//!
//! What is stored is as the last writer's schema wanted it. It is read as its own version's schema wants it now (unknown fields
//! dropped, defaults filled in), converted, and pruned once more; nothing of that is written back until somebody writes the
//! object. So a change of a schema costs nothing until objects are read.

use std::sync::Arc;

use futures::StreamExt as _;
use orc_core::{ApiError, Doc};
use orc_store::{Before, Stored, WatchEnd, WatchEvent, WatchStream};
use serde_json::Value;

use super::{Definition, Spoken};
use crate::custom::structural::{default, prune};
use crate::registry::Registry;
use crate::registry::kind::Kind;

impl Registry {
    /// The documents of stored objects in the version of a kind, without revisions.
    ///
    /// # Errors
    /// When a conversion fails.
    pub(crate) async fn speak(&self, kind: &Kind, stored: &[Arc<Stored>]) -> Result<Vec<Doc>, ApiError> {
        let docs = stored.iter().map(|stored| Doc::from_body(&stored.body)).collect::<Result<Vec<_>, _>>()?;
        if let Some(foreign) = kind.foreign {
            return docs.into_iter().map(|doc| foreign.from_stored(doc)).collect();
        }
        let Some(custom) = &kind.custom else { return Ok(docs) };
        let values = docs.into_iter().map(|doc| normal(&custom.definition, doc.into_value())).collect();
        let values = self.convert(&custom.definition, values, &custom.spoken).await?;
        values.into_iter().map(Doc::from_value).collect()
    }

    /// Stored objects as the version of a kind shows them; those that look the same are passed on as they are.
    ///
    /// # Errors
    /// As [`Registry::speak`].
    pub(crate) async fn present(&self, kind: &Kind, stored: Vec<Arc<Stored>>) -> Result<Vec<Arc<Stored>>, ApiError> {
        if (kind.custom.is_none() && kind.foreign.is_none()) || stored.is_empty() {
            return Ok(stored);
        }
        let docs = self.speak(kind, &stored).await?;
        let again = |(stored, doc): (Arc<Stored>, Doc)| {
            let body = doc.to_body();
            if body == stored.body {
                return Ok(stored);
            }
            Stored::parse(stored.key.clone(), stored.revision, body, &[] as &[&str]).map(Arc::new)
        };
        stored.into_iter().zip(docs).map(again).collect()
    }

    /// A document of a kind's version in the form that is stored.
    ///
    /// # Errors
    /// As [`Registry::speak`].
    pub(crate) async fn store_form(&self, kind: &Kind, doc: Doc) -> Result<Doc, ApiError> {
        if let Some(foreign) = kind.foreign {
            return foreign.to_stored(doc);
        }
        let Some(custom) = &kind.custom else { return Ok(doc) };
        let storage = custom.definition.storage()?;
        if storage.api_version == custom.spoken.api_version {
            return Ok(doc);
        }
        let mut values = self.convert(&custom.definition, vec![doc.into_value()], storage).await?;
        Doc::from_value(values.pop().unwrap_or_default())
    }

    /// A watch of a kind's version. Each event is shown by the definition of its time; when the version is no longer served,
    /// the watch ends.
    pub(crate) fn show(self: &Arc<Self>, kind: &Kind, stream: WatchStream) -> WatchStream {
        let id = match (&kind.custom, kind.foreign, &kind.info.id) {
            (Some(custom), _, _) => custom.definition.id(),
            (None, Some(_), Some(id)) => id.clone(),
            _ => return stream,
        };
        let (registry, version) = (self.clone(), kind.api_version());
        let events = stream.then(move |event| {
            let (registry, id, version) = (registry.clone(), id.clone(), version.clone());
            async move {
                let closed = || WatchEnd::Closed(format!("{id} is no longer served in version {version}"));
                let kind = registry.kind_in(&id, Some(&version)).map_err(|_| closed())?;
                let failed = |error: ApiError| WatchEnd::Closed(error.message().to_owned());
                registry.show_event(&kind, event?).await.map_err(failed)
            }
        });
        Box::pin(events)
    }

    async fn show_event(&self, kind: &Kind, event: WatchEvent) -> Result<WatchEvent, ApiError> {
        let one = async |stored: Arc<Stored>| {
            let mut shown = self.present(kind, vec![stored]).await?;
            shown.pop().ok_or_else(|| ApiError::internal("an object was lost in its conversion"))
        };
        Ok(match event {
            WatchEvent::Added(now) => WatchEvent::Added(one(now).await?),
            WatchEvent::Modified { now, before } => {
                let shown = one(now.clone()).await?;
                // What was before is not shown in another form: few ask for it, and it would cost another conversion.
                let before = if Arc::ptr_eq(&shown, &now) { before } else { Before::Unknown };
                WatchEvent::Modified { now: shown, before }
            }
            WatchEvent::Removed { last, at, why } => WatchEvent::Removed { last: one(last).await?, at, why },
            bookmark @ WatchEvent::Bookmark { .. } => bookmark,
        })
    }

    /// Converts objects to a version.
    pub(in crate::registry) async fn convert(
        &self,
        definition: &Definition,
        objects: Vec<Value>,
        to: &Spoken,
    ) -> Result<Vec<Value>, ApiError> {
        let mut converted = self.converted(definition, objects, &to.api_version).await?;
        for object in &mut converted {
            prune::prune(object, &to.version.schema, true);
        }
        Ok(converted)
    }
}

/// An object as its own version's schema wants it now.
fn normal(definition: &Definition, mut object: Value) -> Value {
    let of = object.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    if let Some(spoken) = definition.spoken(of) {
        let schema = &spoken.version.schema;
        prune::prune(&mut object, schema, true);
        default::drop_nulls(&mut object, schema);
        default::default(&mut object, schema);
    }
    object
}
