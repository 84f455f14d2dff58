//! Pods: the status word that people read first.

use serde_json::Value;

use super::{Row, none_if_empty};

pub(super) fn cell(id: &str, column: &str, row: &Row<'_>) -> Option<Value> {
    if id != "pods" {
        return None;
    }
    Some(match column {
        "Ready" => {
            let ready = row.list("/status/containerStatuses").iter().filter(|c| c["ready"] == true).count();
            let sidecars = row.list("/spec/initContainers").iter().filter(|c| c["restartPolicy"] == "Always").count();
            let ready_sidecars = row
                .list("/status/initContainerStatuses")
                .iter()
                .filter(|c| is_sidecar(row, c) && c["ready"] == true)
                .count();
            format!("{}/{}", ready + ready_sidecars, row.list("/spec/containers").len() + sidecars).into()
        }
        "Status" => status(row).into(),
        "Restarts" => restarts(row).into(),
        "IP" => row.text_or("/status/podIP", "<none>").into(),
        "Node" => row.text_or("/spec/nodeName", "<none>").into(),
        "Nominated Node" => row.text_or("/status/nominatedNodeName", "<none>").into(),
        "Readiness Gates" => gates(row).into(),
        _ => return None,
    })
}

/// What a pod's phase says of its row.
pub(super) fn conditions(pod: &Value) -> Option<Value> {
    let message = match text(pod, "/status/phase") {
        "Succeeded" => "The pod has completed successfully.",
        "Failed" => "The pod failed.",
        _ => return None,
    };
    let reason = text(pod, "/status/phase");
    Some(serde_json::json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]))
}

fn is_sidecar(row: &Row<'_>, status: &Value) -> bool {
    row.list("/spec/initContainers").iter().any(|c| c["name"] == status["name"] && c["restartPolicy"] == "Always")
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, pointer: &str) -> i64 {
    value.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

/// The rules of `printPod` in upstream's `printers/internalversion`.
fn status(row: &Row<'_>) -> String {
    let mut reason = row.text_or("/status/reason", row.text("/status/phase")).to_owned();
    if row.list("/status/conditions").iter().any(|c| c["type"] == "PodScheduled" && c["reason"] == "SchedulingGated") {
        reason = "SchedulingGated".to_owned();
    }
    let initializing = initializing(row);
    if let Some(word) = &initializing {
        reason.clone_from(word);
    }
    let initialized =
        row.list("/status/conditions").iter().any(|c| c["type"] == "Initialized" && c["status"] == "True");
    if initializing.is_none() || initialized {
        reason = running(row, reason);
    }
    if !row.get("/metadata/deletionTimestamp").is_null() {
        return match row.text("/status/reason") {
            "NodeLost" => "Unknown".to_owned(),
            _ if matches!(row.text("/status/phase"), "Succeeded" | "Failed") => reason,
            _ => "Terminating".to_owned(),
        };
    }
    reason
}

/// `Init:...` while init containers are at work.
fn initializing(row: &Row<'_>) -> Option<String> {
    for (at, container) in row.list("/status/initContainerStatuses").iter().enumerate() {
        let ended = container.pointer("/state/terminated").is_some_and(|t| !t.is_null());
        if ended && number(container, "/state/terminated/exitCode") == 0 {
            continue;
        }
        if is_sidecar(row, container) && container["started"] == true {
            continue;
        }
        let waiting = text(container, "/state/waiting/reason");
        return Some(if ended {
            format!("Init:{}", ended_word(container))
        } else if !waiting.is_empty() && waiting != "PodInitializing" {
            format!("Init:{waiting}")
        } else {
            format!("Init:{at}/{}", row.list("/spec/initContainers").len())
        });
    }
    None
}

fn ended_word(container: &Value) -> String {
    let reason = text(container, "/state/terminated/reason");
    match number(container, "/state/terminated/signal") {
        _ if !reason.is_empty() => reason.to_owned(),
        0 => format!("ExitCode:{}", number(container, "/state/terminated/exitCode")),
        signal => format!("Signal:{signal}"),
    }
}

fn running(row: &Row<'_>, mut reason: String) -> String {
    let mut has_running = false;
    for container in row.list("/status/containerStatuses").iter().rev() {
        let waiting = text(container, "/state/waiting/reason");
        if !waiting.is_empty() {
            reason = waiting.to_owned();
        } else if container.pointer("/state/terminated").is_some_and(|t| !t.is_null()) {
            reason = ended_word(container);
        } else if container["ready"] == true && container.pointer("/state/running").is_some_and(|r| !r.is_null()) {
            has_running = true;
        }
    }
    if reason == "Completed" && has_running {
        let ready = row.list("/status/conditions").iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
        return if ready { "Running" } else { "NotReady" }.to_owned();
    }
    reason
}

/// The restarts of all containers, and how long ago the last one was.
fn restarts(row: &Row<'_>) -> String {
    let plain = row.list("/status/containerStatuses").iter();
    let init = row.list("/status/initContainerStatuses").iter();
    let initializing = initializing(row).is_some();
    let counted: Vec<&Value> =
        if initializing { init.collect() } else { plain.chain(init.filter(|c| is_sidecar(row, c))).collect() };
    let count: i64 = counted.iter().map(|c| number(c, "/restartCount")).sum();
    let last = counted.iter().map(|c| text(c, "/lastState/terminated/finishedAt")).filter(|t| !t.is_empty()).max();
    match last {
        Some(last) if count > 0 => format!("{count} ({} ago)", super::age(Some(&last.into()), row.now)),
        _ => count.to_string(),
    }
}

fn gates(row: &Row<'_>) -> String {
    let gates = row.list("/spec/readinessGates");
    if gates.is_empty() {
        return none_if_empty(String::new());
    }
    let holds = |gate: &&Value| {
        row.list("/status/conditions").iter().any(|c| c["type"] == gate["conditionType"] && c["status"] == "True")
    };
    format!("{}/{}", gates.iter().filter(holds).count(), gates.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(pod: &Value) -> String {
        status(&Row { object: pod, now: jiff::Timestamp::UNIX_EPOCH })
    }

    #[test]
    fn the_status_word_is_kubectls() {
        let waiting = json!({"status": {"phase": "Pending", "containerStatuses": [
            {"state": {"waiting": {"reason": "ErrImagePull"}}}]}});
        assert_eq!(said(&waiting), "ErrImagePull");
        let init = json!({"spec": {"initContainers": [{}, {}]}, "status": {"phase": "Pending", "initContainerStatuses": [
            {"state": {"running": {}}}, {"state": {"waiting": {"reason": "PodInitializing"}}}]}});
        assert_eq!(said(&init), "Init:0/2");
        let ending = json!({"metadata": {"deletionTimestamp": "x"}, "status": {"phase": "Running"}});
        assert_eq!(said(&ending), "Terminating");
        let failed =
            json!({"status": {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 3}}}]}});
        assert_eq!(said(&failed), "ExitCode:3");
    }
}
