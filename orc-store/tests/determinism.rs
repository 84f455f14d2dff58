//! The same seed twice gives the same trace, byte for byte: what makes faults explorable.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use orc_store::cache::{CacheEvent, Interest};
use orc_store::client::DeleteOptions;
use orc_store::testing::World;
use orc_store::{Api, Env};

/// Several tasks that make, change and delete objects at random times; the trace is what a cache tells.
async fn trace(seed: u64) -> String {
    let World { env, .. } = World::seeded(seed).await;
    let cache = env.caches.cache(Interest::of::<ConfigMap>()).start();
    let (_, mut changes) = cache.subscribe();
    let tasks: Vec<_> = (0..5).map(|task| env.spawn.spawn(meddle(env.clone(), task))).collect();
    let mut trace = String::new();
    for _ in 0..120 {
        let Ok(Some(CacheEvent::Changed(change))) = tokio::time::timeout(Duration::from_secs(60), changes.next()).await
        else {
            break;
        };
        let body = String::from_utf8_lossy(&change.latest().body).into_owned();
        let gone = change.after.is_none();
        trace += &format!("{} {} {gone} {body}\n", env.clock.now(), change.latest().revision);
    }
    drop(tasks);
    trace
}

async fn meddle(env: Env, task: usize) {
    let api: Api<ConfigMap> = Api::namespaced(env.client.clone(), format!("n{}", task % 2));
    loop {
        env.clock.sleep(Duration::from_millis(env.rng.below(500))).await;
        let mut map = ConfigMap::default();
        map.metadata.generate_name = Some(format!("t{task}-"));
        let made = api.create(&map).await.unwrap();
        let name = made.metadata.name.clone().unwrap();
        let number = env.rng.next().to_string();
        api.modify(&name, |map| drop(map.data.get_or_insert_default().insert("n".to_owned(), number.clone())))
            .await
            .unwrap();
        if env.rng.below(2) == 0 {
            api.delete(&name, DeleteOptions::default()).await.unwrap();
        }
    }
}

fn run(seed: u64) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(trace(seed))
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let first = run(7);
    assert_eq!(first.lines().count(), 120);
    assert_eq!(first, run(7));
    assert_ne!(first, run(8));
}
