//! AdmissionReview: what a webhook is told, and what it answers.

use orc_core::{ApiError, Doc};
use serde_json::{Value, json};

use super::config::Hook;
use crate::admission::{Attributes, Operation};

/// What a webhook says.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// The refusal.
    pub denied: Option<ApiError>,
    /// A JSON patch (RFC 6902), for mutating webhooks.
    pub patch: Option<Value>,
    /// Warnings for the client.
    pub warnings: Vec<String>,
    /// Annotations for the audit event, their keys with the webhook's name before them.
    pub audit: Vec<(String, String)>,
}

/// The longest warning that is passed on, in characters (upstream: 256 each).
const MAX_WARNING: usize = 256;

/// The review of a request, in a webhook's version of AdmissionReview and the version that its rules matched.
///
/// # Errors
/// When the object does not convert to that version.
pub(super) fn request(hook: &Hook, ask: &Attributes<'_>, version: &str, uid: &str) -> Result<Value, String> {
    let (mut resource, mut kind) = (ask.resource_json(), ask.kind_json());
    let (own_resource, own_kind) = (resource.clone(), kind.clone());
    if ask.is_main() {
        resource["version"] = version.into();
        kind["version"] = version.into();
    }
    let shown = |value: &Value| convert(ask, version, value);
    let mut request = json!({
        "uid": uid, "kind": kind, "resource": resource, "requestKind": own_kind, "requestResource": own_resource,
        "operation": ask.operation.as_str(), "userInfo": ask.user_json(),
        "object": shown(ask.new_value())?, "oldObject": shown(ask.old_value())?,
        "dryRun": ask.dry_run, "options": ask.options,
    });
    if !ask.is_main() {
        request["subResource"] = ask.subresource.into();
        request["requestSubResource"] = ask.subresource.into();
    }
    let name = if ask.operation == Operation::Create && ask.name() == "Unknown" { "" } else { ask.name() };
    if !name.is_empty() {
        request["name"] = name.into();
    }
    if let Some(namespace) = &ask.key.namespace {
        request["namespace"] = namespace.as_str().into();
    }
    let api = format!("admission.k8s.io/{}", hook.review_version);
    Ok(json!({"kind": "AdmissionReview", "apiVersion": api, "request": request}))
}

/// An object in the version that a webhook's rules match.
fn convert(ask: &Attributes<'_>, version: &str, value: &Value) -> Result<Value, String> {
    if !ask.is_main() || !value.is_object() {
        return Ok(value.clone());
    }
    let group = &ask.info.group;
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    if ask.info.custom {
        // Versions of one definition differ in name only (conversion strategy None).
        let mut value = value.clone();
        value["apiVersion"] = api_version.into();
        return Ok(value);
    }
    if value["apiVersion"] == api_version.as_str() {
        return Ok(value.clone());
    }
    let converted = Doc::from_value(value.clone())
        .and_then(|doc| crate::convert::to_storage(&ask.key.resource, doc))
        .and_then(|doc| crate::convert::from_storage(&ask.key.resource, &api_version, doc))
        .map_err(|error| format!("failed to call webhook: {error}"))?;
    Ok(converted.into_value())
}

/// Reads an answer.
///
/// # Errors
/// A text that follows `failed calling webhook "x": `.
pub(super) fn answer(hook: &Hook, body: &[u8], uid: &str, mutating: bool) -> Result<Verdict, String> {
    let review: Value = serde_json::from_slice(body)
        .map_err(|error| format!("failed to call webhook: couldn't get version/kind; json parse error: {error}"))?;
    let text = |value: &Value, field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let response = match review.get("response") {
        Some(response) if response.is_object() => response,
        _ => return Err("invalid admission response: webhook response was absent".to_owned()),
    };
    let (api, kind) = (text(&review, "apiVersion"), text(&review, "kind"));
    let wanted = format!("admission.k8s.io/{}", hook.review_version);
    // v1beta1 was never strict about type and uid.
    if hook.review_version == "v1" || !api.is_empty() {
        if (api.as_str(), kind.as_str()) != (wanted.as_str(), "AdmissionReview") {
            let got = format!("{api}, Kind={kind}");
            return Err(format!(
                "invalid admission response: expected webhook response of {wanted}, Kind=AdmissionReview, got {got}"
            ));
        }
        let got = text(response, "uid");
        if hook.review_version == "v1" && got != uid {
            return Err(format!("invalid admission response: expected response.uid={uid:?}, got {got:?}"));
        }
    }
    let mut verdict = Verdict { warnings: warnings(response), audit: audit(hook, response), ..Verdict::default() };
    if response.get("allowed").and_then(Value::as_bool) != Some(true) {
        verdict.denied = Some(denial(&hook.name, response.get("status").or_else(|| response.get("result"))));
        return Ok(verdict);
    }
    let patch = text(response, "patch");
    if mutating && !patch.is_empty() {
        verdict.patch = Some(read_patch(&patch, &text(response, "patchType"), hook.review_version)?);
    }
    Ok(verdict)
}

fn read_patch(patch: &str, kind: &str, version: &str) -> Result<Value, String> {
    use base64::Engine as _;
    if kind.is_empty() && version == "v1" {
        return Err("invalid admission response: webhook returned response.patch but not response.patchType".to_owned());
    }
    if !matches!(kind, "" | "JSONPatch") {
        return Err(format!("invalid admission response: webhook returned invalid response.patchType of {kind:?}"));
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(patch).map_err(|e| format!("response.patch: {e}"))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("response.patch does not read as JSON: {error}"))
}

fn warnings(response: &Value) -> Vec<String> {
    let list = response.get("warnings").and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(|text| text.chars().take(MAX_WARNING).collect()).collect()
}

fn audit(hook: &Hook, response: &Value) -> Vec<(String, String)> {
    let map = response.get("auditAnnotations").and_then(Value::as_object).into_iter().flatten();
    map.filter_map(|(key, value)| Some((format!("{}/{key}", hook.name), value.as_str()?.to_owned()))).collect()
}

/// The refusal of a webhook as a Status.
fn denial(hook: &str, status: Option<&Value>) -> ApiError {
    let mut status = status.cloned().filter(Value::is_object).unwrap_or_else(|| json!({}));
    let text = |field: &str| status.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let head = format!("admission webhook {hook:?} denied the request");
    let message = match (text("message"), text("reason")) {
        (message, _) if !message.is_empty() => format!("{head}: {message}"),
        (_, reason) if !reason.is_empty() => format!("{head}: {reason}"),
        _ => format!("{head} without explanation"),
    };
    // A refusal is never told as a success.
    let code = status.get("code").and_then(Value::as_u64).filter(|code| (400..600).contains(code)).unwrap_or(400);
    status["message"] = message.into();
    status["code"] = code.into();
    ApiError::from_status(&status, 400)
}
