//! Nodes, namespaces, events, leases and other kinds of the cluster itself.

use serde_json::Value;

use super::{Row, join};

pub(super) fn cell(id: &str, column: &str, row: &Row<'_>) -> Option<Value> {
    Some(match (id, column) {
        ("namespaces", "Status") => row.text("/status/phase").into(),
        ("nodes", "Status") => node_status(row).into(),
        ("nodes", "Roles") => roles(row).into(),
        ("nodes", "Version") => row.text("/status/nodeInfo/kubeletVersion").into(),
        ("nodes", "Internal-IP") => address(row, "InternalIP").into(),
        ("nodes", "External-IP") => address(row, "ExternalIP").into(),
        ("nodes", "OS-Image") => row.text_or("/status/nodeInfo/osImage", "<unknown>").into(),
        ("nodes", "Kernel-Version") => row.text_or("/status/nodeInfo/kernelVersion", "<unknown>").into(),
        ("nodes", "Container-Runtime") => row.text_or("/status/nodeInfo/containerRuntimeVersion", "<unknown>").into(),
        ("events" | "events.events.k8s.io", _) => return event(column, row),
        ("leases.coordination.k8s.io", "Holder") => row.text("/spec/holderIdentity").into(),
        ("priorityclasses.scheduling.k8s.io", "Value") => row.number("/value").into(),
        ("priorityclasses.scheduling.k8s.io", "Global-Default") => (row.get("/globalDefault") == true).into(),
        ("priorityclasses.scheduling.k8s.io", "PreemptionPolicy") => {
            row.text_or("/preemptionPolicy", "PreemptLowerPriority").into()
        }
        ("runtimeclasses.node.k8s.io", "Handler") => row.text("/handler").into(),
        ("apiservices.apiregistration.k8s.io", "Service") => match row.text("/spec/service/name") {
            "" => "Local".into(),
            name => format!("{}/{name}", row.text("/spec/service/namespace")).into(),
        },
        ("apiservices.apiregistration.k8s.io", "Available") => available(row).into(),
        ("resourceslices.resource.k8s.io", "Node") => row.text_or("/spec/nodeName", "<unset>").into(),
        ("resourceslices.resource.k8s.io", "Driver") => row.text("/spec/driver").into(),
        ("resourceslices.resource.k8s.io", "Pool") => row.text("/spec/pool/name").into(),
        ("resourceclaims.resource.k8s.io", "State") => claim_state(row).into(),
        ("certificatesigningrequests.certificates.k8s.io", "SignerName") => {
            row.text_or("/spec/signerName", "<none>").into()
        }
        ("certificatesigningrequests.certificates.k8s.io", "Requestor") => row.text("/spec/username").into(),
        ("certificatesigningrequests.certificates.k8s.io", "RequestedDuration") => {
            row.get("/spec/expirationSeconds").as_i64().map_or_else(|| "<none>".to_owned(), super::human).into()
        }
        ("certificatesigningrequests.certificates.k8s.io", "Condition") => csr_condition(row).into(),
        _ => return None,
    })
}

fn node_status(row: &Row<'_>) -> String {
    let ready = row.list("/status/conditions").iter().find(|c| c["type"] == "Ready");
    let word = match ready.and_then(|c| c["status"].as_str()) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    if row.get("/spec/unschedulable") == true { format!("{word},SchedulingDisabled") } else { word.to_owned() }
}

fn roles(row: &Row<'_>) -> String {
    let labels = row.get("/metadata/labels").as_object().into_iter().flatten();
    let role = |(key, value): (&String, &Value)| match key.strip_prefix("node-role.kubernetes.io/") {
        Some(role) if !role.is_empty() => Some(role.to_owned()),
        _ if key == "kubernetes.io/role" => value.as_str().filter(|role| !role.is_empty()).map(str::to_owned),
        _ => None,
    };
    let all: std::collections::BTreeSet<String> = labels.filter_map(role).collect();
    super::none_if_empty(join(all.into_iter(), ","))
}

fn address(row: &Row<'_>, kind: &str) -> String {
    let found = row.list("/status/addresses").iter().find(|a| a["type"] == kind);
    found.and_then(|a| a["address"].as_str()).unwrap_or("<none>").to_owned()
}

fn event(column: &str, row: &Row<'_>) -> Option<Value> {
    let first = |pointers: &[&str]| {
        pointers.iter().map(|p| row.get(p)).find(|v| !v.is_null() && **v != "").cloned().unwrap_or_default()
    };
    let object = if row.get("/regarding").is_null() { "/involvedObject" } else { "/regarding" };
    Some(match column {
        "Last Seen" => {
            let times = ["/series/lastObservedTime", "/lastTimestamp", "/deprecatedLastTimestamp", "/eventTime"];
            super::age(Some(&first(&times)), row.now).into()
        }
        "First Seen" => {
            super::age(Some(&first(&["/firstTimestamp", "/deprecatedFirstTimestamp", "/eventTime"])), row.now).into()
        }
        "Type" => row.text("/type").into(),
        "Reason" => row.text("/reason").into(),
        "Object" => {
            let kind = row.text(&format!("{object}/kind")).to_ascii_lowercase();
            format!("{kind}/{}", row.text(&format!("{object}/name"))).into()
        }
        "Subobject" => row.text(&format!("{object}/fieldPath")).into(),
        "Source" => source(&first).into(),
        "Message" => first(&["/message", "/note"]).as_str().unwrap_or_default().trim().into(),
        "Count" => match first(&["/series/count", "/count", "/deprecatedCount"]).as_i64() {
            Some(count) if count > 0 => count.into(),
            _ => 1.into(),
        },
        _ => return None,
    })
}

fn source(first: &dyn Fn(&[&str]) -> Value) -> String {
    let component =
        first(&["/source/component", "/deprecatedSource/component", "/reportingComponent", "/reportingController"]);
    let host = first(&["/source/host", "/deprecatedSource/host", "/reportingInstance"]);
    let parts = [component.as_str().unwrap_or_default(), host.as_str().unwrap_or_default()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

fn available(row: &Row<'_>) -> String {
    let Some(condition) = row.list("/status/conditions").iter().find(|c| c["type"] == "Available") else {
        return "Unknown".to_owned();
    };
    let status = condition["status"].as_str().unwrap_or_default();
    match condition["reason"].as_str() {
        Some(reason) if status != "True" => format!("{status} ({reason})"),
        _ => status.to_owned(),
    }
}

fn claim_state(row: &Row<'_>) -> String {
    let mut states = Vec::new();
    if !row.get("/metadata/deletionTimestamp").is_null() {
        states.push("deleted");
    }
    if row.get("/status/allocation").is_null() {
        if states.is_empty() {
            states.push("pending");
        }
    } else {
        states.push("allocated");
        if row.len("/status/reservedFor") > 0 {
            states.push("reserved");
        }
    }
    states.join(",")
}

fn csr_condition(row: &Row<'_>) -> String {
    let conditions = row.list("/status/conditions");
    let has = |kind: &str| conditions.iter().any(|c| c["type"] == kind);
    let mut words = Vec::new();
    words.push(match () {
        () if has("Denied") => "Denied",
        () if has("Approved") => "Approved",
        () => "Pending",
    });
    if has("Failed") {
        words.push("Failed");
    }
    if !row.text("/status/certificate").is_empty() {
        words.push("Issued");
    }
    words.join(",")
}
