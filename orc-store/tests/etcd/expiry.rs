//! Keys with a ttl.

use std::collections::BTreeMap;

use super::*;

/// Lives for a second: etcd makes two or three of it.
fn short() -> StoreConfig {
    let ttl = |resource: &ResourceId| (resource.as_str() == "configmaps").then(|| Duration::from_secs(1));
    StoreConfig { ttl, ..StoreConfig::default() }
}

#[tokio::test]
async fn many_keys_vanish_at_once_and_each_deletion_is_told() {
    let server = server().await;
    let (one, two) = (open_with(backend(&server).await, short()).await, open(backend(&server).await).await);
    let start = one.current();
    for n in 0..50 {
        create(&one, &format!("m{n:02}")).await;
    }
    for store in [&one, &two] {
        let mut stream = watch(store, start).await;
        let mut gone: BTreeMap<String, Revision> = BTreeMap::new();
        while gone.len() < 50 {
            if let WatchEvent::Removed { last, at, .. } = next(&mut stream).await {
                assert!(gone.insert(last.key.name.to_string(), at).is_none(), "{} was told twice", last.key);
            }
        }
        let mut shared: BTreeMap<Revision, usize> = BTreeMap::new();
        for at in gone.values() {
            *shared.entry(*at).or_default() += 1;
        }
        assert!(shared.values().any(|count| *count > 1), "keys of one lease share a revision");
        // A state at such a revision, or before, is a whole one.
        for (at, count) in shared {
            let list = |at| ListOptions { freshness: Freshness::Exact(at), ..ListOptions::default() };
            let before = store.list(&maps(), &list(Revision(at.0 - 1))).await.unwrap().items.len();
            let after = store.list(&maps(), &list(at)).await.unwrap().items.len();
            assert_eq!(before - after, count);
        }
        assert!(names(store).await.is_empty());
    }
}

#[tokio::test]
async fn a_change_starts_the_ttl_anew_and_can_end_it() {
    let server = server().await;
    let store = open_with(backend(&server).await, short()).await;
    let forever = open_with(backend(&server).await, StoreConfig { ttl: |_| None, ..StoreConfig::default() }).await;
    assert!(store.backend().expires());
    create(&store, "ends").await;
    let kept = create(&store, "kept").await;
    let key = key("kept");
    forever.get(&key, Freshness::Latest).await.unwrap().unwrap();
    forever.commit(&key, Some(body(&key, "for ever")), Expect::At(kept), None).await.unwrap();
    until("a key ends", || async { names(&store).await == ["kept"] }).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(names(&store).await, ["kept"]);
}
