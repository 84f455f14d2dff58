//! Which quotas to recount: those whose spec changes, and those of a namespace where something that they count changes.
//!
//! Only resources that some quota limits are followed; their caches start when the first such quota comes.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use orc_core::{ObjectKey, ResourceId, quota};
use orc_store::cache::{Cache, CacheEvent, Interest};
use orc_store::{Env, Stored};

use crate::Sink;

/// The source of the loop.
pub(super) struct Feed {
    env: Env,
    quotas: Arc<Cache>,
}

impl Feed {
    pub(super) fn new(env: Env, quotas: Arc<Cache>) -> Self {
        Self { env, quotas }
    }

    /// Follows quotas and what they count.
    pub(super) async fn run(self, sink: Sink<ObjectKey>) {
        let (seen, mut changes) = self.quotas.subscribe();
        let mut followed = BTreeSet::new();
        let mut feeds = FuturesUnordered::new();
        let all: Vec<Arc<Stored>> = seen.iter().cloned().collect();
        sink.add_all(all.iter().map(|stored| stored.key.clone()));
        for resource in self.fresh(&all, &mut followed) {
            feeds.push(self.follow(resource, sink.clone()));
        }
        loop {
            let event = tokio::select! {
                biased;
                event = changes.next() => event,
                Some(()) = feeds.next(), if !feeds.is_empty() => continue,
            };
            let touched: Vec<Arc<Stored>> = match event {
                None => return,
                Some(CacheEvent::Changed(change)) => {
                    let spec = |stored: &Arc<Stored>| stored.to_doc().ok().and_then(|doc| doc.at(&["spec"]).cloned());
                    let same = change
                        .before
                        .as_ref()
                        .is_some_and(|before| change.after.as_ref().is_some_and(|after| spec(before) == spec(after)));
                    if same { Vec::new() } else { change.after.into_iter().collect() }
                }
                Some(CacheEvent::Lagged) => self.quotas.snapshot().iter().cloned().collect(),
            };
            sink.add_all(touched.iter().map(|stored| stored.key.clone()));
            for resource in self.fresh(&touched, &mut followed) {
                feeds.push(self.follow(resource, sink.clone()));
            }
        }
    }

    /// The resources that these quotas count and that are not followed yet.
    fn fresh(&self, quotas: &[Arc<Stored>], followed: &mut BTreeSet<ResourceId>) -> Vec<ResourceId> {
        let names = quotas.iter().filter_map(|stored| stored.to_doc().ok()).flat_map(|doc| {
            quota::amounts(doc.at(&["spec", "hard"]))
                .into_keys()
                .filter_map(|name| quota::usage_names(&name))
                .collect::<Vec<_>>()
        });
        names.filter(|resource| followed.insert(resource.clone())).collect()
    }

    /// Follows the objects of one resource.
    async fn follow(&self, resource: ResourceId, sink: Sink<ObjectKey>) {
        let cache = self.env.caches.cache(Interest::all(resource)).start();
        let (_, mut changes) = cache.subscribe();
        while let Some(event) = changes.next().await {
            let quotas = self.quotas.snapshot();
            match event {
                CacheEvent::Lagged => sink.add_all(quotas.iter().map(|stored| stored.key.clone())),
                CacheEvent::Changed(change) => {
                    let namespace = change.key().namespace_str().to_owned();
                    let mut concerned = quotas.in_namespace(&namespace).map(|stored| stored.key.clone()).peekable();
                    if concerned.peek().is_some() && super::matters(change.before.as_ref(), change.after.as_ref()) {
                        sink.add_all(concerned.collect::<Vec<_>>());
                    }
                }
            }
        }
    }
}
