//! Deployments, ReplicaSets, DaemonSets, StatefulSets, Jobs and their like.

use jiff::Timestamp;
use serde_json::Value;

use super::{Row, human, pairs};

pub(super) fn cell(id: &str, column: &str, row: &Row<'_>) -> Option<Value> {
    Some(match (id, column) {
        ("deployments.apps", "Ready") => row.share("/status/readyReplicas", "/spec/replicas"),
        ("deployments.apps", "Up-to-date") => row.number("/status/updatedReplicas").into(),
        ("deployments.apps", "Available") => row.number("/status/availableReplicas").into(),
        ("replicasets.apps" | "replicationcontrollers", "Desired") => row.number("/spec/replicas").into(),
        ("replicasets.apps" | "replicationcontrollers", "Current") => row.number("/status/replicas").into(),
        ("replicasets.apps" | "replicationcontrollers", "Ready") => row.number("/status/readyReplicas").into(),
        ("statefulsets.apps", "Ready") => row.share("/status/readyReplicas", "/spec/replicas"),
        ("daemonsets.apps", "Desired") => row.number("/status/desiredNumberScheduled").into(),
        ("daemonsets.apps", "Current") => row.number("/status/currentNumberScheduled").into(),
        ("daemonsets.apps", "Ready") => row.number("/status/numberReady").into(),
        ("daemonsets.apps", "Up-to-date") => row.number("/status/updatedNumberScheduled").into(),
        ("daemonsets.apps", "Available") => row.number("/status/numberAvailable").into(),
        ("daemonsets.apps", "Node Selector") => pairs(row.get("/spec/template/spec/nodeSelector")).into(),
        ("controllerrevisions.apps", "Controller") => owner(row).into(),
        ("controllerrevisions.apps", "Revision") => row.number("/revision").into(),
        ("podtemplates", "Pod Labels") => pairs(row.get("/template/metadata/labels")).into(),
        ("jobs.batch", "Status") => job_status(row).into(),
        ("jobs.batch", "Completions") => completions(row).into(),
        ("jobs.batch", "Duration") => duration(row).into(),
        ("cronjobs.batch", "Schedule") => row.text("/spec/schedule").into(),
        ("cronjobs.batch", "Timezone") => row.text_or("/spec/timeZone", "<none>").into(),
        ("cronjobs.batch", "Suspend") => if row.get("/spec/suspend") == true { "True" } else { "False" }.into(),
        ("cronjobs.batch", "Active") => row.len("/status/active").into(),
        ("cronjobs.batch", "Last Schedule") => last_schedule(row).into(),
        ("cronjobs.batch", "Selector") => row.selector("/spec/jobTemplate/spec/selector").into(),
        _ => return None,
    })
}

fn owner(row: &Row<'_>) -> String {
    let owners = row.list("/metadata/ownerReferences").iter();
    let Some(owner) = owners.into_iter().find(|o| o["controller"] == true) else { return "<none>".to_owned() };
    let text = |name: &str| owner.get(name).and_then(Value::as_str).unwrap_or_default();
    let kind = text("kind").to_ascii_lowercase();
    match text("apiVersion").split_once('/') {
        Some((group, _)) => format!("{kind}.{group}/{}", text("name")),
        None => format!("{kind}/{}", text("name")),
    }
}

fn has_condition(row: &Row<'_>, kind: &str) -> bool {
    row.list("/status/conditions").iter().any(|c| c["type"] == kind && c["status"] == "True")
}

fn job_status(row: &Row<'_>) -> &'static str {
    match () {
        () if has_condition(row, "Complete") => "Complete",
        () if has_condition(row, "Failed") => "Failed",
        () if !row.get("/metadata/deletionTimestamp").is_null() => "Terminating",
        () if has_condition(row, "Suspended") => "Suspended",
        () if has_condition(row, "FailureTarget") => "FailureTarget",
        () if has_condition(row, "SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    }
}

fn completions(row: &Row<'_>) -> String {
    let done = row.number("/status/succeeded");
    match (row.get("/spec/completions").as_i64(), row.get("/spec/parallelism").as_i64()) {
        (Some(wanted), _) => format!("{done}/{wanted}"),
        (None, Some(parallel)) if parallel > 1 => format!("{done}/1 of {parallel}"),
        _ => format!("{done}/1"),
    }
}

fn duration(row: &Row<'_>) -> String {
    let time = |pointer: &str| row.text(pointer).parse::<Timestamp>().ok();
    let Some(started) = time("/status/startTime") else { return String::new() };
    human(time("/status/completionTime").unwrap_or(row.now).duration_since(started).as_secs())
}

fn last_schedule(row: &Row<'_>) -> String {
    if row.get("/status/lastScheduleTime").is_null() {
        "<none>".to_owned()
    } else {
        row.age("/status/lastScheduleTime")
    }
}
