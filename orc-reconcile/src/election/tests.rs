//! Candidates over one store in virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt;
use orc_core::env::{System, Task};
use orc_store::backend::MemoryBackend;
use orc_store::testing::FaultyBackend;
use orc_store::{Env, LocalClient, Store};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{ElectionConfig, Standing, Timings, run};

/// Who led when, and whether two ever did at once.
#[derive(Default)]
struct Record {
    leading: AtomicUsize,
    terms: Mutex<Vec<(usize, Instant)>>,
}

struct Candidate {
    standing: watch::Receiver<Standing>,
    stop: CancellationToken,
    task: Task,
    backend: Arc<FaultyBackend>,
}

/// Counts who leads; dropped with the work, however it ends.
struct Leading(Arc<Record>);

impl Drop for Leading {
    fn drop(&mut self) {
        self.0.leading.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn candidate(number: usize, shared: &Arc<MemoryBackend>, system: &System, record: &Arc<Record>) -> Candidate {
    let backend = FaultyBackend::over(shared.clone());
    let store = Store::open(backend.clone(), Arc::new(|_| Arc::from([])), system.clone()).await.unwrap();
    let env = Env::new(Arc::new(LocalClient::new(store, system)), system);
    let (tell, standing) = watch::channel(Standing::default());
    let stop = CancellationToken::new();
    let record = record.clone();
    let work = move |term: CancellationToken| {
        let record = record.clone();
        async move {
            assert_eq!(record.leading.fetch_add(1, Ordering::SeqCst), 0, "two candidates lead at once");
            let _leading = Leading(record.clone());
            record.terms.lock().push((number, Instant::now()));
            term.cancelled().await;
            // Ending takes a while.
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        .boxed()
    };
    let config = ElectionConfig::new("loops", format!("candidate-{number}"));
    let task = system.spawn.spawn(run(env, config, tell, stop.clone(), work));
    Candidate { standing, stop, task, backend }
}

fn system() -> System {
    System::seeded(3, "2026-01-01T00:00:00Z".parse().unwrap())
}

async fn leads(candidate: &mut Candidate) {
    candidate.standing.wait_for(|standing| standing.leads).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_leads_and_the_next_takes_over_at_once_when_it_is_told_to_stop() {
    let (system, shared, record) = (system(), Arc::new(MemoryBackend::new()), Arc::default());
    let mut one = candidate(1, &shared, &system, &record).await;
    leads(&mut one).await;
    let mut two = candidate(2, &shared, &system, &record).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(two.standing.borrow().holder.as_deref(), Some("candidate-1"));
    assert!(!two.standing.borrow_and_update().leads);

    let stopped = Instant::now();
    one.stop.cancel();
    leads(&mut two).await;
    let timings = Timings::default();
    assert!(stopped.elapsed() < timings.retry * 2, "took over after {:?}", stopped.elapsed());
    one.task.join().await.unwrap();
    assert_eq!(record.terms.lock().iter().map(|(who, _)| *who).collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_dies_is_followed_within_the_lease() {
    let (system, shared, record) = (system(), Arc::new(MemoryBackend::new()), Arc::default());
    let mut one = candidate(1, &shared, &system, &record).await;
    leads(&mut one).await;
    let mut two = candidate(2, &shared, &system, &record).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let died = Instant::now();
    drop(one.task);
    leads(&mut two).await;
    let timings = Timings::default();
    assert!(died.elapsed() < timings.lease + timings.retry * 2, "took over after {:?}", died.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_leader_cut_off_from_the_store_stops_before_another_leads() {
    let (system, shared, record) = (system(), Arc::new(MemoryBackend::new()), Arc::default());
    let all = [
        candidate(0, &shared, &system, &record).await,
        candidate(1, &shared, &system, &record).await,
        candidate(2, &shared, &system, &record).await,
    ];
    let rng = system.rng.fork();
    // Who leads is cut off again and again; the work itself asserts that it is alone.
    for _ in 0..200 {
        let cut = usize::try_from(rng.below(3)).unwrap();
        all[cut].backend.refuse_commits(true);
        tokio::time::sleep(Duration::from_millis(500 + rng.below(12_000))).await;
        all[cut].backend.refuse_commits(false);
        tokio::time::sleep(Duration::from_millis(rng.below(4_000))).await;
    }
    let terms = record.terms.lock().len();
    assert!(terms > 20, "the lease changed hands: {terms} terms");
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(all.iter().filter(|one| one.standing.borrow().leads).count(), 1, "somebody leads again");
}

#[tokio::test(start_paused = true)]
async fn work_that_does_not_end_is_dropped_before_the_lease_is_over() {
    let (system, shared) = (system(), Arc::new(MemoryBackend::new()));
    let backend = FaultyBackend::over(shared.clone());
    let store = Store::open(backend.clone(), Arc::new(|_| Arc::from([])), system.clone()).await.unwrap();
    let env = Env::new(Arc::new(LocalClient::new(store, &system)), &system);
    let (tell, mut standing) = watch::channel(Standing::default());
    let dropped = Arc::new(Mutex::new(None));
    struct OnDrop(Arc<Mutex<Option<Instant>>>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            *self.0.lock() = Some(Instant::now());
        }
    }
    let seen = dropped.clone();
    let work = move |_: CancellationToken| {
        let mark = OnDrop(seen.clone());
        async move {
            let _mark = mark;
            std::future::pending::<()>().await;
        }
        .boxed()
    };
    let config = ElectionConfig::new("loops", "stubborn");
    let _task = system.spawn.spawn(run(env, config, tell, CancellationToken::new(), work));
    standing.wait_for(|standing| standing.leads).await.unwrap();
    backend.refuse_commits(true);
    let cut = Instant::now();
    standing.wait_for(|standing| !standing.leads).await.unwrap();
    let ended = dropped.lock().expect("the work was dropped");
    assert!(ended - cut <= Timings::default().lease, "dropped after {:?}", ended - cut);
}
