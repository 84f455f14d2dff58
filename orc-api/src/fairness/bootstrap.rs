//! The FlowSchemas and PriorityLevelConfigurations that every cluster starts with
//! (`pkg/apis/flowcontrol/bootstrap` of the apiserver).
//!
//! Missing ones are made. One that carries the annotation `apf.kubernetes.io/autoupdate-spec: "true"` gets its shipped spec
//! back at start; whoever changes a spec for good sets that to `false`.

use k8s_openapi::api::flowcontrol::v1::{FlowSchema, PriorityLevelConfiguration};
use orc_core::{ApiError, Doc, ObjectKey, ResourceId};
use orc_store::client::{Intent, ObjectClient as _, ReadOptions, Target, WriteRequest};
use serde_json::{Value, json};

use crate::registry::RegistryClient;

/// The API group.
pub(super) const GROUP: &str = "flowcontrol.apiserver.k8s.io";
/// The level and the schema for what matches nothing else.
pub(super) const CATCH_ALL: &str = "catch-all";
const EXEMPT: &str = "exempt";
const AUTO: &str = "apf.kubernetes.io/autoupdate-spec";

/// Name, shares, lendable percent, queues and hand size; no queues: refuse.
type LevelRow = (&'static str, i32, i32, Option<(i32, i32)>);

/// The levels that limit.
const LEVELS: [LevelRow; 7] = [
    ("system", 30, 33, Some((64, 6))),
    ("node-high", 40, 25, Some((64, 6))),
    ("leader-election", 10, 0, Some((16, 4))),
    ("workload-high", 40, 50, Some((128, 6))),
    ("workload-low", 100, 90, Some((128, 6))),
    ("global-default", 20, 50, Some((128, 6))),
    (CATCH_ALL, 5, 0, None),
];

/// The exempt and the catch-all pair, which hold even when their objects are gone.
pub(super) fn mandatory() -> Vec<(PriorityLevelConfiguration, FlowSchema)> {
    let named = |name: &str, objects: Vec<Value>| objects.into_iter().find(|object| object["metadata"]["name"] == name);
    let pair = |name| {
        let level = serde_json::from_value(named(name, levels())?).ok()?;
        Some((level, serde_json::from_value(named(name, schemas())?).ok()?))
    };
    [EXEMPT, CATCH_ALL].into_iter().filter_map(pair).collect()
}

/// Makes what is missing and puts shipped specs back. `client` must be an administrator's.
///
/// # Errors
/// When an object can neither be read nor written.
pub async fn ensure(client: &RegistryClient) -> Result<(), ApiError> {
    for (plural, objects) in [("prioritylevelconfigurations", levels()), ("flowschemas", schemas())] {
        for object in objects {
            put(client, plural, Doc::from_value(object)?).await?;
        }
    }
    Ok(())
}

async fn put(client: &RegistryClient, plural: &str, doc: Doc) -> Result<(), ApiError> {
    let target = Target::object(ObjectKey::cluster(ResourceId::new(GROUP, plural), doc.name()));
    let found = match client.get(&target, &ReadOptions::default()).await {
        Ok(found) => found.stored()?.to_doc()?,
        Err(error) if error.is_not_found() => {
            return match client.write(WriteRequest::new(target, Intent::Create(doc))).await {
                // Another server was first.
                Err(error) if !error.is_already_exists() => Err(error),
                _ => Ok(()),
            };
        }
        Err(error) => return Err(error),
    };
    let spec = doc.at(&["spec"]).cloned().unwrap_or_default();
    if found.str_at(&["metadata", "annotations", AUTO]) != Some("true") || found.at(&["spec"]) == Some(&spec) {
        return Ok(());
    }
    let modify = move |doc: &mut Doc| {
        doc.set(&["spec"], spec.clone());
        Ok(())
    };
    client.write(WriteRequest::new(target, Intent::Modify(std::sync::Arc::new(modify)))).await.map(drop)
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": kind,
        "metadata": {"name": name, "annotations": {AUTO: "true"}}, "spec": spec})
}

fn levels() -> Vec<Value> {
    let exempt = json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}});
    let mut levels = vec![object("PriorityLevelConfiguration", EXEMPT, exempt)];
    levels.extend(LEVELS.map(|(name, shares, lendable, queues)| {
        let response = match queues {
            Some((queues, hand)) => json!({"type": "Queue",
                "queuing": {"queues": queues, "handSize": hand, "queueLengthLimit": 50}}),
            None => json!({"type": "Reject"}),
        };
        let limited =
            json!({"nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response});
        object("PriorityLevelConfiguration", name, json!({"type": "Limited", "limited": limited}))
    }));
    levels
}

fn schemas() -> Vec<Value> {
    let group = |name: &str| json!({"kind": "Group", "group": {"name": name}});
    let user = |name: &str| json!({"kind": "User", "user": {"name": name}});
    let system = json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": "*"}});
    let everybody = || json!([group("system:unauthenticated"), group("system:authenticated")]);
    let leases = |verbs: Value| json!({"verbs": verbs, "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "namespaces": ["*"]});
    let nodes = json!({"verbs": ["*"], "apiGroups": [""], "resources": ["nodes", "nodes/status"], "clusterScope": true, "namespaces": ["*"]});
    let (manager, scheduler) = (user("system:kube-controller-manager"), user("system:kube-scheduler"));
    let probes = json!({"subjects": everybody(),
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}]});
    let election = json!({"subjects": [manager, scheduler, system], "resourceRules": [leases(json!(["get", "create", "update"]))]});
    let beats = json!({"subjects": [group("system:nodes")], "resourceRules": [nodes, leases(json!(["*"]))]});
    let (user, namespace) = (Some("ByUser"), Some("ByNamespace"));
    [
        schema(EXEMPT, EXEMPT, 1, None, all_of(json!([group("system:masters")]))),
        schema("probes", EXEMPT, 2, None, probes),
        schema("system-leader-election", "leader-election", 100, user, election),
        schema("system-node-high", "node-high", 400, user, beats),
        schema("system-nodes", "system", 500, user, all_of(json!([group("system:nodes")]))),
        schema("kube-controller-manager", "workload-high", 800, namespace, all_of(json!([manager]))),
        schema("kube-scheduler", "workload-high", 800, namespace, all_of(json!([scheduler]))),
        schema("kube-system-service-accounts", "workload-high", 900, namespace, all_of(json!([system]))),
        schema("service-accounts", "workload-low", 9000, user, all_of(json!([group("system:serviceaccounts")]))),
        schema("global-default", "global-default", 9900, user, all_of(everybody())),
        schema(CATCH_ALL, CATCH_ALL, 10_000, user, all_of(everybody())),
    ]
    .into()
}

/// A rule about everything that somebody does.
fn all_of(subjects: Value) -> Value {
    json!({"subjects": subjects,
        "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"]}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]})
}

fn schema(name: &str, level: &str, precedence: i32, by: Option<&str>, rule: Value) -> Value {
    let mut spec =
        json!({"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence, "rules": [rule]});
    if let Some(by) = by {
        spec["distinguisherMethod"] = json!({"type": by});
    }
    object("FlowSchema", name, spec)
}
