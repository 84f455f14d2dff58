//! Roles, quotas, budgets, autoscalers, admission and flow control.

use serde_json::Value;

use super::{Row, join};

pub(super) fn cell(id: &str, column: &str, row: &Row<'_>) -> Option<Value> {
    Some(match (id, column) {
        ("rolebindings.rbac.authorization.k8s.io" | "clusterrolebindings.rbac.authorization.k8s.io", _) => {
            return binding(column, row);
        }
        ("poddisruptionbudgets.policy", "Min Available") => int_or_percent(row.get("/spec/minAvailable")).into(),
        ("poddisruptionbudgets.policy", "Max Unavailable") => int_or_percent(row.get("/spec/maxUnavailable")).into(),
        ("poddisruptionbudgets.policy", "Allowed Disruptions") => row.number("/status/disruptionsAllowed").into(),
        ("resourcequotas", "Request") => quota(row, false).into(),
        ("resourcequotas", "Limit") => quota(row, true).into(),
        ("horizontalpodautoscalers.autoscaling", _) => return autoscaler(column, row),
        ("mutatingwebhookconfigurations.admissionregistration.k8s.io", "Webhooks")
        | ("validatingwebhookconfigurations.admissionregistration.k8s.io", "Webhooks") => row.len("/webhooks").into(),
        ("validatingadmissionpolicies.admissionregistration.k8s.io", "Validations") => {
            row.len("/spec/validations").into()
        }
        ("mutatingadmissionpolicies.admissionregistration.k8s.io", "Mutations") => row.len("/spec/mutations").into(),
        (_, "ParamKind") => match row.text("/spec/paramKind/kind") {
            "" => "<unset>".into(),
            kind => format!("{}/{kind}", row.text("/spec/paramKind/apiVersion")).into(),
        },
        (_, "PolicyName") => row.text("/spec/policyName").into(),
        (_, "ParamRef") => param(row).into(),
        ("flowschemas.flowcontrol.apiserver.k8s.io", _) => return flow(column, row),
        ("prioritylevelconfigurations.flowcontrol.apiserver.k8s.io", _) => return level(column, row),
        _ => return None,
    })
}

fn binding(column: &str, row: &Row<'_>) -> Option<Value> {
    let of = |kind: &str| {
        let subjects = row.list("/subjects").iter().filter(|s| s["kind"] == kind);
        let text = |s: &Value, name: &str| s.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let name = |s: &Value| match kind {
            "ServiceAccount" => format!("{}/{}", text(s, "namespace"), text(s, "name")),
            _ => text(s, "name"),
        };
        join(subjects.map(name), ", ")
    };
    Some(match column {
        "Role" => format!("{}/{}", row.text("/roleRef/kind"), row.text("/roleRef/name")).into(),
        "Users" => of("User").into(),
        "Groups" => of("Group").into(),
        "ServiceAccounts" => of("ServiceAccount").into(),
        _ => return None,
    })
}

fn int_or_percent(value: &Value) -> String {
    match value {
        Value::Null => "N/A".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn quota(row: &Row<'_>, limits: bool) -> String {
    let hard = row.get("/status/hard").as_object().into_iter().flatten();
    let used = |name: &str| row.get("/status/used").get(name).and_then(Value::as_str).unwrap_or("0");
    let wanted = hard.filter(|(name, _)| (name.starts_with("limits.") || *name == "limits") == limits);
    join(wanted.map(|(name, hard)| format!("{name}: {}/{}", used(name), hard.as_str().unwrap_or_default())), ", ")
}

fn autoscaler(column: &str, row: &Row<'_>) -> Option<Value> {
    Some(match column {
        "Reference" => {
            format!("{}/{}", row.text("/spec/scaleTargetRef/kind"), row.text("/spec/scaleTargetRef/name")).into()
        }
        "Targets" => targets(row).into(),
        "MinPods" => {
            row.get("/spec/minReplicas").as_i64().map_or_else(|| "<unset>".to_owned(), |n| n.to_string()).into()
        }
        "MaxPods" => row.number("/spec/maxReplicas").into(),
        "Replicas" => row.number("/status/currentReplicas").into(),
        _ => return None,
    })
}

fn targets(row: &Row<'_>) -> String {
    if let Some(percent) = row.get("/spec/targetCPUUtilizationPercentage").as_i64() {
        let now = row.get("/status/currentCPUUtilizationPercentage").as_i64();
        return format!("cpu: {}/{percent}%", now.map_or_else(|| "<unknown>".to_owned(), |n| format!("{n}%")));
    }
    let metrics = row.list("/spec/metrics");
    let words: Vec<String> = metrics.iter().enumerate().map(|(at, metric)| target(row, metric, at)).collect();
    match words.as_slice() {
        [] => "<none>".to_owned(),
        [a, b, rest @ ..] if !rest.is_empty() => format!("{a}, {b} + {} more...", rest.len()),
        few => few.join(", "),
    }
}

fn target(row: &Row<'_>, metric: &Value, at: usize) -> String {
    let kind = metric["type"].as_str().unwrap_or_default();
    let field = match kind {
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        "Pods" => "pods",
        "Object" => "object",
        _ => "external",
    };
    let wanted = &metric[field]["target"];
    let now = row.get(&format!("/status/currentMetrics/{at}/{field}/current"));
    let text = |value: &Value, name: &str| match &value[name] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let name = if field.to_ascii_lowercase().contains("resource") {
        format!("{}: ", metric[field]["name"].as_str().unwrap_or_default())
    } else {
        String::new()
    };
    let (goal, have, sign) = match text(wanted, "averageUtilization") {
        Some(percent) => (percent, text(now, "averageUtilization"), "%"),
        None => match text(wanted, "averageValue") {
            Some(value) => (value, text(now, "averageValue"), ""),
            None => (text(wanted, "value").unwrap_or_default(), text(now, "value"), ""),
        },
    };
    let have = have.map_or_else(|| "<unknown>".to_owned(), |have| format!("{have}{sign}"));
    format!("{name}{have}/{goal}{sign}")
}

fn param(row: &Row<'_>) -> String {
    match (row.text("/spec/paramRef/namespace"), row.text("/spec/paramRef/name")) {
        _ if row.get("/spec/paramRef").is_null() => "<unset>".to_owned(),
        (_, "") => row.selector("/spec/paramRef/selector"),
        ("", name) => name.to_owned(),
        (namespace, name) => format!("{namespace}/{name}"),
    }
}

fn flow(column: &str, row: &Row<'_>) -> Option<Value> {
    Some(match column {
        "PriorityLevel" => row.text("/spec/priorityLevelConfiguration/name").into(),
        "MatchingPrecedence" => row.number("/spec/matchingPrecedence").into(),
        "DistinguisherMethod" => row.text_or("/spec/distinguisherMethod/type", "<none>").into(),
        "MissingPL" => {
            let dangling = row.list("/status/conditions").iter().find(|c| c["type"] == "Dangling");
            dangling.and_then(|c| c["status"].as_str()).unwrap_or("?").into()
        }
        _ => return None,
    })
}

fn level(column: &str, row: &Row<'_>) -> Option<Value> {
    let number = |pointer: &str| row.get(pointer).as_i64().map_or_else(|| "<none>".into(), Value::from);
    let queuing = "/spec/limited/limitResponse/queuing";
    Some(match column {
        "Type" => row.text("/spec/type").into(),
        "NominalConcurrencyShares" if row.get("/spec/exempt").is_null() => {
            number("/spec/limited/nominalConcurrencyShares")
        }
        "NominalConcurrencyShares" => number("/spec/exempt/nominalConcurrencyShares"),
        "Queues" => number(&format!("{queuing}/queues")),
        "HandSize" => number(&format!("{queuing}/handSize")),
        "QueueLengthLimit" => number(&format!("{queuing}/queueLengthLimit")),
        _ => return None,
    })
}
