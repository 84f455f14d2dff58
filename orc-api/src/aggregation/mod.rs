//! APIServices: which groups and versions are served here.
//!
//! Not built: passing requests on to other API servers. An APIService with a `service` is kept, and requests for what it
//! names are refused with a clear word.

mod local;

use orc_core::{ApiError, ObjectKey, Reason, ResourceId};
use orc_store::Store;
use serde_json::Value;

pub use local::ensure;

/// The refusal of a request that is another API server's business; `None` when no APIService says so.
pub(crate) fn refusal(store: &Store, group: &str, version: &str) -> Option<ApiError> {
    let name = format!("{version}.{group}");
    let key = ObjectKey::cluster(ResourceId::new("apiregistration.k8s.io", "apiservices"), name.as_str());
    let doc = store.peek(&key)?.to_doc().ok()?;
    let service = doc.at(&["spec", "service"]).filter(|service| service.is_object())?;
    let text = |field: &str| service.get(field).and_then(Value::as_str).unwrap_or_default();
    let why = format!(
        "orc does not pass requests on to aggregated API servers yet: APIService {name:?} names service {}/{}",
        text("namespace"),
        text("name")
    );
    Some(ApiError::new(Reason::ServiceUnavailable, why))
}
