//! Which pods of a node changed: one watch, split by node.
//!
//! A real node watches its own pods only. The nodes of a fleet share one watch of all pods; each change is routed to the
//! node that it concerns by `spec.nodeName`, so that a change costs the same with one node or thousands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use k8s_openapi::api::core::v1::Pod;
use orc_core::env::Task;
use orc_core::labels::FieldSelector;
use orc_core::{ObjectKey, ResourceId};
use orc_store::cache::{CacheEvent, Interest};
use orc_store::client::{Scope, Selection};
use orc_store::{Cache, Env, Stored};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::statics::{self, Statics, mirror};

/// The index of pods by node.
const BY_NODE: &str = "spec.nodeName";

/// Splits one watch of pods by node.
pub struct PodFeed {
    cache: Arc<Cache>,
    routes: Arc<Routes>,
    _pump: Task,
}

#[derive(Default)]
struct Routes(Mutex<BTreeMap<String, Weak<Dirty>>>);

/// The pods of one node that changed. Bounded by the number of pods there are.
#[derive(Default)]
pub(super) struct Dirty {
    keys: Mutex<(BTreeSet<ObjectKey>, bool)>,
    news: Notify,
}

/// What changed.
pub(super) struct News {
    pub(super) keys: BTreeSet<ObjectKey>,
    /// Changes were lost: every pod may have changed.
    pub(super) all: bool,
}

/// One node's end of a feed.
pub(super) struct NodePods {
    node: String,
    cache: Arc<Cache>,
    statics: Arc<Statics>,
    dirty: Arc<Dirty>,
    _feed: Arc<PodFeed>,
}

impl PodFeed {
    /// A watch of the pods of one node.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn of_node(env: &Env, node: &str) -> Arc<Self> {
        let fields = FieldSelector::equal("spec.nodeName", node);
        Self::over(env, Selection { fields, ..Selection::default() })
    }

    /// A watch of all pods, for many nodes in one process.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn of_all(env: &Env) -> Arc<Self> {
        Self::over(env, Selection::default())
    }

    fn over(env: &Env, select: Selection) -> Arc<Self> {
        let interest = Interest::within(Scope::all(ResourceId::of::<Pod>())).selecting(select);
        let cache = env.caches.cache(interest);
        cache.add_index(BY_NODE, Arc::new(|stored: &Stored| node_of(stored).into_iter().collect()));
        let routes = Arc::new(Routes::default());
        let (_, mut changes) = cache.subscribe();
        let cache = cache.start();
        let pump = {
            let routes = routes.clone();
            env.spawn.spawn(async move {
                while let Some(event) = changes.next().await {
                    match event {
                        CacheEvent::Lagged => routes.mark_all(),
                        CacheEvent::Changed(change) => {
                            let (before, after) = (change.before.as_ref(), change.after.as_ref());
                            let nodes: BTreeSet<String> =
                                before.into_iter().chain(after).filter_map(|pod| node_of(pod)).collect();
                            nodes.iter().for_each(|node| routes.mark(node, change.key()));
                        }
                    }
                }
            })
        };
        Arc::new(Self { cache, routes, _pump: pump })
    }

    /// The end for one node.
    pub(super) fn join(self: &Arc<Self>, node: &str, statics: Arc<Statics>) -> NodePods {
        let dirty = Arc::new(Dirty::default());
        self.routes.0.lock().insert(node.to_owned(), Arc::downgrade(&dirty));
        // What came before is found by looking at everything once.
        dirty.mark_all();
        NodePods { node: node.to_owned(), cache: self.cache.clone(), statics, dirty, _feed: self.clone() }
    }
}

/// The node of a pod; selectable fields say it without decoding where the store knows them.
fn node_of(stored: &Stored) -> Option<String> {
    let node = stored.head.field("spec.nodeName");
    if !node.is_empty() {
        return Some(node.to_owned());
    }
    let pod = stored.view::<Pod>().ok()?;
    pod.spec.as_ref()?.node_name.clone().filter(|node| !node.is_empty())
}

impl Routes {
    fn mark(&self, node: &str, key: &ObjectKey) {
        let Some(dirty) = self.0.lock().get(node).and_then(Weak::upgrade) else { return };
        dirty.keys.lock().0.insert(key.clone());
        dirty.news.notify_one();
    }

    fn mark_all(&self) {
        self.0.lock().values().filter_map(Weak::upgrade).for_each(|dirty| dirty.mark_all());
    }
}

impl Dirty {
    /// Marks pods as changed.
    pub(super) fn mark(&self, keys: BTreeSet<ObjectKey>) {
        if !keys.is_empty() {
            self.keys.lock().0.extend(keys);
            self.news.notify_one();
        }
    }

    fn mark_all(&self) {
        self.keys.lock().1 = true;
        self.news.notify_one();
    }
}

impl NodePods {
    /// Waits until the watch has shown what there is.
    pub(super) async fn synced(&self) {
        self.cache.synced().await;
    }

    /// Waits for changes. Cancel-safe.
    pub(super) async fn news(&self) -> News {
        loop {
            let (keys, all) = std::mem::take(&mut *self.dirty.keys.lock());
            if all || !keys.is_empty() {
                return News { keys, all };
            }
            self.dirty.news.notified().await;
        }
    }

    /// Where changes of pods are told that the watch does not see.
    pub(super) fn dirty(&self) -> Arc<Dirty> {
        self.dirty.clone()
    }

    /// Whether a key is that of a static pod.
    pub(super) fn is_static(&self, key: &ObjectKey) -> bool {
        self.statics.get(key).is_some()
    }

    /// A pod that this node is to run. Mirrors are none: in their place stands the static pod that they show.
    pub(super) fn get(&self, key: &ObjectKey) -> Option<Arc<Pod>> {
        let shown = self.shown(key);
        match self.statics.get(key) {
            Some(pod) => Some(continued(pod, shown)),
            None => shown.filter(|pod| statics::annotation(pod, statics::MIRROR).is_none()),
        }
    }

    /// Whether the API shows a static pod as it is. True where it cannot be known yet.
    pub(super) fn is_mirrored(&self, key: &ObjectKey, pod: &Pod) -> bool {
        !self.cache.is_synced() || self.shown(key).is_some_and(|shown| mirror::shows(&shown, pod))
    }

    /// A mirror of no static pod.
    pub(super) fn orphan(&self, key: &ObjectKey) -> Option<Arc<Pod>> {
        let shown = self.shown(key).filter(|pod| statics::annotation(pod, statics::MIRROR).is_some())?;
        (!self.is_static(key)).then_some(shown)
    }

    /// A pod of this node, as the API has it.
    fn shown(&self, key: &ObjectKey) -> Option<Arc<Pod>> {
        let stored = self.cache.get(key)?;
        if node_of(&stored)? != self.node {
            return None;
        }
        match stored.view::<Pod>() {
            Ok(pod) => Some(pod),
            Err(error) => {
                tracing::error!(%key, %error, "a pod cannot be read");
                None
            }
        }
    }

    /// The keys of the static pods of this node.
    pub(super) fn statics(&self) -> Vec<ObjectKey> {
        self.statics.keys()
    }

    /// The keys of all pods of this node.
    pub(super) fn all(&self) -> BTreeSet<ObjectKey> {
        let snapshot = self.cache.snapshot();
        snapshot.by_index(BY_NODE, &self.node).map(|stored| stored.key.clone()).chain(self.statics.keys()).collect()
    }
}

/// A static pod goes on from the status that its mirror has, as any pod goes on from its own.
fn continued(pod: Arc<Pod>, shown: Option<Arc<Pod>>) -> Arc<Pod> {
    match shown.filter(|shown| mirror::shows(shown, &pod)).and_then(|shown| shown.status.clone()) {
        Some(status) => Arc::new(Pod { status: Some(status), ..(*pod).clone() }),
        None => pod,
    }
}
