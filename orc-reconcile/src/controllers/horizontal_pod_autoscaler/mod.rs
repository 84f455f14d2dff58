//! Horizontal pod autoscalers: the size of a target follows what its pods use.
//!
//! Follows `k8s.io/kubernetes/pkg/controller/podautoscaler`. Resource and ContainerResource metrics are read from
//! `metrics.k8s.io`; Pods, Object and External metrics are refused, for there is no client of their APIs. Not built: the
//! check whether two autoscalers select the same pods (`AmbiguousSelector`).

mod plan;
mod replicas;
mod scaling;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{
    HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, HorizontalPodAutoscalerStatus,
};
use k8s_openapi::api::core::v1::Pod;
use orc_core::labels::Selector;
use orc_core::{ApiError, Doc, Name, ObjectKey};
use orc_store::Env;
use orc_store::cache::Typed;
use orc_store::client::{Gotten, Intent, ReadOptions, Subresource, Target, WriteRequest};
use parking_lot::Mutex;
use serde_json::Value;

use self::plan::{Scale, State, plan, set};
use self::scaling::History;
pub use self::source::{PodUsage, ResourceMetrics};
use super::Kinds;
use super::support::workload::report;
use super::support::{Memory, PassError, Recorder, filled};
use crate::{CacheSource, Controller, Next, Reconciler, service};

/// How often each autoscaler is looked at (`--horizontal-pod-autoscaler-sync-period`).
const PERIOD: Duration = Duration::from_secs(15);

/// A pass may be this early: timers are not exact.
const SLACK: Duration = Duration::from_millis(100);

/// The loop of autoscalers. `kinds` tells where the scale of a kind is.
pub fn horizontal_pod_autoscaler(env: Env, kinds: Kinds, metrics: Arc<dyn ResourceMetrics>) -> Controller<ObjectKey> {
    let autoscalers = env.caches.typed::<HorizontalPodAutoscaler>();
    let cache = autoscalers.cache().clone();
    let reconciler = Autoscalers {
        pods: env.caches.typed(),
        recorder: Recorder::new(&env, "horizontal-pod-autoscaler"),
        env: env.clone(),
        autoscalers,
        kinds,
        metrics,
        memory: Memory::default(),
        histories: Mutex::default(),
    };
    Controller::new("horizontal-pod-autoscaler", &env, service(reconciler))
        .concurrency(5)
        .source(CacheSource::keys(cache))
}

struct Autoscalers {
    env: Env,
    autoscalers: Typed<HorizontalPodAutoscaler>,
    pods: Typed<Pod>,
    kinds: Kinds,
    metrics: Arc<dyn ResourceMetrics>,
    memory: Memory,
    /// Of autoscalers that are there; each keeps a window of recommendations.
    histories: Mutex<BTreeMap<ObjectKey, Past>>,
    recorder: Recorder,
}

/// What is remembered of an autoscaler.
#[derive(Clone)]
struct Past {
    uid: String,
    spec: HorizontalPodAutoscalerSpec,
    /// When it was looked at last.
    at: Timestamp,
    history: History,
}

#[async_trait]
impl Reconciler for Autoscalers {
    type Error = PassError;

    async fn reconcile(&self, key: ObjectKey) -> Result<Next, PassError> {
        filled(&[self.autoscalers.cache(), self.pods.cache()]).await;
        self.memory.settle(&key).await?;
        let Some(autoscaler) = self.autoscalers.get(&key) else {
            self.memory.forget(&key);
            self.histories.lock().remove(&key);
            return Ok(Next::Done);
        };
        let (uid, spec) = (autoscaler.metadata.uid.clone().unwrap_or_default(), autoscaler.spec.clone());
        // Another object of the same name begins anew.
        let past = self.histories.lock().get(&key).filter(|past| past.uid == uid).cloned();
        // The limits of a change are limits of one pass: passes keep their distance, whatever wakes the loop (it is woken by
        // its own status, too). A new spec is looked at at once.
        if let Some(past) = past.as_ref().filter(|past| past.spec == spec) {
            let rest = PERIOD.saturating_sub(self.env.clock.now().duration_since(past.at).unsigned_abs());
            if rest > SLACK {
                return Ok(Next::After(rest));
            }
        }
        let mut history = past.map(|past| past.history).unwrap_or_default();
        let (state, target) = self.state(&key, &autoscaler).await;
        let now = self.env.clock.now();
        let mut outcome = plan(&state, &mut history, now);
        for (reason, text) in &outcome.warnings {
            self.recorder.warning(&*autoscaler, reason, text.clone());
        }
        let from = state.scale.as_ref().map(|scale| scale.replicas).unwrap_or_default();
        if let (Some((to, why)), Some(target)) = (outcome.rescale.take(), target) {
            match self.rescale(target, from, to).await {
                Ok(()) => {
                    self.recorder.normal(&*autoscaler, "SuccessfulRescale", format!("New size: {to}; reason: {why}"));
                    let text = format!("the HPA controller was able to update the target scale to {to}");
                    set(&mut outcome.status, "AbleToScale", true, ("SucceededRescale", &text), now);
                    outcome.status.last_scale_time = Some(super::support::meta::time(now));
                    history.scaled(from, to, autoscaler.spec.behavior.as_ref(), now);
                }
                Err(error) => {
                    let text = format!("New size: {to}; reason: {why}; error: {error}");
                    self.recorder.warning(&*autoscaler, "FailedRescale", text);
                    let text = format!("the HPA controller was unable to update the target scale: {error}");
                    set(&mut outcome.status, "AbleToScale", false, ("FailedUpdateScale", &text), now);
                    outcome.status.desired_replicas =
                        autoscaler.status.as_ref().map_or(from, |status| status.desired_replicas);
                }
            }
        }
        self.histories.lock().insert(key.clone(), Past { uid, spec, at: now, history });
        self.tell(&key, &autoscaler, outcome.status).await?;
        Ok(Next::After(PERIOD))
    }
}

impl Autoscalers {
    /// What the plan looks at, and where the target's scale is.
    async fn state<'a>(&self, key: &ObjectKey, autoscaler: &'a HorizontalPodAutoscaler) -> (State<'a>, Option<Target>) {
        let (target, scale) = match self.target(key, autoscaler) {
            Ok(target) => (Some(target.clone()), self.scale(&target).await),
            Err(error) => (None, Err(error)),
        };
        let selector = scale.as_ref().map(|scale| scale.selector.clone()).unwrap_or_default();
        let (mut pods, mut usage) = (Vec::new(), Ok(Vec::new()));
        if !selector.is_empty() {
            let selects = Selector::parse(&selector).unwrap_or_else(|_| Selector::nothing());
            let none = BTreeMap::new();
            pods = self.pods.in_namespace(key.namespace_str());
            pods.retain(|pod| selects.matches(pod.metadata.labels.as_ref().unwrap_or(&none)));
            usage = self.metrics.pods(key.namespace_str(), &selector).await.map_err(|error| error.to_string());
        }
        (State { autoscaler, scale, pods, usage }, target)
    }

    /// Where the scale of the target is.
    fn target(&self, key: &ObjectKey, autoscaler: &HorizontalPodAutoscaler) -> Result<Target, String> {
        let reference = autoscaler.spec.scale_target_ref.clone();
        let version = reference.api_version.unwrap_or_default();
        let (group, version) = version.split_once('/').unwrap_or(("", version.as_str()));
        let kinds = (self.kinds)();
        // As upstream, another version of the group will do.
        let served = kinds.by_kind(group, version, &reference.kind).or_else(|| {
            let versions = kinds.group(group).map(|group| group.versions.clone()).unwrap_or_default();
            versions.iter().find_map(|version| kinds.by_kind(group, version, &reference.kind))
        });
        let served = served.ok_or_else(|| {
            let of = if group.is_empty() { String::new() } else { format!(" in group {group:?}") };
            format!("no matches for kind {:?}{of}", reference.kind)
        })?;
        let scales = served.version().subresources.iter().any(|sub| sub.name == "scale");
        let resource = served.info.id.clone().filter(|_| scales);
        let resource = resource.ok_or("the server could not find the requested resource")?;
        let key = ObjectKey { resource, namespace: key.namespace.clone(), name: Name::new(&reference.name) };
        Ok(Target::Named(key, Some(Subresource::SCALE)))
    }

    async fn scale(&self, target: &Target) -> Result<Scale, String> {
        let doc = self.read(target).await.map_err(|error| error.to_string())?;
        let replicas = doc.at(&["spec", "replicas"]).and_then(Value::as_i64).unwrap_or_default();
        let selector = doc.str_at(&["status", "selector"]).unwrap_or_default().to_owned();
        Ok(Scale { replicas: i32::try_from(replicas).unwrap_or(i32::MAX), selector })
    }

    async fn read(&self, target: &Target) -> Result<Doc, ApiError> {
        match self.env.client.get(target, &ReadOptions::default()).await? {
            Gotten::Made(doc) => Ok(doc),
            Gotten::Stored(stored) => stored.to_doc(),
        }
    }

    /// Sets the size, unless somebody else changed it meanwhile.
    async fn rescale(&self, target: Target, from: i32, to: i32) -> Result<(), ApiError> {
        let mut doc = self.read(&target).await?;
        if doc.at(&["spec", "replicas"]).and_then(Value::as_i64).unwrap_or_default() != i64::from(from) {
            let text = "the size of the target was changed by somebody else; it is looked at again";
            return Err(ApiError::new(orc_core::Reason::Conflict, text));
        }
        doc.set(&["spec", "replicas"], to);
        self.env.client.write(WriteRequest::new(target, Intent::Replace(doc))).await.map(drop)
    }

    async fn tell(
        &self,
        key: &ObjectKey,
        autoscaler: &HorizontalPodAutoscaler,
        status: HorizontalPodAutoscalerStatus,
    ) -> Result<(), PassError> {
        let changed = autoscaler.status.as_ref() != Some(&status);
        let next = HorizontalPodAutoscaler { status: Some(status), ..autoscaler.clone() };
        report(&self.env, &self.memory, key, &self.autoscalers, changed.then_some(next)).await
    }
}
