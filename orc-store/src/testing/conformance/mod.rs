//! All laws of a backend, and of the store over it.
//!
//! [`Conformance`] makes a fresh, empty backend for each group of laws, drives it from a seed, and reports the first law
//! that does not hold. Groups can be run one by one. Nothing here knows a backend: what a backend may choose (whether it keeps
//! earlier revisions, when it compacts) is asked of it through its own answers.

mod compaction;
mod crud;
mod keys;
mod linear;
mod objects;
pub(crate) mod pages;
#[cfg(test)]
mod tests;
mod trouble;
mod watches;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

pub use self::crud::check_backend;
use super::Violation;
use super::history::{History, change};
use crate::backend::{Backend, Durability, Expect};

type Factory = Arc<dyn Fn() -> BoxFuture<'static, Arc<dyn Backend>> + Send + Sync>;
type Compact = Arc<dyn Fn(Arc<dyn Backend>) -> BoxFuture<'static, ()> + Send + Sync>;

/// The laws of a backend, and how hard to try them.
///
/// Needs a tokio runtime with time; one thread or several. Under a paused clock only for backends that answer without
/// threads and sockets: otherwise virtual time runs away while a call waits.
#[derive(Clone)]
pub struct Conformance {
    make: Factory,
    compact: Option<Compact>,
    seed: u64,
    operations: usize,
    clients: usize,
    big_value: usize,
    patience: Duration,
}

/// A group of laws that did not hold.
#[derive(Debug, thiserror::Error)]
#[error(
    "the backend breaks a law\n  {violation}\n  replay: Conformance::of(..).seed({seed}).operations({operations}), group {group}"
)]
pub struct Broken {
    /// The group.
    pub group: Group,
    /// The seed it was found with.
    pub seed: u64,
    /// The operations of the run.
    pub operations: usize,
    /// The law.
    pub violation: Violation,
}

/// A group of laws.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// One caller at a time against a model: expectations, revisions, ranges, feeds.
    Crud,
    /// Odd keys, empty and big values, calls that are dropped half-way.
    Keys,
    /// Concurrent callers: there is one order in which everything happened.
    Linear,
    /// Feeds of the backend and watches of a store tell the log.
    Watches,
    /// Lists and pages show one revision.
    Pages,
    /// What is compacted is refused, and a store over it starts anew.
    Compaction,
    /// The store and its caches converge, and order stays, while the backend fails at random.
    Trouble,
}

impl Group {
    /// All groups, in the order in which they are run.
    pub const ALL: [Self; 7] =
        [Self::Crud, Self::Keys, Self::Linear, Self::Watches, Self::Pages, Self::Compaction, Self::Trouble];
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl Conformance {
    /// The laws, for backends that `make` gives: each one new, empty and of its own.
    pub fn of<F, Fut>(make: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Arc<dyn Backend>> + Send + 'static,
    {
        Self {
            make: Arc::new(move || make().boxed()),
            compact: None,
            seed: 1,
            operations: 300,
            clients: 6,
            // Above the usual size of pages, blocks and frames.
            big_value: 300_000,
            patience: Duration::from_secs(60),
        }
    }

    /// The seed of everything random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Roughly how many operations each group makes (default 300).
    pub fn operations(mut self, operations: usize) -> Self {
        self.operations = operations;
        self
    }

    /// How many callers work at the same time (default 6).
    pub fn clients(mut self, clients: usize) -> Self {
        self.clients = clients.max(2);
        self
    }

    /// The bytes of the biggest value that the backend must take (default 300,000).
    pub fn big_value(mut self, bytes: usize) -> Self {
        self.big_value = bytes;
        self
    }

    /// How long the kit waits for something that must come before it says that it is missing (default 60 s).
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How to make the backend forget its earlier revisions. Without it, only simulated compaction is tried.
    pub fn compacting<F, Fut>(mut self, compact: F) -> Self
    where
        F: Fn(Arc<dyn Backend>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.compact = Some(Arc::new(move |backend| compact(backend).boxed()));
        self
    }

    /// Tries every group.
    ///
    /// # Panics
    /// When a law is broken; the message names it, the group and the seed.
    pub async fn run(&self) {
        for group in Group::ALL {
            if let Err(broken) = self.check(group).await {
                panic!("{broken}");
            }
        }
    }

    /// Tries one group.
    ///
    /// # Errors
    /// The first law that does not hold.
    pub async fn check(&self, group: Group) -> Result<(), Broken> {
        let outcome = match group {
            Group::Crud => crud::check(self).await,
            Group::Keys => keys::check(self).await,
            Group::Linear => linear::check(self).await,
            Group::Watches => watches::check(self).await,
            Group::Pages => pages::check(self).await,
            Group::Compaction => compaction::check(self).await,
            Group::Trouble => trouble::check(self).await,
        };
        outcome.map_err(|violation| Broken { group, seed: self.seed, operations: self.operations, violation })
    }

    /// Lets callers work on a backend at the same time, as [`Group::Linear`] does, and gives what they saw; for
    /// [`history::check`](super::history::check).
    pub async fn drive(&self, backend: Arc<dyn Backend>) -> History {
        linear::run(self, backend).await
    }

    /// Waits for something that must come.
    async fn expect<T>(&self, what: &'static str, future: impl Future<Output = T>) -> Result<T, Violation> {
        let late = |_| Violation::new("what must come comes", format!("{what} did not come in {:?}", self.patience));
        tokio::time::timeout(self.patience, future).await.map_err(late)
    }
}

impl fmt::Debug for Conformance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Conformance");
        out.field("seed", &self.seed).field("operations", &self.operations).field("clients", &self.clients);
        out.finish_non_exhaustive()
    }
}

/// Makes a backend forget by writing: relaxed changes of one key, until feeds from where it stood are refused. For
/// [`Conformance::compacting`], with backends that keep a bounded number of changes.
///
/// # Panics
/// When the backend refuses a change, or keeps more than `at_most` of them.
pub async fn compact_by_writing(backend: Arc<dyn Backend>, at_most: usize) {
    let start = backend.bounds().await.expect("bounds").current;
    let key = bytes::Bytes::from_static(b"/compaction//writes");
    let mut expect = Expect::Absent;
    for n in 0..at_most {
        let put = change(key.clone(), Some(format!("{n}").into()), expect, Durability::Relaxed);
        expect = Expect::At(backend.commit(put).await.expect("a change that fills the history"));
        if n % 256 == 0 && backend.bounds().await.expect("bounds").compacted > start {
            return;
        }
    }
    panic!("the backend keeps {at_most} changes and more");
}
