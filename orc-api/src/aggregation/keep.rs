//! The loop of the aggregator: follows APIServices and what their Services stand on, checks other servers when something
//! changes and every half minute, and keeps their documents.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use orc_core::env::{System, Task};
use orc_core::{ApiError, Doc, ObjectKey, ResourceId};
use orc_store::client::{Intent, ObjectClient as _, Target, WriteRequest};
use orc_store::local::rules::timestamp;
use orc_store::{Stored, WatchEvent};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::Shared;
use super::check::{Found, check};
use super::documents::Documents;
use super::route::{Route, Version};
use crate::Identity;
use crate::follow::{self, Follower};
use crate::identity::MASTERS;
use crate::registry::{Registry, RegistryClient};

/// How often servers are checked when nothing changes, as by kube-aggregator.
const PERIOD: Duration = Duration::from_secs(30);
/// How long after the first failure it is tried again; doubled up to [`PERIOD`].
const RETRY: Duration = Duration::from_secs(1);
/// Changes come in groups: a rollout writes many endpoints.
const GATHER: Duration = Duration::from_millis(100);
/// Servers that are checked at a time.
const CHECKS: usize = 8;

fn resource() -> ResourceId {
    ResourceId::new("apiregistration.k8s.io", "apiservices")
}

/// The client that writes conditions: the server's own, which may do everything.
pub(super) fn client(registry: &Arc<Registry>) -> RegistryClient {
    registry.trusted(Identity::user("system:apiserver", &[MASTERS]), "kube-apiserver")
}

/// Reads what there is, then starts the tasks.
pub(super) async fn start(shared: &Arc<Shared>, system: &System) -> Result<Vec<Task>, ApiError> {
    let services = Arc::new(Services { shared: shared.clone(), routes: Mutex::default() });
    let beneath = Arc::new(Beneath(shared.clone()));
    let store = &shared.store;
    let mut tasks = vec![follow::start(store, system, resource(), services).await?];
    for (group, plural) in [("", "services"), ("discovery.k8s.io", "endpointslices")] {
        tasks.push(follow::start(store, system, ResourceId::new(group, plural), beneath.clone()).await?);
    }
    tasks.push(system.spawn.spawn(run(shared.clone())));
    Ok(tasks)
}

/// Follows APIServices.
struct Services {
    shared: Arc<Shared>,
    /// By the APIService's name.
    routes: Mutex<BTreeMap<String, Arc<Route>>>,
}

impl Services {
    fn publish(&self, change: impl FnOnce(&mut BTreeMap<String, Arc<Route>>)) {
        let mut routes = self.routes.lock();
        change(&mut routes);
        let by_version: BTreeMap<Version, Arc<Route>> =
            routes.values().map(|r| (r.version.clone(), r.clone())).collect();
        self.shared.documents.lock().retain(|version, _| by_version.contains_key(version));
        self.shared.routes.store(Arc::new(by_version));
        self.shared.changed.notify_one();
    }

    fn read(&self, stored: &Stored) -> Option<Arc<Route>> {
        let doc = stored.to_doc().ok()?;
        Route::of(&doc, |version| self.shared.here.get(version).cloned()).map(Arc::new)
    }
}

impl Follower for Services {
    fn reset(&self, _: &ResourceId, items: &[Arc<Stored>]) {
        let all = items.iter().filter_map(|item| self.read(item)).map(|route| (route.name.clone(), route)).collect();
        self.publish(|routes| *routes = all);
    }

    fn change(&self, event: &WatchEvent) {
        let (Some(object), gone) = (event.object(), matches!(event, WatchEvent::Removed { .. })) else { return };
        let name = object.key.name.to_string();
        let route = if gone { None } else { self.read(object) };
        self.publish(|routes| {
            drop(match route {
                Some(route) => routes.insert(name, route),
                None => routes.remove(&name),
            });
        });
    }
}

/// Follows the Services and endpoints that APIServices stand on.
struct Beneath(Arc<Shared>);

impl Follower for Beneath {
    fn reset(&self, _: &ResourceId, _: &[Arc<Stored>]) {
        self.0.changed.notify_one();
    }

    fn change(&self, event: &WatchEvent) {
        let Some(object) = event.object() else { return };
        let key = &object.key;
        let service = object.head.labels.get("kubernetes.io/service-name");
        let service = if key.resource == ResourceId::new("", "services") {
            Some(key.name.as_str())
        } else {
            service.map(AsRef::as_ref)
        };
        let routes = self.0.routes.load();
        let mut behind = routes.values().filter_map(|route| route.behind());
        let concerns =
            behind.any(|b| Some(b.namespace.as_str()) == key.namespace.as_deref() && Some(b.name.as_str()) == service);
        if concerns {
            self.0.changed.notify_one();
        }
    }
}

async fn run(shared: Arc<Shared>) {
    let mut retry = RETRY;
    loop {
        let routes: Vec<Arc<Route>> = shared.routes.load().values().cloned().collect();
        let passes: Vec<BoxFuture<'static, bool>> =
            routes.into_iter().map(|route| pass(shared.clone(), route).boxed()).collect();
        let passed: Vec<bool> = futures::stream::iter(passes).buffer_unordered(CHECKS).collect().await;
        let all_well = passed.into_iter().all(|well| well);
        let pause = if all_well { PERIOD } else { retry };
        retry = if all_well { RETRY } else { (retry * 2).min(PERIOD) };
        tokio::select! {
            biased;
            () = shared.changed.notified() => shared.clock.sleep(GATHER).await,
            () = shared.clock.sleep(pause) => {}
        }
    }
}

/// Checks one server. Whether all is well.
async fn pass(shared: Arc<Shared>, route: Arc<Route>) -> bool {
    let (found, resources) = check(&shared.store, &shared.connector, &route).await;
    let documents = match resources {
        Some(resources) => Documents::read(&shared.connector, &route, resources).await,
        None => Documents::stale(shared.documents.lock().get(&route.version).map(AsRef::as_ref)),
    };
    if shared.routes.load().contains_key(&route.version) {
        shared.documents.lock().insert(route.version.clone(), Arc::new(documents));
    }
    let well = found.status == "True";
    match tell(&shared, &route, found).await {
        Ok(()) => well,
        // It is gone: nothing is to be told.
        Err(error) if error.is_not_found() => true,
        Err(error) => {
            tracing::warn!(name = route.name, %error, "the condition of an APIService could not be written");
            false
        }
    }
}

/// Writes the condition where it is another one.
async fn tell(shared: &Shared, route: &Route, found: Found) -> Result<(), ApiError> {
    let key = ObjectKey::cluster(resource(), route.name.as_str());
    if shared.store.peek(&key).and_then(|stored| stored.to_doc().ok()).is_some_and(|doc| says(&doc, &found)) {
        return Ok(());
    }
    let now = timestamp(shared.clock.now());
    let modify = move |doc: &mut Doc| {
        if !says(doc, &found) {
            let conditions = set(doc.at(&["status", "conditions"]), &found, &now);
            doc.set(&["status", "conditions"], conditions);
        }
        Ok(())
    };
    shared.client.write(WriteRequest::new(Target::status(key), Intent::Modify(Arc::new(modify)))).await.map(drop)
}

fn available(conditions: Option<&Value>) -> Option<&Value> {
    conditions.and_then(Value::as_array).into_iter().flatten().find(|c| c["type"] == "Available")
}

fn says(doc: &Doc, found: &Found) -> bool {
    let told = available(doc.at(&["status", "conditions"]));
    told.is_some_and(|c| c["status"] == found.status && c["reason"] == found.reason && c["message"] == *found.message)
}

/// The conditions with this one; its time moves with its status only.
fn set(conditions: Option<&Value>, found: &Found, now: &str) -> Value {
    let since = available(conditions).filter(|c| c["status"] == found.status).map(|c| c["lastTransitionTime"].clone());
    let others = conditions.and_then(Value::as_array).into_iter().flatten().filter(|c| c["type"] != "Available");
    let mut all: Vec<Value> = others.cloned().collect();
    all.push(json!({"type": "Available", "status": found.status, "reason": found.reason, "message": found.message,
        "lastTransitionTime": since.unwrap_or_else(|| now.into())}));
    all.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_condition_moves_with_its_status() {
        let failed = |reason| Found { status: "False", reason, message: String::new() };
        let first = set(None, &failed("ServiceNotFound"), "t1");
        let second = set(Some(&first), &failed("MissingEndpoints"), "t2");
        assert_eq!(
            (&second[0]["reason"], &second[0]["lastTransitionTime"]),
            (&json!("MissingEndpoints"), &json!("t1"))
        );
        let third = set(Some(&second), &Found::local(), "t3");
        assert_eq!((third.as_array().unwrap().len(), &third[0]["lastTransitionTime"]), (1, &json!("t3")));
    }
}
