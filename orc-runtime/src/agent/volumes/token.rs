//! Service account tokens bound to the pod, asked for anew when four fifths of their life are over.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount, ServiceAccountTokenProjection};
use orc_core::{Doc, ObjectKey, ResourceId};
use orc_store::client::{Intent, Outcome, Subresource, Target, WriteRequest};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::super::context::{Context, name_of, namespace_of, uid_of};

/// Kubernetes' default life.
const LIFE: i64 = 3600;
/// No token is kept longer than a day without renewal, as the kubelet does.
const LONGEST_KEPT: Duration = Duration::from_secs(24 * 3600);

/// The tokens of the node's pods. Bounded by the projections of its pods.
#[derive(Default)]
pub(in super::super) struct Tokens(Mutex<BTreeMap<(String, String), Token>>);

#[derive(Clone)]
struct Token {
    text: String,
    renew_at: Timestamp,
}

impl Tokens {
    /// The token of one projection of a pod.
    pub(super) async fn get(
        &self,
        context: &Context,
        pod: &Pod,
        projection: &str,
        wanted: &ServiceAccountTokenProjection,
    ) -> Result<String, String> {
        let key = (uid_of(pod).to_owned(), projection.to_owned());
        let now = context.now();
        let known = self.0.lock().get(&key).cloned();
        if let Some(known) = known.filter(|known| known.renew_at > now) {
            return Ok(known.text);
        }
        let token = request(context, pod, wanted, now).await?;
        self.0.lock().insert(key, token.clone());
        Ok(token.text)
    }

    /// Forgets a pod's tokens.
    pub(super) fn forget(&self, uid: &str) {
        self.0.lock().retain(|(pod, _), _| pod != uid);
    }
}

async fn request(
    context: &Context,
    pod: &Pod,
    wanted: &ServiceAccountTokenProjection,
    now: Timestamp,
) -> Result<Token, String> {
    let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone()).unwrap_or("default".to_owned());
    let key = ObjectKey::namespaced(ResourceId::of::<ServiceAccount>(), namespace_of(pod), account.as_str());
    let audiences: Vec<&String> = wanted.audience.iter().filter(|audience| !audience.is_empty()).collect();
    let body = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "audiences": audiences,
            "expirationSeconds": wanted.expiration_seconds.unwrap_or(LIFE),
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": name_of(pod), "uid": uid_of(pod)},
        },
    });
    let failed = |error: orc_core::ApiError| format!("failed to fetch token: {error}");
    let doc = Doc::from_value(body).map_err(failed)?;
    let target = Target::Named(key, Some(Subresource::TOKEN));
    let written = context.env.client.write(WriteRequest::new(target, Intent::Create(doc))).await.map_err(failed)?;
    let Outcome::Unsaved(answer) = written.outcome else {
        return Err("failed to fetch token: the API did not answer with a token".to_owned());
    };
    let text = answer.at(&["status", "token"]).and_then(Value::as_str).unwrap_or_default().to_owned();
    let expires = answer.str_at(&["status", "expirationTimestamp"]).and_then(|text| text.parse::<Timestamp>().ok());
    let (false, Some(expires)) = (text.is_empty(), expires) else {
        return Err("failed to fetch token: the API's answer has no token".to_owned());
    };
    let life: Duration = expires.duration_since(now).try_into().unwrap_or_default();
    let kept = (life * 4 / 5).min(LONGEST_KEPT);
    Ok(Token { text, renew_at: now.checked_add(kept).unwrap_or(now) })
}
