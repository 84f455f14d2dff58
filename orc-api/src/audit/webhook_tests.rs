//! Tests of the webhook backend, in virtual time.

use parking_lot::Mutex;

use super::*;

/// Refuses so many times, and keeps what it took with the second.
struct Takes {
    refusals: AtomicU64,
    again: bool,
    taken: Mutex<Vec<(i64, String)>>,
    clock: Clock,
}

#[async_trait]
impl Sink for Takes {
    async fn post(&self, list: Bytes) -> Result<(), Refusal> {
        if self.refusals.load(Ordering::Relaxed) > 0 {
            self.refusals.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal { why: "not now".to_owned(), again: self.again });
        }
        self.taken.lock().push((self.clock.now().as_second(), String::from_utf8(list.to_vec()).unwrap()));
        Ok(())
    }
}

fn system() -> System {
    System::seeded(1, Timestamp::UNIX_EPOCH)
}

fn start(refusals: u64, again: bool, config: &WebhookConfig) -> (Arc<Takes>, Webhook) {
    let system = system();
    let (refusals, taken) = (AtomicU64::new(refusals), Mutex::default());
    let sink = Arc::new(Takes { refusals, again, taken, clock: system.clock.clone() });
    sink.clock.now();
    (sink.clone(), Webhook::over(sink, config, &system))
}

#[tokio::test(start_paused = true)]
async fn a_batch_goes_when_it_is_full_or_old() {
    let config = WebhookConfig { batch: 2, ..WebhookConfig::default() };
    let (sink, hook) = start(0, true, &config);
    for event in ["{\"a\":1}", "{\"a\":2}", "{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"a\":3}"] {
        hook.write(event.to_owned()).await;
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let taken = sink.taken.lock().clone();
    let head = "{\"kind\":\"EventList\",\"apiVersion\":\"audit.k8s.io/v1\",\"metadata\":{},\"items\":[";
    assert_eq!(taken, [(0, format!("{head}{{\"a\":1}},{{\"a\":2}}]}}")), (30, format!("{head}{{\"a\":3}}]}}"))]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_tried_again_for_some_time() {
    let blocking = WebhookConfig { mode: Mode::Blocking, ..WebhookConfig::default() };
    let (sink, hook) = start(2, true, &blocking);
    hook.write("{}".to_owned()).await;
    let second = sink.taken.lock()[0].0;
    assert!((25..=30).contains(&second), "10 s and 15 s, and a fifth: {second}");
    let (sink, hook) = start(u64::from(TRIES), true, &blocking);
    hook.write("{}".to_owned()).await;
    assert_eq!((sink.taken.lock().len(), hook.lost()), (0, 1));
    let (sink, hook) = start(1, false, &blocking);
    hook.write("{}".to_owned()).await;
    assert_eq!((sink.taken.lock().len(), hook.lost()), (0, 1), "a refusal for good is not tried again");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_loses_events_and_no_memory() {
    let config = WebhookConfig { buffer: 3, ..WebhookConfig::default() };
    let (_sink, hook) = start(0, true, &config);
    for _ in 0..10 {
        hook.write_later("{}".to_owned());
    }
    assert_eq!(hook.lost(), 7);
}

#[test]
fn batches_are_throttled() {
    let mut bucket = Bucket::full(10.0, 2, Timestamp::UNIX_EPOCH);
    let waits: Vec<u128> = (0..4).map(|_| bucket.take(Timestamp::UNIX_EPOCH).as_millis()).collect();
    assert_eq!(waits, [0, 0, 100, 200]);
}
