//! The contract of a backend, and what etcd keeps beyond it: earlier revisions.

use orc_store::backend::{KeyRange, Page};
use orc_store::testing::check_backend;

use super::*;

#[tokio::test]
async fn it_keeps_the_laws() {
    let server = server().await;
    for seed in 0..4 {
        let config = EtcdConfig { prefix: format!("/laws{seed}"), ..config(&server) };
        let make = || async {
            let revision = connect(config.clone()).await.unwrap().bounds().await.unwrap().current;
            server.ctl(&["compact", &revision.to_string()]).unwrap();
            let backend: Arc<dyn Backend> = connect(config.clone()).await.unwrap();
            assert_eq!(backend.bounds().await.unwrap().compacted, revision, "the floor is found");
            backend
        };
        check_backend(make, seed).await;
    }
}

#[tokio::test]
async fn pages_show_one_revision_whatever_is_written_meanwhile() {
    let server = server().await;
    let backend = backend(&server).await;
    // More than is read by one request.
    for n in 0..1203 {
        backend.commit(put(&format!("/x//{n:04}"), "one", Expect::Absent)).await.unwrap();
    }
    let all = KeyRange::all();
    let first = backend.scan(all.clone(), None, Page { limit: 700 }).await.unwrap();
    backend.commit(put("/x//0000a", "late", Expect::Absent)).await.unwrap();
    backend.commit(put("/x//1202", "two", Expect::At(first.at))).await.unwrap();
    let rest = KeyRange { start: first.next.clone().unwrap(), end: None };
    let last = backend.scan(rest, Some(first.at), Page { limit: usize::MAX }).await.unwrap();
    assert_eq!((first.records.len(), last.records.len(), last.next, last.at), (700, 503, None, first.at));
    assert!(last.records.iter().all(|record| record.value == "one"));
    let now = backend.scan(all, None, Page { limit: usize::MAX }).await.unwrap();
    assert_eq!((now.records.len(), now.next), (1204, None));
    assert_eq!(now.records.last().unwrap().value, "two");
}

#[tokio::test]
async fn a_long_past_comes_in_fragments_and_in_order() {
    let server = server().await;
    let backend = backend(&server).await;
    let start = backend.bounds().await.unwrap().current;
    let mut made = Vec::new();
    for n in 0..60_u8 {
        // Together far more than etcd puts into one response.
        made.push(backend.commit(put(&format!("/x//{n}"), vec![n; 100_000], Expect::Absent)).await.unwrap());
    }
    let mut feed = backend.feed(start).await.unwrap();
    for (n, at) in (0..60_u8).zip(made) {
        let Ok(RawEvent::Put(record)) = change(&mut feed).await else { panic!("only creates were made") };
        assert_eq!((record.revision, &record.value[..]), (at, &vec![n; 100_000][..]));
    }
}

#[tokio::test]
async fn what_is_compacted_is_refused_with_the_floor() {
    let server = server().await;
    let backend = backend(&server).await;
    let mut last = Revision::ZERO;
    for n in 0..9 {
        last = backend.commit(put(&format!("/x//{n}"), "v", Expect::Absent)).await.unwrap();
    }
    // A deletion at the compacted revision itself is gone too.
    let gone = RawChange { value: None, ..put("/x//8", "", Expect::At(last)) };
    let floor = backend.commit(gone).await.unwrap();
    let open = backend.commit(put("/x//9", "v", Expect::Absent)).await.unwrap();
    server.ctl(&["compact", &floor.to_string()]).unwrap();
    let old = Revision(floor.0 - 1);
    for asked in [old, Revision(1)] {
        let error = backend.feed(asked).await.err().expect("a feed below the floor is refused");
        assert!(matches!(error, BackendError::Compacted { asked: a, floor: f } if a == asked && f == floor), "{error}");
    }
    let error = backend.scan(KeyRange::all(), Some(old), Page { limit: 5 }).await.unwrap_err();
    assert!(matches!(error, BackendError::Compacted { floor: f, .. } if f == floor), "{error}");
    assert_eq!(backend.bounds().await.unwrap().compacted, floor);
    let mut feed = backend.feed(floor).await.unwrap();
    assert!(matches!(change(&mut feed).await, Ok(RawEvent::Put(record)) if record.revision == open));
}

#[tokio::test]
async fn a_store_creates_changes_deletes_and_lists_at_a_revision() {
    let server = server().await;
    let store = open(backend(&server).await).await;
    let start = store.current();
    let mut stream = watch(&store, start).await;
    let (a, first) = (key("a"), create(&store, "a").await);
    assert!(store.commit(&a, Some(body(&a, "x")), Expect::Absent, None).await.unwrap_err().is_already_exists());
    assert!(store.commit(&a, Some(body(&a, "x")), Expect::At(start), None).await.unwrap_err().is_conflict());
    let second = store.commit(&a, Some(body(&a, "two")), Expect::At(first), None).await.unwrap().revision;
    create(&store, "b").await;
    let gone = store.commit(&a, None, Expect::At(second), None).await.unwrap();
    assert_eq!(gone.stored.body, body(&a, "two"), "a deletion answers the last state");
    assert!(store.commit(&a, None, Expect::At(second), None).await.unwrap_err().is_conflict());
    assert_eq!(names(&store).await, ["b"]);
    let then = store.get(&a, Freshness::Exact(first)).await.unwrap().unwrap();
    assert_eq!((then.revision, &then.body), (first, &body(&a, "new")));
    assert!(matches!(next(&mut stream).await, WatchEvent::Added(now) if now.revision == first));
    assert!(matches!(next(&mut stream).await, WatchEvent::Modified { now, .. } if now.revision == second));
    assert!(matches!(next(&mut stream).await, WatchEvent::Added(now) if now.key.name == *"b"));
    assert!(matches!(next(&mut stream).await, WatchEvent::Removed { at, .. } if at == gone.revision));
}
