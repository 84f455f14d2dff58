//! The present configuration, compiled: FlowSchemas in the order they are tried, each with its level.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderValue;
use k8s_openapi::api::flowcontrol::v1::{
    FlowSchema, FlowSchemaSpec, LimitedPriorityLevelConfiguration, PriorityLevelConfiguration,
};
use orc_core::env::Clock;

use super::borrow::{self, Wish};
use super::level::Level;
use super::metrics::Counts;
use super::queues::Shape;
use super::{bootstrap, schema};
use crate::identity::Identity;
use crate::rbac::Attributes;

/// The seats of the widest list, and which part of its level it may have (upstream's `MaximumListSeatsLimit` and
/// `newMaxSeatsFn`).
const WIDEST: u32 = 10;
const WIDEST_PERCENT: i32 = 15;

/// A FlowSchema that is in use.
pub struct Schema {
    /// Its name.
    pub name: String,
    /// Its uid, empty for one that is only imagined.
    pub uid: HeaderValue,
    /// Its level.
    pub level: Arc<Priority>,
    /// What became of its requests, since it has been with this level.
    pub counts: Arc<Counts>,
    precedence: i32,
    spec: FlowSchemaSpec,
}

/// A level that is in use.
pub struct Priority {
    /// Its name.
    pub name: String,
    /// Its uid, empty for one that is only imagined.
    pub uid: HeaderValue,
    /// What limits it; `None`: it is exempt.
    pub level: Option<Arc<Level>>,
    /// The seats that one list may have.
    pub widest: u32,
    limits: Limits,
}

impl Priority {
    /// The seats that it has by its configuration alone.
    pub fn nominal(&self) -> u32 {
        self.limits.nominal
    }
}

/// The seats of a level by its configuration.
#[derive(Clone, Copy, Default)]
struct Limits {
    nominal: u32,
    lendable: u32,
    borrowable: Option<u32>,
}

/// Everything that a request is judged by.
#[derive(Default)]
pub struct Plan {
    schemas: Vec<Schema>,
    /// The levels, by name.
    pub levels: BTreeMap<String, Arc<Priority>>,
}

/// The objects that make a plan.
#[derive(Default)]
pub struct Objects {
    /// FlowSchemas by name.
    pub schemas: BTreeMap<String, Arc<FlowSchema>>,
    /// PriorityLevelConfigurations by name.
    pub levels: BTreeMap<String, Arc<PriorityLevelConfiguration>>,
}

impl Plan {
    /// A plan of so many seats. Levels that stay keep their queues and who is in them; the two mandatory levels and schemas
    /// are there whether their objects are or not, and schemas without a level are left out.
    pub fn of(objects: &Objects, before: &Self, seats: u32, clock: &Clock) -> Self {
        let mut given = objects.levels.clone();
        let mut schemas = objects.schemas.clone();
        for (level, schema) in bootstrap::mandatory() {
            given.entry(level.metadata.name.clone().unwrap_or_default()).or_insert(Arc::new(level));
            schemas.entry(schema.metadata.name.clone().unwrap_or_default()).or_insert(Arc::new(schema));
        }
        let shares = |level: &PriorityLevelConfiguration| u64::from(limited(level).map_or(0, |l| share(&l)));
        let sum: u64 = given.values().map(|level| shares(level)).sum();
        let made = given.iter().map(|(name, level)| {
            (name.clone(), Arc::new(priority(name, level, before.levels.get(name), (seats, sum), clock)))
        });
        let levels: BTreeMap<String, Arc<Priority>> = made.collect();
        let compiled = schemas.values().filter_map(|schema| {
            let spec = schema.spec.clone()?;
            let level = levels.get(&spec.priority_level_configuration.name)?.clone();
            let (name, uid) = (schema.metadata.name.clone()?, header(schema.metadata.uid.as_deref()));
            let counts = before.counts(&name, &level.name);
            Some(Schema { name, uid, level, counts, precedence: spec.matching_precedence.unwrap_or(1000), spec })
        });
        let mut schemas: Vec<Schema> = compiled.collect();
        schemas.sort_by(|a, b| (a.precedence, &a.name).cmp(&(b.precedence, &b.name)));
        Self { schemas, levels }
    }

    /// The schemas in the order in which they are tried.
    pub fn schemas(&self) -> &[Schema] {
        &self.schemas
    }

    /// The counters of a schema with a level; new ones where it was not there, or with another level.
    fn counts(&self, name: &str, level: &str) -> Arc<Counts> {
        let known = self.schemas.iter().find(|one| one.name == name && one.level.name == level);
        known.map(|one| one.counts.clone()).unwrap_or_default()
    }

    /// The first schema that is about a request, and the hash of the request's flow.
    pub fn classify(&self, who: &Identity, asks: &Attributes<'_>) -> Option<(&Schema, u64)> {
        let found = self.schemas.iter().find(|one| schema::matches(&one.spec, who, asks));
        // Whoever is in neither group of authentication is matched by nothing; what is not limited elsewhere is limited last.
        let found = found.or_else(|| self.schemas.iter().find(|one| one.name == bootstrap::CATCH_ALL))?;
        Some((found, super::deal::hash([&found.name, schema::distinguisher(&found.spec, who, asks)])))
    }

    /// Gives the levels their seats anew by what was wanted since the last time. `smooth` is the caller's to keep.
    pub fn adjust(&self, smooth: &mut BTreeMap<String, f64>, seats: u32) {
        smooth.retain(|name, _| self.levels.contains_key(name));
        let mut limited = Vec::new();
        for (name, priority) in &self.levels {
            let Some(level) = &priority.level else { continue };
            let peak = level.take_peak() as f64;
            let smoothed = smooth.entry(name.clone()).or_default();
            *smoothed = borrow::smooth(*smoothed, peak);
            let Limits { nominal, lendable, borrowable } = priority.limits;
            limited.push((level, Wish { nominal, lendable, borrowable, peak, smooth: *smoothed }));
        }
        let wishes: Vec<Wish> = limited.iter().map(|(_, wish)| *wish).collect();
        for ((level, _), seats) in limited.iter().zip(borrow::allocate(&wishes, seats)) {
            level.configure(None, seats.max(1));
        }
    }
}

fn limited(level: &PriorityLevelConfiguration) -> Option<LimitedPriorityLevelConfiguration> {
    let spec = level.spec.as_ref()?;
    (spec.type_ != "Exempt").then(|| spec.limited.clone().unwrap_or_default())
}

fn share(limited: &LimitedPriorityLevelConfiguration) -> u32 {
    u32::try_from(limited.nominal_concurrency_shares.unwrap_or(30)).unwrap_or_default()
}

fn priority(
    name: &str,
    level: &PriorityLevelConfiguration,
    before: Option<&Arc<Priority>>,
    (seats, sum): (u32, u64),
    clock: &Clock,
) -> Priority {
    let (name, uid) = (name.to_owned(), header(level.metadata.uid.as_deref()));
    let Some(limited) = limited(level) else {
        return Priority { name, uid, level: None, widest: WIDEST, limits: Limits::default() };
    };
    let nominal = borrow::nominal(share(&limited), sum, seats);
    let limits = Limits {
        nominal,
        lendable: borrow::percent(nominal, limited.lendable_percent.unwrap_or_default()),
        borrowable: limited.borrowing_limit_percent.map(|percent| borrow::percent(nominal, percent)),
    };
    let shape = shape(&limited);
    let level = match before.and_then(|before| Some((before.level.clone()?, before.limits.nominal))) {
        Some((level, was)) => {
            // What was lent stays so until the next adjustment, unless the shares are others now.
            let seats = if was == nominal { level.seats() } else { nominal.max(1) };
            level.configure(Some(shape), seats);
            level
        }
        // A level of no seats still serves one request at a time: it is never shut.
        None => Level::new(shape, nominal.max(1), clock.clone()),
    };
    let widest = borrow::percent(nominal, WIDEST_PERCENT).clamp(1, WIDEST);
    Priority { name, uid, level: Some(level), widest, limits }
}

fn shape(limited: &LimitedPriorityLevelConfiguration) -> Shape {
    let response = limited.limit_response.as_ref().filter(|response| response.type_ == "Queue");
    let Some(response) = response else { return Shape::REJECT };
    let queuing = response.queuing.clone().unwrap_or_default();
    let positive = |value: Option<i32>, default| u32::try_from(value.unwrap_or(default)).unwrap_or(1).max(1);
    Shape {
        queues: positive(queuing.queues, 64),
        hand: positive(queuing.hand_size, 8),
        length: positive(queuing.queue_length_limit, 50) as usize,
    }
}

fn header(uid: Option<&str>) -> HeaderValue {
    HeaderValue::from_str(uid.unwrap_or_default()).unwrap_or_else(|_| HeaderValue::from_static(""))
}
