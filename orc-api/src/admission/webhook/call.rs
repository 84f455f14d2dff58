//! One call of one webhook, from match to verdict.

use orc_core::ApiError;

use super::client::WebhookClient;
use super::config::Hook;
use super::review::{self, Verdict};
use crate::admission::Attributes;

/// Why a webhook gave no verdict.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The call failed, or its answer is none.
    #[error("failed calling webhook {name:?}: {why}")]
    Call {
        /// The webhook.
        name: String,
        /// What went wrong.
        why: String,
    },
    /// The webhook has effects outside, and this is a dry run.
    #[error("admission webhook {0:?} does not support dry run")]
    DryRun(String),
}

impl From<WebhookError> for ApiError {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::Call { .. } => ApiError::internal(error),
            WebhookError::DryRun(_) => ApiError::bad_request(error.to_string()),
        }
    }
}

impl WebhookClient {
    /// Calls a webhook about a request that it matches in `version`. A failed call passes when the webhook's
    /// `failurePolicy` is `Ignore`.
    ///
    /// # Errors
    /// [`WebhookError`]; a refusal is no error but a [`Verdict`].
    pub async fn ask(
        &self,
        hook: &Hook,
        ask: &Attributes<'_>,
        version: &str,
        uid: &str,
        mutating: bool,
    ) -> Result<Verdict, WebhookError> {
        if ask.dry_run && !hook.dry_run {
            return Err(WebhookError::DryRun(hook.name.clone()));
        }
        match self.answer(hook, ask, version, uid, mutating).await {
            Err(why) if hook.ignore_failure => {
                tracing::warn!(webhook = hook.name, %why, "a webhook failed and its failurePolicy is Ignore");
                Ok(Verdict::default())
            }
            other => other.map_err(|why| WebhookError::Call { name: hook.name.clone(), why }),
        }
    }

    async fn answer(
        &self,
        hook: &Hook,
        ask: &Attributes<'_>,
        version: &str,
        uid: &str,
        mutating: bool,
    ) -> Result<Verdict, String> {
        let body = review::request(hook, ask, version, uid)?.to_string().into();
        match tokio::time::timeout(hook.timeout, self.post(hook, body)).await {
            Ok(Ok(bytes)) => review::answer(hook, &bytes, uid, mutating),
            Ok(Err(why)) => Err(format!("failed to call webhook: {why}")),
            Err(_) => Err("failed to call webhook: context deadline exceeded".to_owned()),
        }
    }
}
