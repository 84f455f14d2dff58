//! Our backends under the conformance kit.

use std::sync::Arc;

use orc_store::backend::{Backend, MemoryBackend};
use orc_store::testing::Conformance;
use orc_store::testing::conformance::compact_by_writing;

/// Both built-in backends keep 32,768 changes.
const KEPT: usize = 40_000;

fn memory() -> Conformance {
    Conformance::of(|| async { Arc::new(MemoryBackend::new()) as Arc<dyn Backend> })
}

#[tokio::test(start_paused = true)]
async fn memory_conforms_in_virtual_time() {
    for seed in 0..10 {
        memory().seed(seed).run().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_conforms_with_threads() {
    for seed in 0..2 {
        memory().seed(seed).operations(400).compacting(|backend| compact_by_writing(backend, KEPT)).run().await;
    }
}

#[cfg(feature = "durable")]
mod durable {
    use orc_store::backend::{DurableBackend, DurableConfig};
    use orc_store::testing::FakeDisk;

    use super::*;

    /// Segments and folds so small that a run goes through many.
    fn config(path: impl Into<std::path::PathBuf>) -> DurableConfig {
        DurableConfig { segment_bytes: 256 << 10, fold_bytes: 512 << 10, fold_changes: 200, ..DurableConfig::new(path) }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn durable_conforms_on_a_fake_disk() {
        let make = || async {
            let opened = DurableBackend::open_on(Arc::new(FakeDisk::new()), config("/fake"));
            Arc::new(opened.unwrap()) as Arc<dyn Backend>
        };
        for seed in 0..2 {
            Conformance::of(make).seed(seed).run().await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn durable_conforms_on_a_real_disk() {
        let folders = Arc::new(tempfile::tempdir().unwrap());
        let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let make = move || {
            let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let path = folders.path().join(number.to_string());
            async move { Arc::new(DurableBackend::open(config(path)).unwrap()) as Arc<dyn Backend> }
        };
        Conformance::of(make).operations(200).compacting(|backend| compact_by_writing(backend, KEPT)).run().await;
    }
}
