//! Many threads at once: no modification is lost, and every list joins its watch without gap or repetition.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use orc_core::env::System;
use orc_core::{Doc, ObjectKey, ResourceId, Revision};
use orc_store::client::{Intent, ListOptions, ObjectClient, Scope, Target, WatchOptions, WatchStart, WriteRequest};
use orc_store::{LocalClient, Store, WatchEvent};
use serde_json::json;

const WRITERS: u64 = 6;
const WRITES: u64 = 80;

fn things() -> ResourceId {
    ResourceId::new("example.com", "things")
}

fn key(name: String) -> ObjectKey {
    ObjectKey::namespaced(things(), "d", name)
}

async fn write(client: &LocalClient, key: ObjectKey, intent: Intent) {
    client.write(WriteRequest::new(Target::object(key), intent)).await.unwrap();
}

fn thing(key: &ObjectKey) -> Doc {
    let metadata = json!({"name": key.name.as_str(), "namespace": "d"});
    Doc::from_value(json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": metadata, "spec": {"n": 0}}))
        .unwrap()
}

/// Counts up a shared object, and makes and deletes objects of its own.
async fn writer(client: LocalClient, writer: u64) {
    for n in 0..WRITES {
        let count = |doc: &mut Doc| {
            let n = doc.at(&["spec", "n"]).and_then(|n| n.as_u64()).unwrap();
            doc.set(&["spec", "n"], n + 1);
            Ok(())
        };
        write(&client, key("shared".to_owned()), Intent::Modify(Arc::new(count))).await;
        let own = key(format!("w{writer}-{}", n % 3));
        match n % 6 < 3 {
            true => write(&client, own.clone(), Intent::Create(thing(&own))).await,
            false => write(&client, own, Intent::Delete(Default::default())).await,
        }
    }
}

/// Lists, watches from there until the end, and gives the state that this adds up to.
async fn reader(client: LocalClient, end: Revision, from_list: bool) -> BTreeMap<ObjectKey, Revision> {
    let scope = Scope::all(things());
    let mut state = BTreeMap::new();
    let (mut start, mut last) = (WatchStart::Initial, Revision::ZERO);
    if from_list {
        let list = client.list(&scope, &ListOptions::default()).await.unwrap();
        assert!(list.items.iter().all(|one| one.revision <= list.revision), "a list shows nothing beyond its revision");
        state.extend(list.items.iter().map(|one| (one.key.clone(), one.revision)));
        (start, last) = (WatchStart::After(list.revision), list.revision);
    }
    let mut stream = client.watch(&scope, &WatchOptions { start, ..WatchOptions::default() }).await.unwrap();
    let mut initial = !from_list;
    while last < end {
        let event = stream.next().await.unwrap().unwrap();
        let at = event.revision();
        assert!(initial || at > last, "events are ordered and told once: {at} after {last}");
        match event {
            WatchEvent::Added(now) => assert!(state.insert(now.key.clone(), at).is_none(), "{now:?} was there"),
            WatchEvent::Modified { now, .. } => {
                assert!(state.insert(now.key.clone(), at).is_some(), "{now:?} was not there")
            }
            WatchEvent::Removed { last, .. } => assert_eq!(state.remove(&last.key), Some(last.revision)),
            WatchEvent::Bookmark { .. } => initial = false,
        }
        last = if initial { Revision::ZERO } else { at };
    }
    state
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_agree() {
    let system = System::real();
    let store = Store::in_memory(&system).await;
    let client = LocalClient::new(store.clone(), &system);
    let shared = key("shared".to_owned());
    write(&client, shared.clone(), Intent::Create(thing(&shared))).await;
    // Every write is one change: the creation is revision 2, and the count says which is the last.
    let end = Revision(2 + WRITERS * WRITES * 2);
    let writers: Vec<_> = (0..WRITERS).map(|n| tokio::spawn(writer(client.clone(), n))).collect();
    let mut readers = Vec::new();
    for n in 0..40 {
        readers.push(tokio::spawn(reader(client.clone(), end, n % 2 == 0)));
        tokio::task::yield_now().await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(store.current(), end);
    let list = store.list(&Scope::all(things()), &ListOptions::default()).await.unwrap();
    let truth: BTreeMap<_, _> = list.items.iter().map(|one| (one.key.clone(), one.revision)).collect();
    let count = list.items.iter().find(|one| one.key == shared).unwrap().to_doc().unwrap();
    assert_eq!(count.at(&["spec", "n"]), Some(&json!(WRITERS * WRITES)));
    for reader in readers {
        assert_eq!(reader.await.unwrap(), truth);
    }
}
