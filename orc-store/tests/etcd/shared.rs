//! Several stores over one etcd, and others who write to it.

use orc_store::client::Continue;

use super::*;

/// Each writes and asks the other, which must show it at once.
pub(crate) async fn ping(writer: &Store, reader: &Store, who: &str) {
    for n in 0..40 {
        let name = format!("{who}{n:02}");
        let at = create(writer, &name).await;
        let seen = reader.get(&key(&name), Freshness::Latest).await.unwrap();
        assert_eq!(seen.expect("a fresh read shows what was acknowledged elsewhere").revision, at);
        let gone = writer.commit(&key(&name), None, Expect::At(at), None).await.unwrap().revision;
        assert!(reader.get(&key(&name), Freshness::Latest).await.unwrap().is_none());
        assert!(reader.current() >= gone);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_through_one_store_is_read_through_the_other_at_once() {
    let server = server().await;
    let (one, two) = (open(backend(&server).await).await, open(backend(&server).await).await);
    tokio::join!(ping(&one, &two, "a"), ping(&two, &one, "b"), ping(&one, &two, "c"), ping(&two, &one, "d"));
    assert_eq!((names(&one).await.len(), names(&two).await.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_that_race_for_a_key_agree_on_one_winner() {
    let server = server().await;
    let (one, two) = (open(backend(&server).await).await, open(backend(&server).await).await);
    for n in 0..30 {
        let key = key(&format!("k{n}"));
        let make = |store: &Arc<Store>, text: &'static str| {
            let (store, key) = (store.clone(), key.clone());
            async move { store.commit(&key, Some(body(&key, text)), Expect::Absent, None).await }
        };
        let (a, b) = tokio::join!(make(&one, "a"), make(&two, "b"));
        let (won, text, lost) = match (a, b) {
            (Ok(won), Err(lost)) => (won, "a", lost),
            (Err(lost), Ok(won)) => (won, "b", lost),
            other => panic!("one of two wins: {other:?}"),
        };
        assert!(lost.is_already_exists());
        for store in [&one, &two] {
            let found = store.get(&key, Freshness::Latest).await.unwrap().unwrap();
            assert_eq!((found.revision, &found.body), (won.revision, &body(&key, text)));
        }
    }
}

#[tokio::test]
async fn a_foreign_key_does_not_stall_fresh_reads() {
    let server = server().await;
    let store = open(backend(&server).await).await;
    create(&store, "a").await;
    for n in 0..3 {
        server.ctl(&["put", "/somebody/else", &n.to_string()]).unwrap();
        let foreign = server.ctl(&["get", "/somebody/else", "-w", "fields"]).unwrap();
        let at = foreign.lines().find_map(|line| line.strip_prefix("\"ModRevision\" : ")).unwrap().parse().unwrap();
        // Many at once share a barrier.
        let reads = futures::future::join_all((0..50).map(|_| names(&store))).await;
        assert!(reads.iter().all(|names| names == &["a"]));
        assert!(store.current() >= Revision(at));
    }
    let barrier = server.ctl(&["get", "/orc/barrier", "-w", "fields"]).unwrap();
    let written: u64 = barrier.lines().find_map(|line| line.strip_prefix("\"Version\" : ")).unwrap().parse().unwrap();
    assert!((1..=6).contains(&written), "{written} barriers for 3 foreign writes");
}

#[tokio::test]
async fn a_continue_token_of_one_store_is_good_on_the_other() {
    let server = server().await;
    let (one, two) = (open(backend(&server).await).await, open(backend(&server).await).await);
    for name in ["a", "b", "c", "d"] {
        create(&one, name).await;
    }
    let page = ListOptions { limit: Some(2), freshness: Freshness::Latest, ..ListOptions::default() };
    let token = one.list(&maps(), &page).await.unwrap().next.unwrap();
    create(&one, "e").await;
    let rest = ListOptions { next: Some(token.clone()), ..ListOptions::default() };
    let rest = two.list(&maps(), &rest).await.unwrap();
    let found: Vec<&str> = rest.items.iter().map(|one| one.key.name.as_str()).collect();
    assert_eq!((found, rest.revision), (vec!["c", "d"], token.at));
    // A store that was opened later does not have that revision: 410, and the token goes on at `at: 0`.
    let late = open(backend(&server).await).await;
    let refused = late.list(&maps(), &ListOptions { next: Some(token.clone()), ..ListOptions::default() }).await;
    assert_eq!(refused.unwrap_err().code(), 410);
    let fresh = ListOptions { next: Some(Continue { at: Revision::ZERO, ..token }), ..ListOptions::default() };
    assert_eq!(late.list(&maps(), &fresh).await.unwrap().items.len(), 3);
}

#[tokio::test]
async fn servers_that_compact_keep_what_the_feed_needs() {
    let server = server().await;
    let config = EtcdConfig { compact_every: Some(Duration::from_millis(300)), ..server.config() };
    let (first, second) = (connect(config.clone()).await.unwrap(), connect(config).await.unwrap());
    let store = open(first.clone()).await;
    let mut stream = watch(&store, store.current()).await;
    for n in 0..60 {
        let name = format!("m{n:02}");
        let at = create(&store, &name).await;
        assert!(matches!(next(&mut stream).await, WatchEvent::Added(now) if now.revision == at), "no watch is expired");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let floor = |backend: Arc<EtcdBackend>| async move { backend.bounds().await.unwrap().compacted };
    until("one of the servers compacts", || async {
        floor(first.clone()).await.max(floor(second.clone()).await) > Revision(10)
    })
    .await;
    // A ticket a period, however many servers: far fewer than each of them taking a turn each time.
    let ticket = server.ctl(&["get", "/orc/compaction", "--print-value-only"]).unwrap();
    assert!(ticket.trim().parse::<u64>().unwrap() > 0);
}
