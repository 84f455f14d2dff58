//! Lists and pages of a store, while others write.

use std::sync::Arc;
use std::time::Duration;

use orc_core::env::Rng;
use orc_core::{ObjectKey, Reason, Revision};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Conformance;
use super::crud::answered;
use super::objects::{self, pods, selections};
use crate::client::{Continue, Freshness, ListOptions, Scope, Selection};
use crate::store::{Store, StoreConfig};
use crate::stored::Stored;
use crate::testing::history::read_log;
use crate::testing::watching::Truth;
use crate::testing::{Violation, ensure};

const ONE: &str = "a list, or its pages together, is the state of one revision";
const FRESH: &str = "a list shows what was acknowledged before it was asked for";
const UNCHANGED: &str = "a snapshot that was taken does not change";
const EXACT: &str = "a list at an exact revision is that of the revision, or says Expired";
const TOKENS: &str =
    "a continue token goes on at its revision, or is told 410 and goes on in the present with revision 0";
const BLOCK: &str = "readers never block writers";

/// A list as it was put together from pages.
pub(crate) struct Listed {
    pub(crate) scope: Scope,
    pub(crate) select: Selection,
    pub(crate) least: Revision,
    pub(crate) exact: Option<Revision>,
    pub(crate) revision: Revision,
    pub(crate) items: Vec<Arc<Stored>>,
    /// What the items looked like when they were read.
    pub(crate) texts: Vec<String>,
}

pub(super) async fn check(kit: &Conformance) -> Result<(), Violation> {
    pages_under_writers(kit, StoreConfig::default()).await?;
    // A history and pins so short that tokens expire.
    let short = StoreConfig { history_changes: 12, pinned_pages: 2, ..StoreConfig::default() };
    pages_under_writers(kit, short).await?;
    expired_tokens(kit).await?;
    readers_do_not_block(kit).await
}

async fn pages_under_writers(kit: &Conformance, config: StoreConfig) -> Result<(), Violation> {
    let backend = (kit.make)().await;
    let start = answered(backend.bounds().await, "bounds")?.current;
    let system = objects::system(kit.seed);
    let store = objects::store(backend.clone(), &system, config).await?;
    let (done, finished) = watch::channel(false);
    let mut readers = JoinSet::new();
    for (scope, select) in selections() {
        let reader = Reader { store: store.clone(), scope, select, rng: system.rng.fork(), start };
        readers.spawn(reader.run(finished.clone()));
    }
    let mut writers = JoinSet::new();
    for _ in 0..kit.clients {
        writers.spawn(objects::write(store.clone(), system.rng.fork(), kit.operations.div_ceil(kit.clients)));
    }
    kit.expect("the end of the writers", writers.join_all()).await?;
    done.send_replace(true);
    let log = kit.expect("the log by a feed", read_log(&backend, start, Vec::new())).await?;
    let truth = Truth::of(&answered(log, "the feed")?, &objects::fields())?;
    let mut lists = 0;
    for listed in kit.expect("the end of the readers", readers.join_all()).await? {
        for listed in listed? {
            lists += 1;
            judge(&truth, &listed)?;
        }
    }
    ensure!(lists >= selections().len(), "a run reads", "{lists} lists");
    Ok(())
}

pub(crate) fn judge(truth: &Truth, listed: &Listed) -> Result<(), Violation> {
    let Listed { scope, select, least, exact, revision, items, texts } = listed;
    ensure!(revision >= least, FRESH, "a list of {revision}, {least} was acknowledged");
    ensure!(exact.is_none_or(|exact| exact == *revision), EXACT, "{revision} instead of {exact:?}");
    let expected = sorted(truth.selected(scope, select, *revision));
    ensure!(*items == expected, ONE, "{scope:?} {select:?} at {revision}: {items:?} instead of {expected:?}");
    let now: Vec<String> = items.iter().map(text).collect();
    ensure!(now == *texts, UNCHANGED, "{scope:?} at {revision}: {now:?}, first {texts:?}");
    Ok(())
}

/// In the order of lists: that of raw keys.
fn sorted(mut items: Vec<Arc<Stored>>) -> Vec<Arc<Stored>> {
    items.sort_by_cached_key(|stored| crate::store::raw_key(&stored.key));
    items
}

pub(crate) fn text(stored: &Arc<Stored>) -> String {
    format!("{stored:?} {}", String::from_utf8_lossy(&stored.body))
}

struct Reader {
    store: Arc<Store>,
    scope: Scope,
    select: Selection,
    rng: Rng,
    start: Revision,
}

impl Reader {
    async fn run(self, finished: watch::Receiver<bool>) -> Result<Vec<Listed>, Violation> {
        let mut lists = Vec::new();
        loop {
            let last = *finished.borrow();
            lists.extend(self.once().await?);
            if last && !lists.is_empty() {
                return Ok(lists);
            }
            tokio::task::yield_now().await;
        }
    }

    /// One list in pages; `None` when it expired on the way.
    async fn once(&self) -> Result<Option<Listed>, Violation> {
        let now = self.store.current();
        let past = Revision(now.0 - self.rng.below(20).min(now.0 - self.start.0));
        let freshness = match self.rng.below(4) {
            0 => Freshness::Exact(past),
            1 => Freshness::AtLeast(now),
            2 => Freshness::Any,
            _ => Freshness::Latest,
        };
        let exact = if let Freshness::Exact(at) = freshness { Some(at) } else { None };
        let limit = (self.rng.below(4) > 0).then(|| 1 + self.rng.below(6) as usize);
        let mut options = ListOptions { select: self.select.clone(), freshness, limit, next: None };
        let (mut items, mut revision): (Vec<Arc<Stored>>, _) = (Vec::new(), None);
        loop {
            let page = match self.store.list(&self.scope, &options).await {
                Ok(page) => page,
                Err(error) if error.reason() == Reason::Expired => return Ok(None),
                Err(error) => return Err(Violation::new(ONE, format!("{freshness:?}: {error}"))),
            };
            let at = *revision.get_or_insert(page.revision);
            ensure!(page.revision == at, ONE, "a page of {} in a list of {at}", page.revision);
            ensure!(
                limit.is_none_or(|limit| page.items.len() <= limit),
                ONE,
                "{} items of {limit:?}",
                page.items.len()
            );
            items.extend(page.items);
            let Some(next) = page.next else { break };
            options.next = Some(next);
            for _ in 0..self.rng.below(8) {
                tokio::task::yield_now().await;
            }
        }
        let texts = items.iter().map(text).collect();
        let least = if exact.is_some() { Revision::ZERO } else { now };
        let (scope, select) = (self.scope.clone(), self.select.clone());
        Ok(Some(Listed { scope, select, least, exact, revision: revision.unwrap_or_default(), items, texts }))
    }
}

async fn put(store: &Store, rng: &Rng, name: String) -> Result<(), Violation> {
    let key = ObjectKey::namespaced(pods(), "a", name);
    let body = Some(objects::body(rng, &key));
    let made = store.commit(&key, body, crate::backend::Expect::Absent, None).await;
    made.map(drop).map_err(|error| Violation::new("a commit without faults succeeds", error.to_string()))
}

/// A token beyond history and pins.
async fn expired_tokens(kit: &Conformance) -> Result<(), Violation> {
    let system = objects::system(kit.seed);
    let config = StoreConfig { history_changes: 2, pinned_pages: 1, ..StoreConfig::default() };
    let store = objects::store((kit.make)().await, &system, config).await?;
    for n in 0..6 {
        put(&store, &system.rng, format!("p{n}")).await?;
    }
    let scope = Scope::all(pods());
    let options = ListOptions { limit: Some(2), ..ListOptions::default() };
    let list = async |options: ListOptions| store.list(&scope, &options).await;
    let failed = |error: orc_core::ApiError| Violation::new(TOKENS, error.to_string());
    let first = list(options.clone()).await.map_err(failed)?;
    let Some(token) = first.next.clone() else {
        return Err(Violation::new(TOKENS, "two of six objects, and no token for the rest"));
    };
    for n in 6..9 {
        put(&store, &system.rng, format!("p{n}")).await?;
    }
    let pinned = list(ListOptions { next: Some(token.clone()), ..options.clone() }).await.map_err(failed)?;
    let same = pinned.revision == first.revision && pinned.items.iter().all(|one| one.revision <= first.revision);
    ensure!(same, TOKENS, "page two is of {}, page one of {}", pinned.revision, first.revision);
    // A list at another revision takes the only pin.
    list(options.clone()).await.map_err(failed)?;
    let old = list(ListOptions { next: Some(token.clone()), ..options }).await;
    let gone = old.as_ref().err().is_some_and(|error| error.code() == 410);
    ensure!(gone, TOKENS, "a token whose revision is gone: {old:?}");
    let fresh = Continue { at: Revision::ZERO, ..token };
    let rest = list(ListOptions { next: Some(fresh), ..ListOptions::default() }).await.map_err(failed)?;
    let names: Vec<&str> = rest.items.iter().map(|one| one.key.name.as_str()).collect();
    ensure!(names == ["p2", "p3", "p4", "p5", "p6", "p7", "p8"], TOKENS, "the fresh token gives {names:?}");
    Ok(())
}

/// Whoever holds snapshots, half-read pages and watches that nobody reads holds up no writer.
async fn readers_do_not_block(kit: &Conformance) -> Result<(), Violation> {
    let system = objects::system(kit.seed);
    let store = objects::store((kit.make)().await, &system, StoreConfig::default()).await?;
    objects::write(store.clone(), system.rng.fork(), 30).await;
    let (mut lists, mut streams) = (Vec::new(), Vec::new());
    for (scope, select) in selections() {
        let options = ListOptions { select: select.clone(), limit: Some(1), ..ListOptions::default() };
        lists.push(store.list(&scope, &options).await);
        let options = crate::client::WatchOptions { select, ..Default::default() };
        streams.push(store.watch(&scope, &options).await);
    }
    let writers = objects::write(store.clone(), system.rng.fork(), kit.operations);
    let before = store.current();
    let wait = kit.patience.min(Duration::from_secs(3600));
    let ended = tokio::time::timeout(wait, writers).await;
    ensure!(ended.is_ok_and(|last| last > before), BLOCK, "no change went through in {wait:?}");
    Ok(())
}
