//! What the built-in loops share: plans, memory of their own writes, events, claiming, pod facts.

pub(crate) mod claim;
pub(crate) mod events;
pub(crate) mod memory;
pub(crate) mod meta;
pub(crate) mod pods;
pub(crate) mod workload;

pub(crate) use claim::Claim;
pub(crate) use events::Recorder;
pub(crate) use memory::Memory;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use jiff::Timestamp;
use orc_core::ApiError;
use orc_store::cache::{Cache, Stale};

use crate::reconciler::{Classify, Next};

/// What a pass wants: one stage of writes, a status, and when to look again. Plain data: it can be printed and compared.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Plan<W, S> {
    /// The writes of this stage; later stages follow from what they change.
    pub(crate) writes: Vec<W>,
    /// The status to write, `None` when it stands already.
    pub(crate) status: Option<S>,
    /// When time alone makes another pass necessary.
    pub(crate) wake: Option<Timestamp>,
}

impl<W, S> Default for Plan<W, S> {
    fn default() -> Self {
        Self { writes: Vec::new(), status: None, wake: None }
    }
}

impl<W, S> Plan<W, S> {
    /// A stage of writes alone.
    pub(crate) fn stage(writes: Vec<W>) -> Self {
        Self { writes, ..Self::default() }
    }
}

/// Why a pass failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PassError {
    /// A read or write was refused.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A cache does not show yet what this loop wrote.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// Something has to happen first.
    #[error("{0}")]
    Wait(String),
}

impl Classify for PassError {
    fn is_terminal(&self) -> bool {
        // The end of a namespace is waited out by nobody: what is left of its objects goes too, and tells by its events.
        matches!(self, Self::Api(error) if error.is_terminal() || meta::namespace_is_ending(error))
    }
}

/// Look again at once: a stage was written and the next one follows.
pub(crate) const AGAIN: Next = Next::After(std::time::Duration::ZERO);

/// When to look again, from the wake time of a plan.
pub(crate) fn next_at(wake: Option<Timestamp>, now: Timestamp) -> Next {
    match wake {
        // A moment more, so that what is due at `wake` is due then.
        Some(at) => Next::After(at.duration_since(now).unsigned_abs() + std::time::Duration::from_millis(1)),
        None => Next::Done,
    }
}

/// Waits until caches have been filled once: an empty cache is not an empty cluster.
pub(crate) async fn filled(caches: &[&std::sync::Arc<Cache>]) {
    for cache in caches {
        cache.synced().await;
    }
}

/// Writes of one pass that are under way at a time. A write works for a good part of a millisecond before it first waits for
/// the store, and all of a pass are polled in one go: hundreds at once would hold a thread, and every request of a user that
/// waits for it, for that much longer. So many still share one commit.
const ABREAST: usize = 16;

/// Carries out the writes of a pass, some at a time, and gives their outcomes in the same order.
///
/// The iterator is gone through before anything is awaited: its closures are not `Send` for every lifetime.
pub(crate) fn abreast<'a, T, F>(writes: impl IntoIterator<Item = F>) -> BoxFuture<'a, Vec<T>>
where
    T: Send + 'a,
    F: Future<Output = T> + Send + 'a,
{
    let writes: Vec<F> = writes.into_iter().collect();
    stream::iter(writes).buffered(ABREAST).collect().boxed()
}

/// A number as Kubernetes' `omitempty` writes it.
pub(crate) fn some(n: i32) -> Option<i32> {
    (n != 0).then_some(n)
}

/// The storage of every resource that can be listed and deleted, once each.
pub(crate) fn stored(
    kinds: &orc_core::catalogue::Catalogue,
    wanted: impl Fn(&orc_core::catalogue::ResourceInfo) -> bool,
) -> Vec<orc_core::ResourceId> {
    let listed = |info: &orc_core::catalogue::ResourceInfo| {
        info.versions.iter().any(|version| ["list", "watch", "delete"].iter().all(|verb| version.allows(verb)))
    };
    let resources = kinds.resources().filter(|info| listed(info) && wanted(info));
    let ids: std::collections::BTreeSet<_> = resources.filter_map(|info| info.id.clone()).collect();
    ids.into_iter().collect()
}
