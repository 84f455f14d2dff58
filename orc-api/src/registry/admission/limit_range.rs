//! The limits of a namespace: defaults for containers, bounds for containers, pods and claims (LimitRanger).

use orc_core::quota::amounts;
use orc_core::quota::pod::{Side, total};
use orc_core::{ApiError, Doc, ResourceId};
use orc_store::client::{Freshness, ListOptions, Scope};
use serde_json::{Map, Value, json};

use super::super::Registry;
use super::bounds::{self, Bounds};
use crate::admission::{Attributes, Operation};

/// Tells what was filled in.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

impl Registry {
    /// Fills in the defaults of the namespace's limit ranges.
    pub(super) async fn default_limits(&self, ask: &mut Attributes<'_>) -> Result<(), ApiError> {
        if !applies(ask) || ask.resource() != "pods" {
            return Ok(());
        }
        let ranges = self.limit_ranges(ask).await?;
        if let Some(pod) = ask.object.as_mut() {
            ranges.iter().for_each(|range| fill(pod, range));
        }
        Ok(())
    }

    /// Checks an object against the namespace's limit ranges.
    ///
    /// # Errors
    /// 403 with all bounds of one range that are broken.
    pub(super) async fn check_limits(&self, ask: &Attributes<'_>) -> Result<(), ApiError> {
        if !applies(ask) {
            return Ok(());
        }
        for range in self.limit_ranges(ask).await? {
            let broken = broken(&range, ask.resource(), ask.new_value());
            match broken.as_slice() {
                [] => {}
                [one] => return Err(ask.forbid(one)),
                many => return Err(ask.forbid(format!("[{}]", many.join(", ")))),
            }
        }
        Ok(())
    }

    async fn limit_ranges(&self, ask: &Attributes<'_>) -> Result<Vec<Doc>, ApiError> {
        let Some(namespace) = &ask.key.namespace else { return Ok(Vec::new()) };
        let scope = Scope::within(ResourceId::new("", "limitranges"), namespace.clone());
        let options = ListOptions { freshness: Freshness::Any, ..ListOptions::default() };
        self.store.list(&scope, &options).await?.items.iter().map(|item| Doc::from_body(&item.body)).collect()
    }
}

/// Pods when they are made or resized, claims when they are made or changed; nothing that is on its way out.
fn applies(ask: &Attributes<'_>) -> bool {
    if ask.old.is_some_and(|old| old.at(&["metadata", "deletionTimestamp"]).is_some()) {
        return false;
    }
    matches!(
        (ask.resource(), ask.subresource, ask.operation),
        ("pods", "", Operation::Create)
            | ("pods", "resize", Operation::Update)
            | ("persistentvolumeclaims", "", Operation::Create | Operation::Update)
    )
}

fn limits(range: &Doc) -> impl Iterator<Item = &Value> {
    range.at(&["spec", "limits"]).and_then(Value::as_array).into_iter().flatten()
}

fn kind(limit: &Value) -> &str {
    limit.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// Writes a range's defaults into the containers of a pod.
fn fill(pod: &mut Doc, range: &Doc) {
    let (mut requests, mut most) = (Map::new(), Map::new());
    for limit in limits(range).filter(|limit| kind(limit) == "Container") {
        for (into, field) in [(&mut requests, "defaultRequest"), (&mut most, "default")] {
            into.extend(limit.get(field).and_then(Value::as_object).cloned().unwrap_or_default());
        }
    }
    let mut told = Vec::new();
    for (list, name) in [("containers", "container"), ("initContainers", "init container")] {
        let containers = pod.value_mut().pointer_mut(&format!("/spec/{list}")).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            for (field, word, defaults) in [("requests", "request", &requests), ("limits", "limit", &most)] {
                let set = fill_in(container, field, defaults);
                if !set.is_empty() {
                    let of = container.get("name").and_then(Value::as_str).unwrap_or_default();
                    told.push(format!("{} {word} for {name} {of}", set.join(", ")));
                }
            }
        }
    }
    if !told.is_empty() {
        pod.set(&["metadata", "annotations", ANNOTATION], format!("LimitRanger plugin set: {}", told.join("; ")));
    }
}

/// Sets what a container does not say, and returns the names.
fn fill_in(container: &mut Value, field: &str, defaults: &Map<String, Value>) -> Vec<String> {
    let said = container.get("resources").and_then(|r| r.get(field)).and_then(Value::as_object);
    let missing: Map<String, Value> = defaults
        .iter()
        .filter(|(name, _)| said.is_none_or(|said| !said.contains_key(*name)))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let names = missing.keys().cloned().collect();
    if let (false, Some(container)) = (missing.is_empty(), container.as_object_mut()) {
        let resources = container.entry("resources").or_insert_with(|| json!({}));
        match resources.get_mut(field).and_then(Value::as_object_mut) {
            Some(said) => said.extend(missing),
            None => resources[field] = Value::Object(missing),
        }
    }
    names
}

/// The texts of all bounds of a range that an object breaks.
fn broken(range: &Doc, resource: &str, object: &Value) -> Vec<String> {
    let mut out = Vec::new();
    for limit in limits(range) {
        let (kind, bounds) = (kind(limit), Bounds::of(limit));
        match (resource, kind) {
            ("pods", "Container") => {
                for container in ["containers", "initContainers"].iter().flat_map(|list| list_of(object, list)) {
                    let side = |field: &str| amounts(container.get("resources").and_then(|r| r.get(field)));
                    bounds::check(&bounds, kind, &side("requests"), &side("limits"), &mut out);
                }
            }
            ("pods", "Pod") => {
                if let Some(spec) = object.get("spec") {
                    bounds::check(&bounds, kind, &total(spec, Side::Requests), &total(spec, Side::Limits), &mut out);
                }
            }
            ("persistentvolumeclaims", "PersistentVolumeClaim") => {
                bounds::check_claim(&bounds, &amounts(object.pointer("/spec/resources/requests")), &mut out);
            }
            _ => {}
        }
    }
    out.dedup();
    out
}

fn list_of<'a>(pod: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    pod.pointer(&format!("/spec/{list}")).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_fill_gaps_and_tell() {
        let range = json!({"spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "1", "memory": "1Gi"}}]}});
        let mut pod =
            Doc::from_value(json!({"spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": "2"}}}]}}))
                .unwrap();
        fill(&mut pod, &Doc::from_value(range).unwrap());
        assert_eq!(
            pod.value()["spec"]["containers"][0]["resources"],
            json!({"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"cpu": "1"}})
        );
        assert_eq!(
            pod.str_at(&["metadata", "annotations", ANNOTATION]),
            Some("LimitRanger plugin set: memory request for container a; cpu limit for container a")
        );
    }

    #[test]
    fn claims_have_bounds() {
        let range = json!({"spec": {"limits": [{"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}]}});
        let claim = |size: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}});
        let said = |size| broken(&Doc::from_value(range.clone()).unwrap(), "persistentvolumeclaims", &claim(size));
        assert_eq!(said("1Gi"), Vec::<String>::new());
        assert_eq!(said("3Gi"), ["maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"]);
        assert_eq!(said("1Mi"), ["minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi"]);
    }
}
