//! A compiled webhook.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use rustls::ClientConfig;
use serde_json::Value;

use super::client;
use crate::admission::conditions::Conditions;
use crate::admission::matching::Matcher;

/// Where a webhook is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A service of the cluster.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its port.
        port: u16,
        /// The URL's path, starting with `/`.
        path: String,
    },
    /// An `https` URL.
    Url(String),
}

/// One webhook of a configuration, ready to be matched and called.
#[derive(Debug)]
pub struct Hook {
    /// The name of the configuration and the position in it: what webhooks are ordered by.
    pub order: (String, usize),
    /// The webhook's name.
    pub name: String,
    /// What it is about.
    pub matcher: Matcher,
    /// `matchConditions`.
    pub conditions: Conditions,
    /// Where it is called.
    pub place: Place,
    /// How its server proves who it is.
    pub(super) tls: Result<Arc<ClientConfig>, String>,
    /// A failed call lets the request pass.
    pub ignore_failure: bool,
    /// It is called again when others changed the object after it.
    pub reinvoke: bool,
    /// It may be called for a dry run.
    pub dry_run: bool,
    /// How long one call may take.
    pub timeout: Duration,
    /// The version of AdmissionReview that it takes: the first of its list that we speak.
    pub review_version: &'static str,
}

impl Hook {
    /// Compiles all webhooks of a configuration. One that does not compile is told in the log and left out: validation
    /// refuses such configurations.
    pub fn compile_all(name: &str, configuration: &Value) -> Vec<Arc<Self>> {
        let hooks = configuration.get("webhooks").and_then(Value::as_array).into_iter().flatten();
        let compile = |(i, hook): (usize, &Value)| {
            Self::compile((name.to_owned(), i), hook)
                .map(Arc::new)
                .inspect_err(
                    |error| tracing::warn!(configuration = name, index = i, %error, "a webhook does not compile"),
                )
                .ok()
        };
        hooks.enumerate().filter_map(compile).collect()
    }

    fn compile(order: (String, usize), hook: &Value) -> Result<Self, String> {
        let text = |field: &str| hook.get(field).and_then(Value::as_str).unwrap_or_default();
        let versions = hook.get("admissionReviewVersions").and_then(Value::as_array).into_iter().flatten();
        let spoken = versions.filter_map(Value::as_str).find_map(|version| match version {
            "v1" => Some("v1"),
            "v1beta1" => Some("v1beta1"),
            _ => None,
        });
        let config = hook.get("clientConfig").unwrap_or(&Value::Null);
        let bundle = config.get("caBundle").and_then(Value::as_str).unwrap_or_default();
        let bundle = base64::engine::general_purpose::STANDARD.decode(bundle).map_err(|e| e.to_string())?;
        let seconds = hook.get("timeoutSeconds").and_then(Value::as_u64).unwrap_or(10).clamp(1, 30);
        Ok(Self {
            order,
            name: text("name").to_owned(),
            matcher: Matcher::compile(hook)?,
            conditions: Conditions::compile(hook.get("matchConditions")),
            place: place(config)?,
            tls: client::tls(&bundle),
            ignore_failure: text("failurePolicy") == "Ignore",
            reinvoke: text("reinvocationPolicy") == "IfNeeded",
            dry_run: matches!(text("sideEffects"), "None" | "NoneOnDryRun"),
            timeout: Duration::from_secs(seconds),
            review_version: spoken.ok_or("must include at least one of v1, v1beta1")?,
        })
    }
}

fn place(config: &Value) -> Result<Place, String> {
    if let Some(url) = config.get("url").and_then(Value::as_str) {
        return Ok(Place::Url(url.to_owned()));
    }
    let service = config.get("service").ok_or("exactly one of url or service is required")?;
    let text = |field: &str| service.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let port = service.get("port").and_then(Value::as_u64).unwrap_or(443);
    let path = match text("path") {
        path if path.starts_with('/') => path,
        path => format!("/{path}"),
    };
    let port = u16::try_from(port).map_err(|_| "the service's port must be between 1 and 65535")?;
    Ok(Place::Service { namespace: text("namespace"), name: text("name"), port, path })
}
