//! How other API servers know that a request comes from this one: a client certificate of an authority of its own, published
//! in the ConfigMap that the libraries of aggregated API servers read.

use orc_core::env::Clock;
use orc_core::{ApiError, Doc, ObjectKey, ResourceId};
use orc_store::client::{Intent, ObjectClient as _, Target, WriteRequest};
use serde_json::{Value, json};
use std::sync::Arc;

use crate::pki::{Leaf, Pair, make_ca, sign};
use crate::registry::RegistryClient;

/// The common name of the certificate.
const NAME: &str = "front-proxy-client";

/// The front proxy's authority and certificate. The authority is not the cluster's: whoever holds a certificate of it may
/// claim to be anybody.
#[derive(Clone, Debug)]
pub struct FrontProxy {
    /// Signs the certificate, and nothing else.
    pub ca: Pair,
    /// Proves that a request comes from here.
    pub client: Pair,
}

impl FrontProxy {
    /// A new authority and a certificate of it.
    ///
    /// # Errors
    /// `InternalError` when key generation fails.
    pub fn new(clock: &Clock) -> Result<Self, ApiError> {
        Self::of(make_ca("orc-front-proxy-ca", clock)?, clock)
    }

    /// A certificate of an authority that there is.
    ///
    /// # Errors
    /// `InternalError` when the authority does not read back or key generation fails.
    pub fn of(ca: Pair, clock: &Clock) -> Result<Self, ApiError> {
        let client = sign(&ca, &Leaf::Client { user: NAME, groups: &[] }, clock)?;
        Ok(Self { ca, client })
    }
}

/// Writes the ConfigMap `extension-apiserver-authentication` of `kube-system`, with the keys that kube-apiserver writes.
/// `client_ca` is the authority of the cluster's clients (PEM). `client` must be an administrator's.
///
/// # Errors
/// When it can be neither made nor changed.
pub async fn publish(client: &RegistryClient, client_ca: &str, front: &FrontProxy) -> Result<(), ApiError> {
    let data = json!({
        "client-ca-file": client_ca,
        "requestheader-client-ca-file": front.ca.certificate,
        "requestheader-allowed-names": json!([NAME]).to_string(),
        "requestheader-username-headers": json!(["X-Remote-User"]).to_string(),
        "requestheader-uid-headers": json!(["X-Remote-Uid"]).to_string(),
        "requestheader-group-headers": json!(["X-Remote-Group"]).to_string(),
        "requestheader-extra-headers-prefix": json!(["X-Remote-Extra-"]).to_string(),
    });
    let name = "extension-apiserver-authentication";
    let key = ObjectKey::namespaced(ResourceId::new("", "configmaps"), "kube-system", name);
    let wanted = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "kube-system"},
        "data": data});
    let create = WriteRequest::new(Target::object(key.clone()), Intent::Create(Doc::from_value(wanted)?));
    match client.write(create).await {
        Err(error) if error.is_already_exists() => {}
        other => return other.map(drop),
    }
    // What somebody added stays.
    let modify = move |doc: &mut Doc| {
        for (key, value) in data.as_object().into_iter().flatten() {
            let value: Value = value.clone();
            doc.set(&["data", key.as_str()], value);
        }
        Ok(())
    };
    client.write(WriteRequest::new(Target::object(key), Intent::Modify(Arc::new(modify)))).await.map(drop)
}
