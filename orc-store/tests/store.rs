//! The laws of the store, against a model that remembers every state.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use orc_core::env::System;
use orc_core::labels::{FieldSelector, Selector};
use orc_core::{Doc, ObjectKey, Reason, ResourceId, Revision};
use orc_store::backend::{
    Backend, BackendError, Bounds, Durability, Expect, KeyRange, MemoryBackend, Page, RawChange, RawFeed, RawPage,
};
use orc_store::client::{Continue, Freshness, ListOptions, Scope, Selection, WatchOptions, WatchStart};
use orc_store::store::{FieldsOf, StoreConfig, raw_key};
use orc_store::testing::FaultyBackend;
use orc_store::{Before, RemovedWhy, Store, Stored, WatchEnd, WatchEvent, WatchStream};
use proptest::prelude::*;
use serde_json::json;

fn pods() -> ResourceId {
    ResourceId::new("", "pods")
}

fn key(namespace: usize, name: usize) -> ObjectKey {
    ObjectKey::namespaced(pods(), format!("n{namespace}"), format!("p{name}"))
}

fn body(key: &ObjectKey, app: usize, node: usize) -> bytes::Bytes {
    let metadata =
        json!({"name": key.name.as_str(), "namespace": key.namespace_str(), "labels": {"app": format!("a{app}")}});
    let mut doc = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata});
    if node > 0 {
        doc["spec"] = json!({"nodeName": format!("node{node}")});
    }
    Doc::from_value(doc).unwrap().to_body()
}

fn system() -> System {
    System::seeded(1, "2026-01-01T00:00:00Z".parse().unwrap())
}

fn fields() -> FieldsOf {
    Arc::new(|_| Arc::from(["spec.nodeName".to_owned()]))
}

async fn store(config: StoreConfig) -> Arc<Store> {
    Store::open_with(Arc::new(MemoryBackend::new()), fields(), system(), config).await.unwrap()
}

type State = BTreeMap<ObjectKey, Arc<Stored>>;

#[derive(Clone, Debug)]
struct Op {
    namespace: usize,
    name: usize,
    app: usize,
    node: usize,
    delete: bool,
}

fn ops(count: usize) -> impl Strategy<Value = Vec<Op>> {
    let op = (0..2usize, 0..4usize, 0..2usize, 0..3usize, prop::bool::weighted(0.25));
    let op = op.prop_map(|(namespace, name, app, node, delete)| Op { namespace, name, app, node, delete });
    prop::collection::vec(op, 1..count)
}

/// The states after each change.
struct Model(Vec<(Revision, State)>);

impl Model {
    fn new(store: &Store) -> Self {
        Self(vec![(store.current(), State::new())])
    }

    fn now(&self) -> &State {
        &self.0.last().unwrap().1
    }

    fn at(&self, revision: Revision) -> &State {
        &self.0.iter().rev().find(|(at, _)| *at <= revision).unwrap().1
    }

    async fn apply(&mut self, store: &Store, op: &Op) {
        let key = key(op.namespace, op.name);
        let mut state = self.now().clone();
        let expect = state.get(&key).map_or(Expect::Absent, |present| Expect::At(present.revision));
        let body = (!op.delete).then(|| body(&key, op.app, op.node));
        if op.delete && expect == Expect::Absent {
            assert!(store.commit(&key, None, Expect::At(Revision(1)), None).await.unwrap_err().is_conflict());
            return;
        }
        let committed = store.commit(&key, body, expect, None).await.unwrap();
        assert_eq!(store.peek(&key).map(|stored| stored.revision), (!op.delete).then_some(committed.revision));
        match op.delete {
            true => state.remove(&key),
            false => state.insert(key, committed.stored),
        };
        self.0.push((committed.revision, state));
    }

    /// What a watch after a revision must tell, as text.
    fn events(&self, after: Revision, scope: &Scope, select: &Selection) -> Vec<String> {
        let mut told = Vec::new();
        for window in self.0.windows(2) {
            let [(_, before), (at, now)] = window else { unreachable!() };
            if *at <= after {
                continue;
            }
            let keys: Vec<&ObjectKey> = before.keys().chain(now.keys()).collect();
            let changed = keys.into_iter().find(|key| before.get(*key) != now.get(*key)).unwrap();
            let taken =
                |state: &State| state.get(changed).filter(|s| scope.contains(changed) && select.matches(s)).cloned();
            let text = match (taken(before), taken(now)) {
                (None, None) => continue,
                (None, Some(_)) => "added",
                (Some(_), Some(_)) => "modified",
                (Some(_), None) if now.contains_key(changed) => "left",
                (Some(_), None) => "deleted",
            };
            told.push(format!("{text} {changed} {at}"));
        }
        told
    }
}

fn text(event: &WatchEvent) -> String {
    let what = match event {
        WatchEvent::Added(_) => "added",
        WatchEvent::Modified { before: Before::Known(_), .. } => "modified",
        WatchEvent::Modified { .. } => "modified from nowhere",
        WatchEvent::Removed { why: RemovedWhy::LeftScope, .. } => "left",
        WatchEvent::Removed { .. } => "deleted",
        WatchEvent::Bookmark { .. } => "bookmark",
    };
    format!("{what} {} {}", event.object().map(|stored| stored.key.to_string()).unwrap_or_default(), event.revision())
}

fn selections() -> Vec<(Scope, Selection)> {
    let labels = |text: &str| Selection { labels: Selector::parse(text).unwrap(), ..Selection::default() };
    let fields = |text: &str| Selection { fields: FieldSelector::parse(text).unwrap(), ..Selection::default() };
    vec![
        (Scope::all(pods()), Selection::default()),
        (Scope::within(pods(), "n1"), Selection::default()),
        (Scope::all(pods()), labels("app=a1")),
        (Scope::all(pods()), fields("spec.nodeName=node1")),
        (Scope::all(pods()), fields("spec.nodeName=")),
        (Scope::within(pods(), "n0"), fields("spec.nodeName!=node1")),
        (Scope::all(pods()), fields("metadata.name=p1")),
        (Scope::within(pods(), "n1"), fields("metadata.name=p2")),
        (
            Scope::within(pods(), "n1"),
            Selection { labels: Selector::parse("app=a0").unwrap(), ..fields("spec.nodeName=node2") },
        ),
        (Scope::all(pods()), Selection { labels: Selector::nothing(), ..Selection::default() }),
    ]
}

async fn watch(store: &Store, scope: &Scope, select: &Selection, start: WatchStart) -> WatchStream {
    store.watch(scope, &WatchOptions { select: select.clone(), start, bookmarks: false }).await.unwrap()
}

/// Everything a watch has to tell now.
fn drain(stream: &mut WatchStream) -> Vec<Result<WatchEvent, WatchEnd>> {
    let mut told = Vec::new();
    while let Some(Some(item)) = stream.next().now_or_never() {
        told.push(item);
    }
    told
}

fn run<F: Future<Output = ()>>(test: F) {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(test);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A watch tells each change of its scope exactly once, in order, from wherever it starts.
    #[test]
    fn watches_are_complete_ordered_and_resumable(before in ops(30), after in ops(30)) {
        run(async move {
            let store = store(StoreConfig::default()).await;
            let mut model = Model::new(&store);
            let mut live = Vec::new();
            for (scope, select) in selections() {
                let stream = watch(&store, &scope, &select, WatchStart::Initial).await;
                live.push((scope, select, store.current(), stream));
            }
            for op in &before {
                model.apply(&store, op).await;
            }
            for (scope, select) in selections() {
                let stream = watch(&store, &scope, &select, WatchStart::Now).await;
                live.push((scope, select, store.current(), stream));
            }
            for op in &after {
                model.apply(&store, op).await;
            }
            for (scope, select, since, mut stream) in live {
                let told: Vec<String> = drain(&mut stream).into_iter().map(|e| text(&e.unwrap())).filter(|t| !t.starts_with("bookmark")).collect();
                assert_eq!(told, model.events(since, &scope, &select), "{scope:?} {select:?}");
            }
            for (since, _) in &model.0 {
                for (scope, select) in selections() {
                    let mut stream = watch(&store, &scope, &select, WatchStart::After(*since)).await;
                    let told: Vec<String> = drain(&mut stream).into_iter().map(|e| text(&e.unwrap())).collect();
                    assert_eq!(told, model.events(*since, &scope, &select), "after {since}: {scope:?} {select:?}");
                }
            }
        });
    }

    /// The initial state is the present one, ends with a bookmark at its revision, and the changes go on without a gap.
    #[test]
    fn snapshot_then_stream_has_no_gap(before in ops(30), after in ops(20)) {
        run(async move {
            let store = store(StoreConfig::default()).await;
            let mut model = Model::new(&store);
            for op in &before {
                model.apply(&store, op).await;
            }
            for (scope, select) in selections() {
                let since = store.current();
                let mut stream = watch(&store, &scope, &select, WatchStart::Initial).await;
                let expected: Vec<Arc<Stored>> = taken(model.now(), &scope, &select);
                let mut told = drain(&mut stream).into_iter().map(Result::unwrap);
                for object in &expected {
                    assert!(matches!(told.next(), Some(WatchEvent::Added(found)) if found == *object));
                }
                assert!(matches!(told.next(), Some(WatchEvent::Bookmark { at, initial_end: true }) if at == since));
                assert!(told.next().is_none());
            }
            for op in &after {
                model.apply(&store, op).await;
            }
        });
    }

    /// Pages of a list show one revision whatever happens in between, and exact reads show what was.
    #[test]
    fn pages_show_one_revision(before in ops(30), between in ops(20), limit in 1usize..4) {
        run(async move {
            let store = store(StoreConfig::default()).await;
            let mut model = Model::new(&store);
            for op in &before {
                model.apply(&store, op).await;
            }
            let (at, state) = (store.current(), model.now().clone());
            for (scope, select) in selections() {
                let mut options = ListOptions { select: select.clone(), limit: Some(limit), ..ListOptions::default() };
                options.freshness = Freshness::Exact(at);
                let (mut found, mut interference) = (Vec::new(), between.iter());
                loop {
                    let page = store.list(&scope, &options).await.unwrap();
                    assert_eq!(page.revision, at);
                    assert!(page.items.len() <= limit);
                    found.extend(page.items);
                    if let Some(op) = interference.next() {
                        model.apply(&store, op).await;
                    }
                    let Some(next) = page.next else { break };
                    options.next = Some(next);
                }
                assert_eq!(found, taken(&state, &scope, &select));
            }
            for (at, state) in &model.0 {
                let options = ListOptions { freshness: Freshness::Exact(*at), ..ListOptions::default() };
                let list = store.list(&Scope::all(pods()), &options).await.unwrap();
                assert_eq!(list.items, taken(state, &Scope::all(pods()), &Selection::default()));
                let one = store.get(&key(0, 0), Freshness::Exact(*at)).await.unwrap();
                assert_eq!(one.as_ref(), model.at(*at).get(&key(0, 0)));
            }
        });
    }

    /// With a short history, a watcher gets everything or is told that it did not.
    #[test]
    fn slow_watchers_are_told(all in ops(60), keep in 1usize..12) {
        run(async move {
            let store = store(StoreConfig { history_changes: keep, ..StoreConfig::default() }).await;
            let mut model = Model::new(&store);
            let start = store.current();
            let mut live = Vec::new();
            for (scope, select) in selections() {
                let stream = watch(&store, &scope, &select, WatchStart::Now).await;
                live.push((scope, select, stream));
            }
            for op in &all {
                model.apply(&store, op).await;
            }
            for (scope, select, mut stream) in live {
                let expected = model.events(start, &scope, &select);
                let told = drain(&mut stream);
                match told.last() {
                    Some(Err(WatchEnd::Expired { .. })) => assert!(model.0.len() > keep),
                    _ => assert_eq!(told.into_iter().map(|e| text(&e.unwrap())).collect::<Vec<_>>(), expected),
                }
            }
            for (at, state) in &model.0 {
                let options = ListOptions { freshness: Freshness::Exact(*at), ..ListOptions::default() };
                match store.list(&Scope::all(pods()), &options).await {
                    Ok(list) => assert_eq!(list.items, taken(state, &Scope::all(pods()), &Selection::default())),
                    Err(error) => {
                        assert_eq!(error.reason(), Reason::Expired);
                        assert!(*at < store.floor(&pods()));
                    }
                }
            }
        });
    }
}

fn taken(state: &State, scope: &Scope, select: &Selection) -> Vec<Arc<Stored>> {
    state.values().filter(|stored| scope.contains(&stored.key) && select.matches(stored)).cloned().collect()
}

async fn put(store: &Store, name: usize) -> Revision {
    store.commit(&key(0, name), Some(body(&key(0, name), 0, 0)), Expect::Absent, None).await.unwrap().revision
}

#[tokio::test(start_paused = true)]
async fn commits_that_meet_another_state_say_so() {
    let store = store(StoreConfig::default()).await;
    let first = put(&store, 1).await;
    let again = store.commit(&key(0, 1), Some(body(&key(0, 1), 0, 0)), Expect::Absent, None).await.unwrap_err();
    assert_eq!(again.message(), "pods \"p1\" already exists");
    let gone = store.commit(&key(0, 1), None, Expect::At(first), None).await.unwrap();
    assert_eq!((gone.stored.revision, gone.revision > first), (first, true));
    let stale = store.commit(&key(0, 1), Some(body(&key(0, 1), 1, 0)), Expect::At(first), None).await.unwrap_err();
    assert!(stale.is_conflict());
    let unreadable = store.commit(&key(0, 1), Some("[]".into()), Expect::Absent, None).await;
    assert!(unreadable.is_err(), "what does not read back is not committed");
}

#[tokio::test(start_paused = true)]
async fn revisions_to_come_are_waited_for_and_then_refused() {
    let store = store(StoreConfig::default()).await;
    let now = put(&store, 1).await;
    let error = store.get(&key(0, 1), Freshness::AtLeast(Revision(now.0 + 9))).await.unwrap_err();
    assert_eq!(error.message(), format!("Timeout: Too large resource version: {}, current: {now}", now.0 + 9));
    assert_eq!((error.code(), error.details().unwrap().retry_after_seconds), (504, 1));
    let one = key(0, 1);
    let waiting = store.get(&one, Freshness::AtLeast(now.next()));
    let (read, _) = tokio::join!(waiting, put(&store, 2));
    read.unwrap();
    let mut silent =
        watch(&store, &Scope::all(pods()), &Selection::default(), WatchStart::After(Revision(now.0 + 2))).await;
    assert!(drain(&mut silent).is_empty());
    let told = put(&store, 3).await.next();
    assert_eq!(put(&store, 4).await, told);
    assert_eq!(drain(&mut silent).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn old_continue_tokens_expire_and_go_on_inconsistently() {
    let store = store(StoreConfig { history_changes: 2, pinned_pages: 1, ..StoreConfig::default() }).await;
    for name in 0..6 {
        put(&store, name).await;
    }
    let options = ListOptions { limit: Some(2), ..ListOptions::default() };
    let first = store.list(&Scope::all(pods()), &options).await.unwrap();
    assert_eq!(first.remaining, Some(4));
    for name in 6..9 {
        put(&store, name).await;
    }
    let pinned =
        store.list(&Scope::all(pods()), &ListOptions { next: first.next.clone(), ..options.clone() }).await.unwrap();
    assert_eq!((pinned.revision, pinned.items[0].key.name.as_str()), (first.revision, "p2"));
    // Another list takes the only pin.
    store.list(&Scope::all(pods()), &options).await.unwrap();
    let next = first.next.unwrap();
    let error = store
        .list(&Scope::all(pods()), &ListOptions { next: Some(next.clone()), ..options.clone() })
        .await
        .unwrap_err();
    assert_eq!(error.code(), 410);
    assert!(
        error.message().starts_with("The provided continue parameter is too old to display a consistent list result.")
    );
    let on = Continue { at: Revision::ZERO, ..next };
    let page =
        store.list(&Scope::all(pods()), &ListOptions { next: Some(on), ..ListOptions::default() }).await.unwrap();
    assert_eq!(page.items.len(), 7);
}

#[tokio::test(start_paused = true)]
async fn changes_that_do_not_concern_a_watcher_do_not_expire_it() {
    let store = store(StoreConfig { history_changes: 3, ..StoreConfig::default() }).await;
    let select = Selection { fields: FieldSelector::equal("spec.nodeName", "node1"), ..Selection::default() };
    let mut by_field = watch(&store, &Scope::all(pods()), &select, WatchStart::Now).await;
    let mut by_namespace = watch(&store, &Scope::within(pods(), "n1"), &Selection::default(), WatchStart::Now).await;
    let mut everything = watch(&store, &Scope::all(pods()), &Selection::default(), WatchStart::Now).await;
    for name in 0..9 {
        put(&store, name).await;
    }
    store.commit(&key(1, 0), Some(body(&key(1, 0), 0, 1)), Expect::Absent, None).await.unwrap();
    assert!(matches!(drain(&mut by_field)[..], [Ok(WatchEvent::Added(_))]));
    assert!(matches!(drain(&mut by_namespace)[..], [Ok(WatchEvent::Added(_))]));
    assert!(matches!(drain(&mut everything)[..], [Err(WatchEnd::Expired { .. })]));
}

#[tokio::test(start_paused = true)]
async fn idle_watches_get_bookmarks_of_the_whole_store() {
    let store = store(StoreConfig::default()).await;
    let options = WatchOptions { bookmarks: true, start: WatchStart::Now, ..WatchOptions::default() };
    let mut stream = store.watch(&Scope::all(ResourceId::new("", "nodes")), &options).await.unwrap();
    let now = put(&store, 1).await;
    assert!(matches!(stream.next().await, Some(Ok(WatchEvent::Bookmark { at, initial_end: false })) if at == now));
    store.close();
    assert!(matches!(stream.next().await, Some(Err(WatchEnd::Closed(_)))));
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_store_survives_its_backends_faults() {
    let backend = FaultyBackend::over(Arc::new(MemoryBackend::new()));
    let store = Store::open(backend.clone(), fields(), system()).await.unwrap();
    let first = put(&store, 1).await;
    let mut resumed = watch(&store, &Scope::all(pods()), &Selection::default(), WatchStart::Now).await;
    backend.cut_feeds();
    put(&store, 2).await;
    assert_eq!(drain(&mut resumed).len(), 1, "a cut feed loses nothing");
    backend.forget_history();
    let last = put(&store, 3).await;
    assert!(matches!(drain(&mut resumed).last(), Some(Err(WatchEnd::Expired { .. }))), "a lost history is told");
    assert_eq!(store.count(&pods()), 3);
    assert_eq!(store.floor(&pods()), last);
    let mut late = watch(&store, &Scope::all(pods()), &Selection::default(), WatchStart::After(first)).await;
    assert!(matches!(late.next().await, Some(Err(WatchEnd::Expired { .. }))));
    backend.refuse_commits(true);
    let refused = store.commit(&key(0, 4), Some(body(&key(0, 4), 0, 0)), Expect::Absent, None).await.unwrap_err();
    assert_eq!(refused.code(), 503);
    assert!(store.get(&key(0, 1), Freshness::Latest).await.unwrap().is_some(), "reads go on");
}

#[tokio::test(start_paused = true)]
async fn bookmarks_come_on_busy_resources_too() {
    let store = store(StoreConfig::default()).await;
    let select = Selection { labels: Selector::parse("app=none").unwrap(), ..Selection::default() };
    let options = WatchOptions { select, bookmarks: true, start: WatchStart::Now };
    let mut stream = store.watch(&Scope::all(pods()), &options).await.unwrap();
    let writes = async {
        for name in 0..9 {
            tokio::time::sleep(std::time::Duration::from_secs(20)).await;
            put(&store, name).await;
        }
    };
    let (told, ()) = tokio::join!(stream.next(), writes);
    assert!(matches!(told, Some(Ok(WatchEvent::Bookmark { at, .. })) if at < store.current()));
}

#[tokio::test(start_paused = true)]
async fn new_selectable_fields_are_read_from_present_objects() {
    let declared = Arc::new(std::sync::Mutex::new(Vec::<String>::new()));
    let of = declared.clone();
    let fields: FieldsOf = Arc::new(move |_| Arc::from(of.lock().unwrap().clone()));
    let store = Store::open(Arc::new(MemoryBackend::new()), fields, system()).await.unwrap();
    store.commit(&key(0, 0), Some(body(&key(0, 0), 0, 1)), Expect::Absent, None).await.unwrap();
    let mut stream = watch(&store, &Scope::all(pods()), &Selection::default(), WatchStart::Now).await;
    declared.lock().unwrap().push("spec.nodeName".to_owned());
    store.refresh_fields(&pods()).unwrap();
    assert_eq!(store.peek(&key(0, 0)).unwrap().head.field("spec.nodeName"), "node1");
    assert!(matches!(drain(&mut stream)[..], [Err(WatchEnd::Expired { .. })]));
}

/// A backend on which somebody writes while it is being read.
struct Busy(MemoryBackend, std::sync::atomic::AtomicUsize);

#[async_trait::async_trait]
impl Backend for Busy {
    async fn commit(&self, change: RawChange) -> Result<Revision, BackendError> {
        self.0.commit(change).await
    }

    async fn scan(&self, range: KeyRange, at: Option<Revision>, page: Page) -> Result<RawPage, BackendError> {
        let found = self.0.scan(range, at, page).await?;
        let call = self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        if found.next.is_some() {
            let (gone, changed, new) = (key(0, 2 * call), key(0, 2 * call + 10), key(0, 90_000 + call));
            for (key, value) in [(&gone, None), (&changed, Some(body(&changed, 1, 1))), (&new, Some(body(&new, 0, 0)))]
            {
                let raw = raw_key(key);
                let here = KeyRange { start: raw.clone(), end: None };
                let now = self
                    .0
                    .scan(here, None, Page { limit: 1 })
                    .await?
                    .records
                    .into_iter()
                    .find(|record| record.key == raw);
                let expect = now.map_or(Expect::Absent, |record| Expect::At(record.revision));
                self.0
                    .commit(RawChange { key: raw, value, expect, durability: Durability::Relaxed, ttl: None })
                    .await?;
            }
        }
        Ok(found)
    }

    async fn feed(&self, after: Revision) -> Result<RawFeed, BackendError> {
        self.0.feed(after).await
    }

    async fn bounds(&self) -> Result<Bounds, BackendError> {
        self.0.bounds().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_opens_right_while_others_write() {
    let backend = Arc::new(Busy(MemoryBackend::new(), Default::default()));
    for name in 0..25_000 {
        let key = key(name % 2, name);
        let value = Some(body(&key, 0, 0));
        let change =
            RawChange { key: raw_key(&key), value, expect: Expect::Absent, durability: Durability::Relaxed, ttl: None };
        backend.commit(change).await.unwrap();
    }
    let store = Store::open(backend.clone(), fields(), system()).await.unwrap();
    let list = store.list(&Scope::all(pods()), &ListOptions::default()).await.unwrap();
    let truth = backend.0.scan(KeyRange::all(), None, Page { limit: usize::MAX }).await.unwrap();
    assert!(backend.1.load(std::sync::atomic::Ordering::SeqCst) >= 3, "it took several pages");
    assert_eq!(list.revision, truth.at);
    let shown: Vec<_> = list.items.iter().map(|one| (raw_key(&one.key), one.revision)).collect();
    let written: Vec<_> = truth.records.into_iter().map(|one| (one.key, one.revision)).collect();
    assert!(shown == written);
    assert_eq!(store.floor(&pods()), truth.at);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_store_ends_its_watches() {
    let store = store(StoreConfig::default()).await;
    put(&store, 1).await;
    let mut stream = watch(&store, &Scope::all(pods()), &Selection::default(), WatchStart::Now).await;
    assert!(drain(&mut stream).is_empty());
    drop(store);
    assert!(matches!(stream.next().await, Some(Err(WatchEnd::Closed(_)))));
}
