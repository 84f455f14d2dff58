//! Ending namespaces: all content is deleted, then the `kubernetes` finalizer goes, and with it the namespace.
//!
//! Follows `k8s.io/kubernetes/pkg/controller/namespace/deletion`. Reads its content live: a namespace must be empty, not
//! look empty.

mod status;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Namespace, NamespaceStatus};
use orc_core::{ApiError, Doc, ObjectKey, ResourceId};
use orc_store::cache::Typed;
use orc_store::client::{DeleteOptions, Intent, ListOptions, Propagation, Scope, Subresource, Target, WriteRequest};
use orc_store::{Api, Env, Stored};
use parking_lot::Mutex;

use self::status::{Remaining, status};
use super::support::{AGAIN, Memory, PassError, Plan, filled, meta};
use super::{Kinds, support};
use crate::{CacheSource, Controller, Next, Reconciler, service};

/// The finalizer that this loop takes away.
const FINALIZER: &str = "kubernetes";
/// The longest wait between two looks at content that takes its time; upstream waits half of the grace period.
const MAX_WAIT: Duration = Duration::from_secs(16);

/// The loop of namespaces that end.
pub fn namespace(env: Env, kinds: Kinds) -> Controller<ObjectKey> {
    let namespaces = env.caches.typed::<Namespace>();
    let cache = namespaces.cache().clone();
    let reconciler = Ending { env: env.clone(), kinds, namespaces, memory: Memory::default(), looks: Mutex::default() };
    let ending = |stored: &std::sync::Arc<Stored>| {
        let key = stored.head.is_terminating().then(|| stored.key.clone());
        key.into_iter().collect()
    };
    Controller::new("namespace-controller", &env, service(reconciler))
        .concurrency(5)
        .source(CacheSource::new(cache, ending))
}

/// The last step of an ending namespace.
#[derive(Clone, PartialEq, Debug)]
enum Write {
    /// Take the finalizer away.
    Finalize(Box<Namespace>),
}

/// What follows from what remains of a namespace.
fn plan(namespace: &Namespace, remaining: &Remaining, now: jiff::Timestamp) -> Plan<Write, NamespaceStatus> {
    let next = status(namespace.status.as_ref(), remaining, now);
    if namespace.status.as_ref() != Some(&next) {
        return Plan { status: Some(next), ..Plan::default() };
    }
    if !remaining.is_empty() {
        return Plan::default();
    }
    let mut next = namespace.clone();
    if let Some(finalizers) = next.spec.get_or_insert_default().finalizers.as_mut() {
        finalizers.retain(|name| name != FINALIZER);
    }
    Plan::stage(vec![Write::Finalize(Box::new(next))])
}

struct Ending {
    env: Env,
    kinds: Kinds,
    namespaces: Typed<Namespace>,
    memory: Memory,
    looks: Mutex<BTreeMap<ObjectKey, u32>>,
}

#[async_trait]
impl Reconciler for Ending {
    type Error = PassError;

    async fn reconcile(&self, key: ObjectKey) -> Result<Next, PassError> {
        filled(&[self.namespaces.cache()]).await;
        self.memory.settle(&key).await?;
        let namespace = self.namespaces.get(&key).filter(|namespace| {
            let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_ref());
            meta::is_terminating(&namespace.metadata)
                && finalizers.is_some_and(|names| names.iter().any(|n| n == FINALIZER))
        });
        let Some(namespace) = namespace else {
            self.memory.forget(&key);
            self.looks.lock().remove(&key);
            return Ok(Next::Done);
        };
        let remaining = self.empty(&key).await;
        let plan = plan(&namespace, &remaining, self.env.clock.now());
        let writes = !plan.writes.is_empty();
        for Write::Finalize(next) in plan.writes {
            self.finalize(&key, &next).await?;
        }
        if let Some(status) = plan.status {
            let next = Namespace { status: Some(status), ..Namespace::clone(&namespace) };
            let written = self.api().replace_status(&next).await?;
            self.memory.wrote(&key, self.namespaces.cache(), written.metadata.resource_version.as_deref());
            if let Some(error) = remaining.errors.first() {
                // A failure, so that the backoff holds although the status that was written wakes this key.
                return Err(PassError::Wait(error.clone()));
            }
            // What is empty already needs no second look but the one that ends it.
            return Ok(if remaining.is_empty() { AGAIN } else { self.later(&key, &remaining) });
        }
        Ok(if writes { Next::Done } else { self.later(&key, &remaining) })
    }
}

impl Ending {
    fn api(&self) -> Api<Namespace> {
        Api::all(self.env.client.clone())
    }

    /// Looks again soon at first, then less and less often.
    fn later(&self, key: &ObjectKey, remaining: &Remaining) -> Next {
        let mut looks = self.looks.lock();
        let looks = looks.entry(key.clone()).or_default();
        *looks = (*looks + 1).min(8);
        let half = Duration::from_secs(u64::try_from(remaining.grace / 2 + 1).unwrap_or(1)).max(Duration::from_secs(8));
        Next::After(Duration::from_millis(250 << *looks).min(half).min(MAX_WAIT))
    }

    /// Asks for the deletion of everything, and counts what is left.
    async fn empty(&self, key: &ObjectKey) -> Remaining {
        let kinds = (self.kinds)();
        let resources = support::stored(&kinds, |info| info.is_namespaced());
        let each = resources.iter().map(|id| self.empty_one(id, key));
        let mut remaining = Remaining::default();
        for (id, left) in resources.iter().zip(join_all(each).await) {
            match left {
                Ok(left) => count(&mut remaining, id, &left),
                Err(error) => remaining.errors.push(format!("{id}: {error}")),
            }
        }
        remaining
    }

    async fn empty_one(&self, id: &ResourceId, key: &ObjectKey) -> Result<Vec<std::sync::Arc<Stored>>, ApiError> {
        let scope = Scope::within(id.clone(), key.name.clone());
        let list = ListOptions::default();
        if self.env.client.list(&scope, &list).await?.items.is_empty() {
            return Ok(Vec::new());
        }
        let options = DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
        let intent = Intent::DeleteCollection(options, Box::new(list.clone()));
        self.env.client.write(WriteRequest::new(Target::Collection(scope.clone()), intent)).await?;
        Ok(self.env.client.list(&scope, &list).await?.items)
    }

    /// Takes the finalizer away; the server removes a namespace that has none.
    async fn finalize(&self, key: &ObjectKey, next: &Namespace) -> Result<(), ApiError> {
        let mut doc = Doc::from_typed(next)?;
        doc.set(&["apiVersion"], "v1");
        doc.set(&["kind"], "Namespace");
        let target = Target::Named(key.clone(), Some(Subresource::FINALIZE));
        match self.env.client.write(WriteRequest::new(target, Intent::Replace(doc))).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }
}

fn count(remaining: &mut Remaining, id: &ResourceId, left: &[std::sync::Arc<Stored>]) {
    if left.is_empty() {
        return;
    }
    remaining.objects.insert(id.clone(), left.len());
    for stored in left {
        remaining.grace = remaining.grace.max(stored.head.grace_seconds.unwrap_or_default());
        for name in &stored.head.finalizers {
            *remaining.finalizers.entry(name.clone()).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finalizer_goes_last() {
        let now = jiff::Timestamp::from_second(100).unwrap();
        let mut namespace = Namespace::default();
        namespace.spec.get_or_insert_default().finalizers = Some(vec!["x/y".to_owned(), FINALIZER.to_owned()]);
        let mut left = Remaining::default();
        left.objects.insert(ResourceId::new("", "pods"), 1);
        let first = plan(&namespace, &left, now);
        assert!(first.writes.is_empty());
        namespace.status = first.status;
        assert_eq!(
            plan(&namespace, &left, now),
            Plan::default(),
            "nothing to say and nothing to do until the pod is gone"
        );
        namespace.status = plan(&namespace, &Remaining::default(), now).status;
        let [Write::Finalize(last)] = &plan(&namespace, &Remaining::default(), now).writes[..] else {
            panic!("no finalize")
        };
        assert_eq!(last.spec.as_ref().unwrap().finalizers, Some(vec!["x/y".to_owned()]));
    }
}
