//! Kubernetes' `Status` as an error.
//!
//! [`ApiError`] is what every verb returns on failure, in-process or over HTTP: a code, a reason, a message and the causes
//! by field. The texts follow `k8s.io/apimachinery/pkg/api/errors`.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::validation::FieldError;

/// Why a request failed; `reason` of a `Status`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Reason {
    /// 400
    BadRequest,
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 405
    MethodNotAllowed,
    /// 406
    NotAcceptable,
    /// 409 on create
    AlreadyExists,
    /// 409 on update
    Conflict,
    /// 410: the resource or revision is gone for good
    Gone,
    /// 410: the revision left the history window
    Expired,
    /// 413
    RequestEntityTooLarge,
    /// 415
    UnsupportedMediaType,
    /// 422
    Invalid,
    /// 429
    TooManyRequests,
    /// 500
    InternalError,
    /// 500: the server asks to try again
    ServerTimeout,
    /// 503
    ServiceUnavailable,
    /// 504
    Timeout,
    /// Anything else
    Unknown,
}

impl Reason {
    /// The HTTP status code that goes with the reason.
    pub fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::NotAcceptable => 406,
            Self::AlreadyExists | Self::Conflict => 409,
            Self::Gone | Self::Expired => 410,
            Self::RequestEntityTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Invalid => 422,
            Self::TooManyRequests => 429,
            Self::InternalError | Self::ServerTimeout | Self::Unknown => 500,
            Self::ServiceUnavailable => 503,
            Self::Timeout => 504,
        }
    }

    /// The text on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "NotFound",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::NotAcceptable => "NotAcceptable",
            Self::AlreadyExists => "AlreadyExists",
            Self::Conflict => "Conflict",
            Self::Gone => "Gone",
            Self::Expired => "Expired",
            Self::RequestEntityTooLarge => "RequestEntityTooLarge",
            Self::UnsupportedMediaType => "UnsupportedMediaType",
            Self::Invalid => "Invalid",
            Self::TooManyRequests => "TooManyRequests",
            Self::InternalError => "InternalError",
            Self::ServerTimeout => "ServerTimeout",
            Self::ServiceUnavailable => "ServiceUnavailable",
            Self::Timeout => "Timeout",
            Self::Unknown => "",
        }
    }
}

/// One cause of a failure, by field.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Cause {
    /// Machine-readable, such as `FieldValueInvalid`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The field's path, such as `spec.containers[0].name`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// `details` of a `Status`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// The object's name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The API group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The resource (`pods`) or, for invalid objects, the kind (`Pod`).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The object's uid.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The causes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// When to try again, in seconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retry_after_seconds: u32,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// A failure in Kubernetes' terms.
#[derive(Clone, Debug)]
pub struct ApiError(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    code: u16,
    reason: Reason,
    message: String,
    details: Option<Details>,
}

impl ApiError {
    /// A failure with the code of its reason and no details.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { code: reason.code(), reason, message: message.into(), details: None }))
    }

    /// Sets another HTTP code than the reason's.
    pub fn with_code(mut self, code: u16) -> Self {
        self.0.code = code;
        self
    }

    /// Adds details.
    pub fn with_details(mut self, details: Details) -> Self {
        self.0.details = Some(details);
        self
    }

    /// Asks the client to try again after so many seconds.
    pub fn with_retry_after(mut self, seconds: u32) -> Self {
        self.0.details.get_or_insert_default().retry_after_seconds = seconds;
        self
    }

    /// 400: the request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Reason::BadRequest, message)
    }

    /// 500: our fault.
    pub fn internal(message: impl fmt::Display) -> Self {
        let cause = Cause { message: message.to_string(), ..Cause::default() };
        Self::new(Reason::InternalError, format!("Internal error occurred: {message}"))
            .with_details(Details { causes: vec![cause], ..Details::default() })
    }

    /// 401.
    pub fn unauthorized() -> Self {
        Self::new(Reason::Unauthorized, "Unauthorized")
    }

    /// 404: no such object. `resource` is the plural name.
    pub fn not_found(group: &str, resource: &str, name: &str) -> Self {
        Self::new(Reason::NotFound, format!("{} {name:?} not found", qualified(group, resource)))
            .with_details(named(group, resource, name))
    }

    /// 409: a create met an object of that name.
    pub fn already_exists(group: &str, resource: &str, name: &str) -> Self {
        Self::new(Reason::AlreadyExists, format!("{} {name:?} already exists", qualified(group, resource)))
            .with_details(named(group, resource, name))
    }

    /// 409: an update met another state than it expected.
    pub fn conflict(group: &str, resource: &str, name: &str, why: impl fmt::Display) -> Self {
        let place = qualified(group, resource);
        Self::new(Reason::Conflict, format!("Operation cannot be fulfilled on {place} {name:?}: {why}"))
            .with_details(named(group, resource, name))
    }

    /// 409: the object was changed since the client read it.
    pub fn stale(group: &str, resource: &str, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(group, resource, name, why)
    }

    /// 403. `name` may be empty.
    pub fn forbidden(group: &str, resource: &str, name: &str, why: impl fmt::Display) -> Self {
        let place = qualified(group, resource);
        let message = match (resource, name) {
            ("", _) => format!("forbidden: {why}"),
            (_, "") => format!("{place} is forbidden: {why}"),
            _ => format!("{place} {name:?} is forbidden: {why}"),
        };
        Self::new(Reason::Forbidden, message).with_details(named(group, resource, name))
    }

    /// 422: the object breaks rules. `kind` is the kind, not the resource.
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self {
        let mut texts: Vec<String> = Vec::with_capacity(errors.len());
        for text in errors.iter().map(ToString::to_string) {
            // Each text is said once, though each cause is listed.
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let all = match texts.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let causes = errors
            .iter()
            .map(|e| Cause { reason: e.reason().to_owned(), message: e.body(), field: e.field.clone() })
            .collect();
        Self::new(Reason::Invalid, format!("{} {name:?} is invalid: {all}", qualified(group, kind)))
            .with_details(Details { causes, ..named(group, kind, name) })
    }

    /// 410: the revision left the history window; read again from the start.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(Reason::Expired, message)
    }

    /// 405.
    pub fn method_not_allowed(group: &str, resource: &str, verb: &str) -> Self {
        let place = qualified(group, resource);
        Self::new(Reason::MethodNotAllowed, format!("{verb} is not supported on resources of kind {place:?}"))
            .with_details(named(group, resource, ""))
    }

    /// 504: waited for something until the deadline.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(Reason::Timeout, message)
    }

    /// 503.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Reason::ServiceUnavailable, message)
    }

    /// 429.
    pub fn too_many_requests(message: impl Into<String>, seconds: u32) -> Self {
        Self::new(Reason::TooManyRequests, message).with_retry_after(seconds)
    }

    /// The HTTP status code.
    pub fn code(&self) -> u16 {
        self.0.code
    }

    /// The reason.
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// The message for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The details, when there are any.
    pub fn details(&self) -> Option<&Details> {
        self.0.details.as_ref()
    }

    /// Whether the object was not found.
    pub fn is_not_found(&self) -> bool {
        self.0.reason == Reason::NotFound
    }

    /// Whether the write lost against another one.
    pub fn is_conflict(&self) -> bool {
        self.0.reason == Reason::Conflict
    }

    /// Whether the object was there already.
    pub fn is_already_exists(&self) -> bool {
        self.0.reason == Reason::AlreadyExists
    }

    /// Whether the same request may succeed later without a change.
    pub fn is_retriable(&self) -> bool {
        use Reason::*;
        matches!(
            self.0.reason,
            Conflict
                | TooManyRequests
                | InternalError
                | ServerTimeout
                | ServiceUnavailable
                | Timeout
                | Expired
                | Unknown
        )
    }

    /// The `Status` object on the wire.
    pub fn to_status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.0.message, "code": self.0.code,
        });
        if self.0.reason != Reason::Unknown {
            status["reason"] = self.0.reason.as_str().into();
        }
        if let Some(details) = &self.0.details {
            status["details"] = serde_json::to_value(details).expect("details are plain data");
        }
        status
    }

    /// Reads a `Status` back, as a remote client does.
    pub fn from_status(status: &Value, code: u16) -> Self {
        let text = |name: &str| status.get(name).and_then(Value::as_str).unwrap_or_default();
        let reason = Reason::deserialize(Value::from(text("reason"))).unwrap_or(Reason::Unknown);
        let details = status.get("details").and_then(|d| Details::deserialize(d).ok());
        let code = status.get("code").and_then(Value::as_u64).and_then(|c| u16::try_from(c).ok()).unwrap_or(code);
        Self(Box::new(Inner { code, reason, message: text("message").to_owned(), details }))
    }
}

fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

fn named(group: &str, kind: &str, name: &str) -> Details {
    Details { name: name.to_owned(), group: group.to_owned(), kind: kind.to_owned(), ..Details::default() }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for ApiError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_read_back() {
        let error = ApiError::not_found("apps", "deployments", "web");
        assert_eq!(error.message(), "deployments.apps \"web\" not found");
        let status = error.to_status();
        assert_eq!(status["details"], json!({"name": "web", "group": "apps", "kind": "deployments"}));
        let back = ApiError::from_status(&status, 500);
        assert_eq!((back.code(), back.reason()), (404, Reason::NotFound));
        assert_eq!(back.to_status(), status);
    }
}
