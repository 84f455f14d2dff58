//! Priority and fairness (KEP-1040): who is served when more is asked than can be done at once.
//!
//! Each request belongs to a flow of a FlowSchema, and each FlowSchema to a priority level. A level has a number of seats; what
//! does not fit waits in one of a few queues that the flow is dealt, and the queues take turns by the work they were given. A
//! noisy flow fills its own queues.
//!
//! | module | holds |
//! |---|---|
//! | [`queues`] | the queues of a level (pure) |
//! | [`deal`] | which queues a flow may use (pure) |
//! | [`borrow`] | the seats of each level by what is needed (pure) |
//! | [`schema`] | which FlowSchema a request belongs to (pure) |
//! | [`plan`] | the configuration, compiled |
//! | [`level`] | a level's queues under a lock, and those who wait |
//! | `metrics` | what `/metrics` shows of it |
//! | [`bootstrap`] | the objects that every cluster starts with |
//!
//! Without contention a request costs a search through the FlowSchemas and one short lock. A request has its seats until it is
//! answered, a watch until it has started; how fast the client reads does not count. Unlike upstream, exempt requests take
//! nothing from the others' seats, and writes are not counted wider by the watchers they reach.

pub mod bootstrap;
pub mod borrow;
pub mod deal;
pub mod level;
mod metrics;
pub mod plan;
pub mod queues;
pub mod schema;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderValue;
use orc_core::env::{Clock, System, Task};
use orc_core::{ApiError, ResourceId};
use orc_store::{Stored, WatchEvent};
use parking_lot::Mutex;
use tokio::sync::Notify;

use self::level::{Level, Permit, Refused};
use self::plan::{Objects, Plan, Priority};
use crate::follow::{self, Follower};
use crate::identity::Identity;
use crate::rbac::Attributes;
use crate::registry::Registry;

/// How often seats are lent and taken back while there is contention; upstream's `borrowingAdjustmentPeriod`.
const ADJUST: Duration = Duration::from_secs(10);
/// How long to wait before a status is written again that could not be written.
const PAUSE: Duration = Duration::from_secs(1);

/// The bounds of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FairnessOptions {
    /// Seats of all levels together; at least 1.
    pub seats: u32,
    /// How long a request may wait for its turn.
    pub patience: Duration,
}

impl Default for FairnessOptions {
    /// kube-apiserver's: 400 and 200 requests in flight, and a quarter of the request timeout of a minute.
    fn default() -> Self {
        Self { seats: 600, patience: Duration::from_secs(15) }
    }
}

/// Judges requests by the FlowSchemas and PriorityLevelConfigurations in the store.
pub struct Fairness {
    shared: Arc<Shared>,
    patience: Duration,
    _tasks: Vec<Task>,
}

/// What came out for one request.
pub struct Admission {
    /// The uid of its FlowSchema.
    pub flow_schema: HeaderValue,
    /// The uid of its priority level.
    pub priority_level: HeaderValue,
    /// Its seats, to be kept while it runs; none where it is exempt.
    pub outcome: Result<Option<Permit>, Refused>,
}

struct Shared {
    plan: ArcSwap<Plan>,
    objects: Mutex<Objects>,
    seats: u32,
    clock: Clock,
    changed: Notify,
    contended: Notify,
}

impl Fairness {
    /// Reads the configuration and follows it. FlowSchemas get their status written.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn start(
        registry: &Arc<Registry>,
        options: FairnessOptions,
        system: &System,
    ) -> Result<Arc<Self>, ApiError> {
        let seats = options.seats.max(1);
        let (plan, objects, clock) = (ArcSwap::default(), Mutex::default(), system.clock.clone());
        let (changed, contended) = (Notify::new(), Notify::new());
        let shared = Arc::new(Shared { plan, objects, seats, clock, changed, contended });
        let mut tasks = Vec::new();
        for plural in ["prioritylevelconfigurations", "flowschemas"] {
            let resource = ResourceId::new(bootstrap::GROUP, plural);
            tasks.push(follow::start(registry.store(), system, resource, shared.clone()).await?);
        }
        tasks.push(system.spawn.spawn(shared.clone().lend()));
        tasks.push(system.spawn.spawn(shared.clone().tell(registry.clone())));
        Ok(Arc::new(Self { shared, patience: options.patience, _tasks: tasks }))
    }

    /// Waits until a request may run. `width` says how many seats it takes, given its level. Dropping the future takes the
    /// request back.
    pub async fn admit(
        &self,
        who: &Identity,
        asks: &Attributes<'_>,
        width: impl FnOnce(&Priority) -> u32,
    ) -> Option<Admission> {
        let (flow_schema, priority, counts, flow) = {
            let plan = self.shared.plan.load();
            let (schema, flow) = plan.classify(who, asks)?;
            (schema.uid.clone(), schema.level.clone(), schema.counts.clone(), flow)
        };
        let outcome = match &priority.level {
            Some(level) => self.seats(level, flow, width(&priority).max(1)).await.map(Some),
            None => Ok(None),
        };
        counts.count(&outcome);
        Some(Admission { flow_schema, priority_level: priority.uid.clone(), outcome })
    }

    async fn seats(&self, level: &Arc<Level>, flow: u64, width: u32) -> Result<Permit, Refused> {
        if let Some(permit) = level.try_admit(flow, width) {
            return Ok(permit);
        }
        self.shared.contended.notify_one();
        level.admit(flow, width, self.patience).await
    }

    /// The present plan, for those who want to look at the levels.
    pub fn plan(&self) -> Arc<Plan> {
        self.shared.plan.load_full()
    }
}

impl Shared {
    fn update(&self, change: impl FnOnce(&mut Objects)) {
        let mut objects = self.objects.lock();
        change(&mut objects);
        let plan = Plan::of(&objects, &self.plan.load(), self.seats, &self.clock);
        self.plan.store(Arc::new(plan));
        self.changed.notify_one();
    }

    /// Lends seats while there is contention.
    async fn lend(self: Arc<Self>) {
        let mut smooth = BTreeMap::new();
        loop {
            self.contended.notified().await;
            // At once, since there has been none for a while; then not more often than every period.
            self.plan.load().adjust(&mut smooth, self.seats);
            self.clock.sleep(ADJUST).await;
        }
    }

    /// Writes what became of FlowSchemas.
    async fn tell(self: Arc<Self>, registry: Arc<Registry>) {
        let client = registry.trusted(Identity::admin(), "api-priority-and-fairness-config-consumer-v1");
        loop {
            let wrong = status::wrong(&self.objects.lock());
            let mut failed = false;
            for (name, wanted) in wrong {
                if let Err(error) = status::write(&client, &name, wanted, &self.clock).await {
                    tracing::warn!(%error, schema = name, "the status of a FlowSchema cannot be written");
                    failed = true;
                }
            }
            if failed {
                self.clock.sleep(PAUSE).await;
            } else {
                self.changed.notified().await;
            }
        }
    }
}

impl Follower for Shared {
    fn reset(&self, resource: &ResourceId, items: &[Arc<Stored>]) {
        self.update(|objects| {
            if resource.plural() == "flowschemas" {
                objects.schemas.clear()
            } else {
                objects.levels.clear()
            }
            items.iter().for_each(|item| put(objects, item, true));
        });
    }

    fn change(&self, event: &WatchEvent) {
        if let Some(object) = event.object() {
            let there = !matches!(event, WatchEvent::Removed { .. });
            self.update(|objects| put(objects, object, there));
        }
    }
}

fn put(objects: &mut Objects, stored: &Stored, there: bool) {
    let name = stored.key.name.to_string();
    let broken = |error| tracing::warn!(%error, %name, "an object of priority and fairness does not read");
    if stored.key.resource.plural() == "flowschemas" {
        match stored.view() {
            Ok(schema) if there => drop(objects.schemas.insert(name, schema)),
            Ok(_) => drop(objects.schemas.remove(&name)),
            Err(error) => broken(error),
        }
        return;
    }
    match stored.view() {
        Ok(level) if there => drop(objects.levels.insert(name, level)),
        Ok(_) => drop(objects.levels.remove(&name)),
        Err(error) => broken(error),
    }
}
