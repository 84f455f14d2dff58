//! Recounts what a ResourceQuota's namespace uses.
//!
//! Admission charges a quota before it lets an object in; this loop fills `status` for the first time, and takes back what
//! deletions free and failed writes left behind. Follows `resource_quota_controller.go` of upstream in effect: a quota is
//! recounted when its spec changes, when an object that it may count goes away or changes its usage, and every five minutes.
//!
//! A charge whose object is not committed yet must not be taken back. So a pass reads the quota, waits a moment, counts, and
//! writes only if nobody charged meanwhile; a busy namespace is recounted once it is quiet, and until then `used` is too
//! high, never too low.

mod feed;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::ResourceQuota;
use orc_core::labels::{FieldRequirement, FieldSelector};
use orc_core::quantity::{Format, Quantity};
use orc_core::quota::{self, Usage};
use orc_core::{ApiError, Doc, ObjectKey};
use orc_store::cache::Typed;
use orc_store::client::{Intent, ListOptions, Scope, Selection, Target, WriteRequest};
use orc_store::{Env, Stored};
use serde_json::{Value, json};

use super::support::{PassError, filled};
use crate::{Controller, FnSource, Next, Reconciler, service};

/// How long a charged write may take until its object is there. Writes take milliseconds; those that take longer are
/// protected by the next charge, which makes the pass start over.
const SETTLE: Duration = Duration::from_millis(250);
/// Upstream's full resync.
const EVERY: Duration = Duration::from_secs(300);

/// The loop that recounts quotas.
pub fn resource_quota(env: Env) -> Controller<ObjectKey> {
    let quotas = env.caches.typed::<ResourceQuota>();
    let feed = feed::Feed::new(env.clone(), quotas.cache().clone());
    let reconciler = Recount { env: env.clone(), quotas };
    Controller::new("resourcequota-controller", &env, service(reconciler))
        .concurrency(5)
        .source(FnSource(move |sink| feed.run(sink)))
}

struct Recount {
    env: Env,
    quotas: Typed<ResourceQuota>,
}

/// The usage of a namespace's objects for a quota's hard limits; names that nothing counts stay away.
fn count<'a>(spec: &Value, hard: &Usage, objects: impl Iterator<Item = (&'a ObjectKey, &'a Value)>) -> Usage {
    let zero = |name: &String| {
        let counted = quota::usage_names(name)?;
        let format = hard.get(name).map_or(Format::DecimalSi, |limit| limit.format());
        (!counted.as_str().is_empty()).then(|| (name.clone(), Quantity::ZERO.with_format(format)))
    };
    let mut used: Usage = hard.keys().filter_map(zero).collect();
    for (key, object) in objects {
        if quota::selects(spec, &key.resource, object) {
            let usage = quota::usage(&key.resource, object);
            quota::add(&mut used, &quota::mask(&usage, |name| hard.contains_key(name)));
        }
    }
    used
}

impl Recount {
    /// The quota as it is now, past what the cache knows. The loop's role may list and watch, and get nothing.
    async fn latest(&self, key: &ObjectKey) -> Result<Option<Arc<Stored>>, ApiError> {
        let scope = Scope { resource: key.resource.clone(), namespace: key.namespace.clone() };
        let name = FieldRequirement { field: "metadata.name".into(), equals: true, value: key.name.to_string() };
        let select = Selection { fields: FieldSelector::from_iter([name]), ..Selection::default() };
        let listed = self.env.client.list(&scope, &ListOptions { select, ..ListOptions::default() }).await?;
        Ok(listed.items.into_iter().next())
    }

    async fn objects(&self, hard: &Usage, quota: &ObjectKey) -> Result<Vec<(ObjectKey, Value)>, ApiError> {
        let resources: BTreeSet<_> = hard.keys().filter_map(|name| quota::usage_names(name)).collect();
        let mut all = Vec::new();
        for resource in resources {
            let scope = Scope { resource, namespace: quota.namespace.clone() };
            let listed = match self.env.client.list(&scope, &ListOptions::default()).await {
                // A limit on a resource that is not served counts nothing.
                Err(error) if error.is_not_found() => continue,
                other => other?,
            };
            for item in listed.items {
                all.push((item.key.clone(), item.to_doc()?.into_value()));
            }
        }
        Ok(all)
    }
}

/// The status that a quota should have, `None` when it has it.
fn plan(doc: &Doc, used: &Usage) -> Option<Value> {
    let hard = doc.at(&["spec", "hard"]).cloned().unwrap_or_else(|| json!({}));
    let same_hard = quota::amounts(doc.at(&["status", "hard"])) == quota::amounts(Some(&hard));
    let same = same_hard && quota::amounts(doc.at(&["status", "used"])) == *used;
    (!same).then(|| json!({"hard": hard, "used": quota::show(used)}))
}

#[async_trait]
impl Reconciler for Recount {
    type Error = PassError;

    async fn reconcile(&self, key: ObjectKey) -> Result<Next, PassError> {
        filled(&[self.quotas.cache()]).await;
        let Some(stored) = self.latest(&key).await? else { return Ok(Next::Done) };
        let mut doc = stored.to_doc()?;
        if doc.at(&["metadata", "deletionTimestamp"]).is_some() {
            return Ok(Next::Done);
        }
        if doc.at(&["status", "used"]).is_some() {
            self.env.clock.sleep(SETTLE).await;
        }
        let hard = quota::amounts(doc.at(&["spec", "hard"]));
        let objects = self.objects(&hard, &key).await?;
        let spec = doc.at(&["spec"]).cloned().unwrap_or_default();
        let used = count(&spec, &hard, objects.iter().map(|(key, value)| (key, value)));
        if let Some(status) = plan(&doc, &used) {
            doc.set(&["status"], status);
            doc.set(&["metadata", "resourceVersion"], stored.revision.to_string());
            let request = WriteRequest::new(Target::status(key), Intent::Replace(doc));
            match self.env.client.write(request).await {
                Err(error) if error.is_conflict() => return Ok(Next::After(SETTLE)),
                Err(error) if error.is_not_found() => return Ok(Next::Done),
                other => drop(other?),
            }
        }
        Ok(Next::After(EVERY))
    }
}

/// Whether a change of an object can change what a quota counts.
fn matters(before: Option<&Arc<orc_store::Stored>>, after: Option<&Arc<orc_store::Stored>>) -> bool {
    let usage = |stored: &Arc<orc_store::Stored>| {
        let value = stored.to_doc().unwrap_or_default().into_value();
        quota::usage(&stored.key.resource, &value)
    };
    match (before, after) {
        // What comes was charged by admission.
        (None, _) => false,
        (Some(_), None) => true,
        (Some(before), Some(after)) => usage(before) != usage(after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orc_core::ResourceId;

    #[test]
    fn a_quota_counts_what_its_scopes_select() {
        let key = |name: &str| ObjectKey::namespaced(ResourceId::new("", "pods"), "d", name);
        let pods = [
            (
                key("a"),
                json!({"spec": {"activeDeadlineSeconds": 5, "containers": [{"resources": {"requests": {"cpu": "100m"}}}]}}),
            ),
            (key("b"), json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "1"}}}]}})),
        ];
        let hard = quota::amounts(Some(&json!({"requests.cpu": "2", "pods": "5", "limits.memory": "1Gi"})));
        let objects = || pods.iter().map(|(key, value)| (key, value));
        let used = count(&json!({"scopes": ["Terminating"]}), &hard, objects());
        assert_eq!(quota::show(&used), json!({"requests.cpu": "100m", "pods": "1", "limits.memory": "0"}));
        let used = count(&json!({}), &hard, objects());
        assert_eq!(quota::show(&used), json!({"requests.cpu": "1100m", "pods": "2", "limits.memory": "0"}));
        let doc = Doc::from_value(
            json!({"spec": {"hard": {"pods": "5"}}, "status": {"hard": {"pods": "5"}, "used": {"pods": "2"}}}),
        )
        .unwrap();
        assert_eq!(plan(&doc, &quota::amounts(Some(&json!({"pods": "2"})))), None);
        assert_eq!(
            plan(&doc, &quota::amounts(Some(&json!({"pods": "1"})))),
            Some(json!({"hard": {"pods": "5"}, "used": {"pods": "1"}}))
        );
    }
}
