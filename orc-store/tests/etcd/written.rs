//! A writer that remembers what it was told, and what must then be there.

use std::collections::BTreeSet;

use super::*;

/// What a writer knows of its creates.
#[derive(Default)]
pub(crate) struct Written {
    made: BTreeSet<String>,
    unknown: BTreeSet<String>,
    refused: BTreeSet<String>,
}

impl Written {
    /// Creates an object, and takes `Unavailable` for an answer. Says whether it was made for sure.
    pub(crate) async fn create(&mut self, backend: &dyn Backend, name: &str) -> bool {
        let key = key(name);
        let raw = orc_store::store::raw_key(&key);
        let change = RawChange { key: raw, ..put("", body(&key, "new"), Expect::Absent) };
        let name = name.to_owned();
        let kept = match backend.commit(change).await {
            Ok(_) => &mut self.made,
            Err(BackendError::Unavailable(text)) if text.contains("was not made") => &mut self.refused,
            Err(BackendError::Unavailable(text)) if text.contains("may or may not") => &mut self.unknown,
            Err(error) => panic!("{error:?}"),
        };
        assert!(kept.insert(name.clone()));
        self.made.contains(&name)
    }

    /// The creates that did not succeed for sure.
    pub(crate) fn failed(&self) -> usize {
        self.unknown.len() + self.refused.len()
    }

    /// Every store shows what was made, nothing that was not, and tells each create once, in order, since `start`.
    pub(crate) async fn check(&self, stores: &[&Arc<Store>], start: Revision) {
        let shown: BTreeSet<String> = names(stores[0]).await.into_iter().collect();
        assert!(self.made.is_subset(&shown), "nothing acknowledged is lost");
        assert!(shown.is_disjoint(&self.refused), "what was not made is not there");
        assert!(shown.iter().all(|name| self.made.contains(name) || self.unknown.contains(name)));
        for store in stores {
            let same = || async { names(store).await.into_iter().collect::<BTreeSet<_>>() == shown };
            until("the store follows again", same).await;
            let mut stream = watch(store, start).await;
            let (mut told, mut last) = (BTreeSet::new(), start);
            while told.len() < shown.len() {
                let WatchEvent::Added(now) = next(&mut stream).await else { panic!("only creates were made") };
                assert!(now.revision > last && told.insert(now.key.name.to_string()), "each once, in order");
                last = now.revision;
            }
            assert_eq!(told, shown);
        }
    }
}
