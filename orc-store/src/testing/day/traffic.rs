//! What clients do in a second: mostly lease renewals, then pods, events and config maps.

use std::sync::Arc;

use orc_core::env::{Rng, System};
use orc_core::{ApiError, Doc, ObjectKey, ResourceId};
use serde_json::json;

use crate::client::{DeleteOptions, Freshness, Intent, ObjectClient, Target, WriteRequest};
use crate::local::LocalClient;
use crate::testing::Violation;

const PODS: u64 = 60;
const EVENTS: u64 = 200;
const CONFIG_MAPS: u64 = 10;
/// Kubernetes' nodes renew their lease every ten seconds.
const RENEW_EVERY: u64 = 10;

/// Whether the medium took what was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Went {
    Well,
    /// It refused a write: its power has failed.
    Wrong,
}

pub(super) struct Traffic {
    client: LocalClient,
    rng: Rng,
    nodes: u64,
    renewals: usize,
    trouble: Option<ApiError>,
}

pub(super) fn pods() -> ResourceId {
    ResourceId::new("", "pods")
}

fn leases() -> ResourceId {
    ResourceId::new("coordination.k8s.io", "leases")
}

fn config_maps() -> ResourceId {
    ResourceId::new("", "configmaps")
}

fn events() -> ResourceId {
    ResourceId::new("", "events")
}

impl Traffic {
    pub(super) fn new(client: LocalClient, system: &System, nodes: u64) -> Self {
        Self { client, rng: system.rng.fork(), nodes, renewals: 0, trouble: None }
    }

    pub(super) fn renewals(&self) -> usize {
        self.renewals
    }

    /// What went wrong, as text.
    pub(super) fn trouble(&self) -> String {
        self.trouble.as_ref().map_or_else(String::new, ToString::to_string)
    }

    /// Everything that happens in one second, one call after the other.
    pub(super) async fn second(&mut self, second: u64) -> Result<Went, Violation> {
        for node in (0..self.nodes).filter(|node| node % RENEW_EVERY == second % RENEW_EVERY) {
            if self.renew(node).await? == Went::Wrong {
                return Ok(Went::Wrong);
            }
        }
        for _ in 0..self.rng.below(4) {
            let went = match self.rng.below(10) {
                0..6 => self.pod().await?,
                6..8 => self.event().await?,
                _ => self.config_map().await?,
            };
            if went == Went::Wrong {
                return Ok(Went::Wrong);
            }
        }
        Ok(Went::Well)
    }

    async fn renew(&mut self, node: u64) -> Result<Went, Violation> {
        let key = ObjectKey::namespaced(leases(), "kube-node-lease", format!("node-{node}"));
        let went = self.put(&key, "coordination.k8s.io/v1", "Lease", &["spec", "renewTime"]).await?;
        self.renewals += usize::from(went == Went::Well);
        Ok(went)
    }

    /// A pod's next step: made, bound, told of its state, deleted.
    async fn pod(&mut self) -> Result<Went, Violation> {
        let n = self.rng.below(PODS);
        let key = ObjectKey::namespaced(pods(), ["a", "a-b", "b"][(n % 3) as usize], format!("pod-{n}"));
        let now = self.client.store().peek(&key);
        let bound = now.as_ref().is_some_and(|now| !now.head.field("spec.nodeName").is_empty());
        let number = self.rng.next();
        if now.is_none() {
            let labels = json!({"app": format!("a{}", n % 4)});
            return self.create(&key, "v1", "Pod", labels, json!({"number": number})).await;
        }
        match self.rng.below(8) {
            0 => self.write(Target::object(key), Intent::Delete(DeleteOptions::default())).await,
            _ if !bound => {
                let node = format!("node-{}", self.rng.below(self.nodes));
                self.modify(Target::object(key), &["spec", "nodeName"], node).await
            }
            1 => self.modify(Target::object(key), &["metadata", "labels", "app"], format!("a{}", number % 4)).await,
            _ => self.modify(Target::status(key), &["status", "message"], format!("step {number}")).await,
        }
    }

    /// Events come under new names; the names go round, and what is in the way has become old.
    async fn event(&mut self) -> Result<Went, Violation> {
        let key = ObjectKey::namespaced(events(), "a", format!("event-{}", self.rng.below(EVENTS)));
        let number = self.rng.next();
        match self.client.store().peek(&key) {
            Some(_) => self.write(Target::object(key), Intent::Delete(DeleteOptions::default())).await,
            None => self.create(&key, "v1", "Event", json!({}), json!({"number": number})).await,
        }
    }

    async fn config_map(&mut self) -> Result<Went, Violation> {
        let key = ObjectKey::namespaced(config_maps(), "b", format!("map-{}", self.rng.below(CONFIG_MAPS)));
        self.put(&key, "v1", "ConfigMap", &["data", "number"]).await
    }

    /// Makes the object, or gives a field of it a new value.
    async fn put(
        &mut self,
        key: &ObjectKey,
        version: &str,
        kind: &str,
        path: &'static [&'static str],
    ) -> Result<Went, Violation> {
        let number = self.rng.next();
        let there = self.client.store().get(key, Freshness::Latest).await;
        match there {
            Ok(Some(_)) => self.modify(Target::object(key.clone()), path, format!("{number}")).await,
            Ok(None) => self.create(key, version, kind, json!({}), json!({"number": number})).await,
            Err(error) => self.judge(Err(error)),
        }
    }

    async fn create(
        &mut self,
        key: &ObjectKey,
        version: &str,
        kind: &str,
        labels: serde_json::Value,
        spec: serde_json::Value,
    ) -> Result<Went, Violation> {
        let metadata = json!({"name": key.name.as_str(), "namespace": key.namespace_str(), "labels": labels});
        let object = json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec});
        let doc =
            Doc::from_value(object).map_err(|error| Violation::new("traffic is well-formed", error.to_string()))?;
        self.write(Target::object(key.clone()), Intent::Create(doc)).await
    }

    async fn modify(
        &mut self,
        target: Target,
        path: &'static [&'static str],
        value: String,
    ) -> Result<Went, Violation> {
        let number = self.rng.next();
        let modify = move |doc: &mut Doc| {
            // The number makes every value another one, which is how the checker tells changes apart.
            doc.set(&["metadata", "annotations", "number"], number.to_string());
            doc.set(path, value.clone());
            Ok(())
        };
        self.write(target, Intent::Modify(Arc::new(modify))).await
    }

    async fn write(&mut self, target: Target, intent: Intent) -> Result<Went, Violation> {
        let told = self.client.write(WriteRequest::new(target, intent)).await.map(drop);
        self.judge(told)
    }

    fn judge(&mut self, told: Result<(), ApiError>) -> Result<Went, Violation> {
        match told {
            Ok(()) => Ok(Went::Well),
            Err(error) if error.code() == 503 => {
                self.trouble = Some(error);
                Ok(Went::Wrong)
            }
            // One caller at a time: nobody else can have been faster.
            Err(error) => Err(Violation::new("a write succeeds, or the medium has failed", error.to_string())),
        }
    }
}
