//! An APIService as this server uses it.

use std::sync::Arc;

use base64::Engine as _;
use orc_core::Doc;
use serde_json::Value;

use crate::http::Extra;

/// A group and version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    pub(super) group: String,
    pub(super) version: String,
}

impl Version {
    /// The path of its discovery document.
    pub(super) fn path(&self) -> String {
        format!("/apis/{}/{}", self.group, self.version)
    }
}

/// A version that somebody else than the registry serves.
pub(crate) struct Route {
    /// The APIService's name.
    pub(super) name: String,
    pub(super) version: Version,
    /// `groupPriorityMinimum`: higher ones come first in discovery.
    pub(super) group_priority: i64,
    /// `versionPriority`: among the versions of a group.
    pub(super) version_priority: i64,
    pub(super) place: Place,
    /// Whether the condition `Available` says so.
    available: bool,
}

/// Who serves.
pub(super) enum Place {
    /// This process.
    Here(Arc<dyn Extra>),
    /// What is behind a Service.
    Service(Behind),
}

/// A server behind a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Behind {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) port: u16,
    pub(super) trust: Trust,
}

/// How a server proves who it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trust {
    /// Not at all (`insecureSkipTLSVerify`).
    Anybody,
    /// By a certificate of these authorities (PEM). None: the system's authorities are not asked, so nobody is trusted.
    Bundle(Vec<u8>),
}

impl Behind {
    /// The name in the server's certificate.
    pub(super) fn host(&self) -> String {
        format!("{}.{}.svc", self.name, self.namespace)
    }
}

impl Route {
    /// Reads an APIService. `None` for those that the registry serves, or nobody. `here` is what serves the version in this
    /// process.
    pub(super) fn of(doc: &Doc, here: impl Fn(&Version) -> Option<Arc<dyn Extra>>) -> Option<Self> {
        let text = |field: &str| doc.str_at(&["spec", field]).unwrap_or_default().to_owned();
        let number = |field: &str| doc.at(&["spec", field]).and_then(Value::as_i64).unwrap_or_default();
        let version = Version { group: text("group"), version: text("version") };
        let place = match doc.at(&["spec", "service"]).filter(|service| service.is_object()) {
            Some(service) => Place::Service(behind(doc, service)),
            None => Place::Here(here(&version)?),
        };
        let conditions = doc.at(&["status", "conditions"]).and_then(Value::as_array).into_iter().flatten();
        let available =
            conditions.into_iter().find(|c| c["type"] == "Available").is_some_and(|c| c["status"] == "True");
        Some(Self {
            name: doc.name().to_owned(),
            version,
            group_priority: number("groupPriorityMinimum"),
            version_priority: number("versionPriority"),
            place,
            available,
        })
    }

    /// Whether requests may be sent there: what this process serves needs no check.
    pub(crate) fn is_available(&self) -> bool {
        self.available || matches!(self.place, Place::Here(_))
    }

    /// The Service behind it.
    pub(super) fn behind(&self) -> Option<&Behind> {
        match &self.place {
            Place::Service(behind) => Some(behind),
            Place::Here(_) => None,
        }
    }
}

fn behind(doc: &Doc, service: &Value) -> Behind {
    let text = |field: &str| service.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let port = service.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
    let trust = if doc.at(&["spec", "insecureSkipTLSVerify"]) == Some(&Value::Bool(true)) {
        Trust::Anybody
    } else {
        let bundle = doc.str_at(&["spec", "caBundle"]).unwrap_or_default();
        // What is no base64 was refused when it was written.
        Trust::Bundle(base64::engine::general_purpose::STANDARD.decode(bundle).unwrap_or_default())
    };
    Behind { namespace: text("namespace"), name: text("name"), port: port.unwrap_or(443), trust }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn route(spec: Value, status: Value) -> Option<Route> {
        let doc = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1.g"},
            "spec": spec, "status": {"conditions": [{"type": "Available", "status": status}]}});
        Route::of(&Doc::from_value(doc).unwrap(), |_| None)
    }

    #[test]
    fn an_api_service_with_a_service_is_a_route() {
        assert!(route(json!({"group": "g", "version": "v1"}), json!("True")).is_none());
        let service = json!({"group": "g", "version": "v1", "groupPriorityMinimum": 10, "versionPriority": 5,
            "caBundle": "YQ==", "service": {"namespace": "n", "name": "s"}});
        let found = route(service.clone(), json!("True")).unwrap();
        assert_eq!(
            (found.version.path().as_str(), found.group_priority, found.is_available()),
            ("/apis/g/v1", 10, true)
        );
        let behind = found.behind().unwrap();
        assert_eq!((behind.host().as_str(), behind.port), ("s.n.svc", 443));
        assert_eq!(behind.trust, Trust::Bundle(b"a".to_vec()));
        assert!(!route(service, json!("Unknown")).unwrap().is_available());
    }
}
