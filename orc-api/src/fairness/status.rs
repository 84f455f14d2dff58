//! Says in the status of a FlowSchema whether its level is there (`Dangling`).

use std::sync::Arc;

use orc_core::env::Clock;
use orc_core::{ApiError, Doc, ObjectKey, ResourceId};
use orc_store::client::{Intent, ObjectClient as _, Target, WriteRequest};
use orc_store::local::rules::timestamp;
use serde_json::{Value, json};

use super::bootstrap::GROUP;
use super::plan::Objects;
use crate::registry::RegistryClient;

/// Status, reason and message, as upstream's `syncFlowSchemaStatus` words them.
fn wanted(level: &str, there: bool) -> [String; 3] {
    let object = format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?}");
    if there {
        ["False".into(), "Found".into(), format!("{object} and it exists")]
    } else {
        ["True".into(), "NotFound".into(), format!("{object} but there is no such object")]
    }
}

/// The FlowSchemas whose status says something else than is so.
pub(super) fn wrong(objects: &Objects) -> Vec<(String, [String; 3])> {
    let wrong = objects.schemas.iter().filter_map(|(name, schema)| {
        let level = &schema.spec.as_ref()?.priority_level_configuration.name;
        let wanted = wanted(level, objects.levels.contains_key(level));
        let conditions = schema.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let mut dangling = conditions.filter(|condition| condition.type_.as_deref() == Some("Dangling"));
        let told = dangling.any(|c| {
            [&c.status, &c.reason, &c.message]
                .into_iter()
                .zip(&wanted)
                .all(|(own, wanted)| own.as_ref() == Some(wanted))
        });
        (!told).then(|| (name.clone(), wanted))
    });
    wrong.collect()
}

/// Writes a condition.
///
/// # Errors
/// When it cannot be written; not when the object is gone.
pub(super) async fn write(
    client: &RegistryClient,
    name: &str,
    wanted: [String; 3],
    clock: &Clock,
) -> Result<(), ApiError> {
    let target = Target::status(ObjectKey::cluster(ResourceId::new(GROUP, "flowschemas"), name));
    let now = timestamp(clock.now());
    let modify = move |doc: &mut Doc| {
        let [status, reason, message] = &wanted;
        let of_type = |c: &&Value| c["type"] == "Dangling";
        let mut conditions = doc.at(&["status", "conditions"]).and_then(Value::as_array).cloned().unwrap_or_default();
        let old = conditions.iter().find(of_type).filter(|old| old["status"] == status.as_str());
        let since = old.map_or_else(|| now.clone().into(), |old| old["lastTransitionTime"].clone());
        conditions.retain(|c| c["type"] != "Dangling");
        conditions.push(json!({"type": "Dangling", "status": status, "lastTransitionTime": since, "reason": reason,
            "message": message}));
        doc.set(&["status", "conditions"], Value::Array(conditions));
        Ok(())
    };
    match client.write(WriteRequest::new(target, Intent::Modify(Arc::new(modify)))).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}
