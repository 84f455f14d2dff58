//! The APIServices of what this server serves itself, made at start (`kube-aggregator.kubernetes.io/automanaged: onstart`).

use std::sync::Arc;

use orc_core::catalogue::Catalogue;
use orc_core::env::Clock;
use orc_core::{ApiError, Doc, ObjectKey, ResourceId};
use orc_store::client::{Intent, ObjectClient as _, ReadOptions, Target, WriteRequest};
use orc_store::local::rules::timestamp;
use serde_json::{Value, json};

use crate::registry::RegistryClient;

/// The label of APIServices that are not a user's, and its value for those made at start.
const AUTOMANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
const ON_START: &str = "onstart";

/// Group, the group's priority, and that of its versions where it is not 15 (`pkg/controlplane/apiserver/aggregator.go`).
const PRIORITIES: [(&str, i32); 20] = [
    ("", 18_000),
    ("apps", 17_800),
    ("events.k8s.io", 17_750),
    ("authentication.k8s.io", 17_700),
    ("authorization.k8s.io", 17_600),
    ("autoscaling", 17_500),
    ("batch", 17_400),
    ("certificates.k8s.io", 17_300),
    ("networking.k8s.io", 17_200),
    ("policy", 17_100),
    ("rbac.authorization.k8s.io", 17_000),
    ("storage.k8s.io", 16_800),
    ("apiextensions.k8s.io", 16_700),
    ("admissionregistration.k8s.io", 16_700),
    ("scheduling.k8s.io", 16_600),
    ("coordination.k8s.io", 16_500),
    ("node.k8s.io", 16_300),
    ("resource.k8s.io", 16_200),
    ("discovery.k8s.io", 16_200),
    ("flowcontrol.apiserver.k8s.io", 16_100),
];

/// The priority of a group that no APIService of another server is for; defined ones have what upstream gives them.
pub(super) fn priority_of(group: &str) -> i64 {
    if group == "apiregistration.k8s.io" {
        return i64::MAX;
    }
    PRIORITIES.iter().find(|(name, _)| *name == group).map_or(1000, |(_, priority)| i64::from(*priority))
}

fn version_priority(group: &str, version: &str) -> i32 {
    match (group, version) {
        ("", _) => 1,
        ("autoscaling", "v2") => 30,
        ("flowcontrol.apiserver.k8s.io" | "resource.k8s.io", "v1") => 21,
        _ => 15,
    }
}

/// The APIServices of the built-in groups. The group that APIServices are in has none, as upstream.
fn wanted() -> Vec<Value> {
    let known = |group: &str| PRIORITIES.iter().find(|(name, _)| *name == group).map(|(_, priority)| *priority);
    let groups = Catalogue::builtin().groups();
    let made = groups.iter().filter_map(|group| Some((group, known(&group.name)?))).flat_map(|(group, priority)| {
        group.versions.iter().map(move |version| {
            let mut spec = json!({"version": &**version, "groupPriorityMinimum": priority,
                "versionPriority": version_priority(&group.name, version)});
            if !group.name.is_empty() {
                spec["group"] = (*group.name).into();
            }
            json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
                "metadata": {"name": format!("{version}.{}", group.name), "labels": {AUTOMANAGED: ON_START}}, "spec": spec})
        })
    });
    made.collect()
}

/// Makes what is missing, puts shipped specs back, and says that they are available. `client` must be an administrator's.
///
/// # Errors
/// When an object can neither be read nor written.
pub async fn ensure(client: &RegistryClient, clock: &Clock) -> Result<(), ApiError> {
    for object in wanted() {
        put(client, Doc::from_value(object)?, clock).await?;
    }
    Ok(())
}

/// Makes the APIService of a group and version that this process serves beside the registry, with the priorities that
/// metrics-server has. One that is there stays as it is: it may name another server.
///
/// # Errors
/// When it can neither be read nor made.
pub async fn ensure_here(client: &RegistryClient, group: &str, version: &str) -> Result<(), ApiError> {
    let name = format!("{version}.{group}");
    let doc = Doc::from_value(
        json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": name},
        "spec": {"group": group, "version": version, "groupPriorityMinimum": 100, "versionPriority": 100}}),
    )?;
    let key = ObjectKey::cluster(ResourceId::new("apiregistration.k8s.io", "apiservices"), name.as_str());
    match client.write(WriteRequest::new(Target::object(key), Intent::Create(doc))).await {
        Err(error) if !error.is_already_exists() => Err(error),
        _ => Ok(()),
    }
}

async fn put(client: &RegistryClient, doc: Doc, clock: &Clock) -> Result<(), ApiError> {
    let key = ObjectKey::cluster(ResourceId::new("apiregistration.k8s.io", "apiservices"), doc.name());
    let target = Target::object(key.clone());
    let found = match client.get(&target, &ReadOptions::default()).await {
        Ok(found) => found.stored()?.to_doc()?,
        Err(error) if error.is_not_found() => {
            match client.write(WriteRequest::new(target.clone(), Intent::Create(doc.clone()))).await {
                // Another server was first.
                Err(error) if !error.is_already_exists() => return Err(error),
                _ => doc.clone(),
            }
        }
        Err(error) => return Err(error),
    };
    let spec = doc.at(&["spec"]).cloned().unwrap_or_default();
    if found.str_at(&["metadata", "labels", AUTOMANAGED]) == Some(ON_START) && found.at(&["spec"]) != Some(&spec) {
        let modify = move |doc: &mut Doc| {
            doc.set(&["spec"], spec.clone());
            Ok(())
        };
        client.write(WriteRequest::new(target, Intent::Modify(Arc::new(modify)))).await?;
    }
    let told = found.at(&["status", "conditions"]).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    if told || found.at(&["spec", "service"]).is_some_and(|service| !service.is_null()) {
        return Ok(());
    }
    let now = timestamp(clock.now());
    let modify = move |doc: &mut Doc| {
        let condition = json!({"type": "Available", "status": "True", "lastTransitionTime": now, "reason": "Local",
            "message": "Local APIServices are always available"});
        doc.set(&["status", "conditions"], json!([condition]));
        Ok(())
    };
    client.write(WriteRequest::new(Target::status(key), Intent::Modify(Arc::new(modify)))).await.map(drop)
}
