//! The `scale` sub-resource: the replica count of a workload, in one form for all kinds.

use orc_core::labels::Selector;
use orc_core::{ApiError, Doc, ObjectKey, Revision};
use orc_store::Stored;
use orc_store::client::{Intent, Modify, Outcome, PatchKind, WriteOptions, Written};
use serde_json::{Value, json};
use std::sync::Arc;

use super::Registry;
use super::kind::{Custom, Kind};
use crate::custom::scale::ScalePaths;
use crate::identity::Identity;

/// The Scale of an object.
///
/// # Errors
/// `InternalError` when the object's selector does not read.
pub(super) fn of(kind: &Kind, doc: &Doc) -> Result<Doc, ApiError> {
    if let Some(custom) = &kind.custom {
        return Doc::from_value(custom_paths(custom)?.scale(doc.value())?);
    }
    let number = |path: &[&str]| doc.at(path).and_then(Value::as_i64).unwrap_or_default();
    let selector = match doc.at(&["spec", "selector"]) {
        Some(selector) if kind.info.kind == "ReplicationController" => json!({"matchLabels": selector}),
        Some(selector) => selector.clone(),
        None => json!({}),
    };
    let selector = Selector::from_value(&selector).map_err(ApiError::internal)?.to_string();
    let metadata = doc.at(&["metadata"]).cloned().unwrap_or_default();
    let keep = ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"];
    let metadata: serde_json::Map<String, Value> =
        keep.iter().filter_map(|name| Some(((*name).to_owned(), metadata.get(name)?.clone()))).collect();
    Doc::from_value(json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": {"replicas": number(&["spec", "replicas"])},
        "status": {"replicas": number(&["status", "replicas"]), "selector": selector},
    }))
}

impl Registry {
    /// Writes the replica count through the Scale.
    pub(super) async fn write_scale(
        &self,
        key: &ObjectKey,
        intent: &Intent,
        options: &WriteOptions,
        who: &Identity,
    ) -> Result<Written, ApiError> {
        let kind = self.kind_in(&key.resource, options.version.as_deref())?;
        let (stored, mut doc) = self.current(&kind, key).await?;
        doc.set(&["metadata", "resourceVersion"], stored.revision.to_string());
        if let Intent::Patch(PatchKind::Apply, bytes) = intent {
            let config = self.scale_config(&kind, key, bytes)?;
            let intent = Intent::Patch(PatchKind::Apply, config.to_string().into());
            let written = self.update_as(key, None, Some("scale"), &intent, options, who).await?;
            return scaled(&kind, written);
        }
        let (replicas, demanded) = wanted(&kind, &doc, &stored, intent)?;
        let path = kind.custom.as_ref().map(custom_paths).transpose()?.map(|paths| paths.spec.clone());
        let intent: Modify = Arc::new(move |doc: &mut Doc| {
            match &path {
                Some(path) => crate::custom::scale::put(doc.value_mut(), path, replicas.into())?,
                None => doc.set(&["spec", "replicas"], replicas),
            }
            if let Some(demanded) = demanded {
                doc.set(&["metadata", "resourceVersion"], demanded.to_string());
            }
            Ok(())
        });
        let written = self.update_as(key, None, Some("scale"), &Intent::Modify(intent), options, who).await?;
        scaled(&kind, written)
    }

    /// The configuration of the object that a configuration of its Scale stands for.
    fn scale_config(&self, kind: &Kind, key: &ObjectKey, bytes: &[u8]) -> Result<Value, ApiError> {
        let config = super::patch::read(bytes)?;
        if let Some(name) = kind.custom.as_ref().map(|_| config.pointer("/metadata/namespace")) {
            let namespace = name.and_then(Value::as_str).unwrap_or_default();
            return Err(ApiError::new(orc_core::Reason::Unknown, format!("failed to convert new object ({namespace}/{}; autoscaling/v1, Kind=Scale) to proper version: request to convert CR to an invalid group/version: autoscaling/v1", key.name)).with_code(500));
        }
        let text = |path: &str| config.pointer(path).and_then(Value::as_str).unwrap_or_default();
        if text("/kind") != "Scale" || text("/apiVersion") != "autoscaling/v1" {
            let (version, kind) = (text("/apiVersion"), text("/kind"));
            return Err(ApiError::bad_request(format!("invalid object type: {version}, Kind={kind}")));
        }
        let mut out =
            json!({"apiVersion": kind.api_version(), "kind": kind.info.kind, "metadata": {"name": key.name.as_str()}});
        if let Some(replicas) = config.pointer("/spec/replicas") {
            out["spec"] = json!({"replicas": replicas});
        }
        Ok(out)
    }
}

/// The answer to a write through the Scale.
fn scaled(kind: &Kind, written: Written) -> Result<Written, ApiError> {
    let object = match &written.outcome {
        Outcome::Persisted(stored) => stored.to_doc()?,
        Outcome::Unsaved(doc) => doc.clone(),
        _ => return Err(ApiError::internal("scaling stored no object")),
    };
    Ok(Written { outcome: Outcome::Unsaved(of(kind, &object)?), ..written })
}

/// Where a custom kind keeps what its Scale shows.
fn custom_paths(custom: &Custom) -> Result<&ScalePaths, ApiError> {
    let paths = custom.spoken.version.scale.as_ref();
    paths.ok_or_else(|| ApiError::internal(format!("{} has no scale", custom.definition.name())))
}

fn wanted(kind: &Kind, doc: &Doc, stored: &Stored, intent: &Intent) -> Result<(i64, Option<Revision>), ApiError> {
    let scale = of(kind, doc)?;
    let next = match intent {
        Intent::Replace(next) => next.clone(),
        Intent::Patch(how, bytes) => {
            let (mut value, patch) = (scale.into_value(), super::patch::read(bytes)?);
            match how {
                PatchKind::Json => orc_core::patch::apply_json(&mut value, &patch)?,
                PatchKind::Apply => return Err(super::client::not_built("server-side apply", "scale")),
                // Scale has no lists: strategic and plain merge are the same.
                PatchKind::Merge | PatchKind::Strategic => orc_core::patch::apply_merge(&mut value, &patch)?,
            }
            Doc::from_value(value)?
        }
        other => return Err(ApiError::bad_request(format!("{other:?} does not apply to a scale"))),
    };
    let replicas = next.at(&["spec", "replicas"]).and_then(Value::as_i64).unwrap_or_default();
    if kind.custom.is_none() && (replicas < 0 || replicas > i64::from(i32::MAX)) {
        let spec = orc_core::validation::FieldPath::new("spec");
        let path = spec.child("replicas");
        let error =
            orc_core::validation::FieldError::invalid(&path, json!(replicas), "must be greater than or equal to 0");
        return Err(ApiError::invalid("autoscaling", "Scale", &stored.key.name, &[error]));
    }
    let demanded = orc_store::local::rules::demanded_revision(&next)?;
    if demanded.is_some_and(|demanded| demanded != stored.revision) {
        return Err(ApiError::stale(&kind.info.group, &kind.info.plural, &stored.key.name));
    }
    Ok((replicas, demanded))
}
