//! The objects that every cluster starts with, made once in a process and copied into each server.

use bytes::Bytes;
use std::net::Ipv4Addr;
use std::sync::Arc;

use orc_core::env::System;
use orc_core::{ApiError, Doc, ObjectKey, ResourceId, Revision};
use orc_store::Backend as _;
use orc_store::backend::{KeyRange, MemoryBackend, Page, RawRecord};
use orc_store::client::{Intent, ObjectClient as _, Target, WriteRequest};
use serde_json::json;
use tokio::sync::OnceCell;

use super::{CIDR, serve};
use crate::Identity;
use crate::bootstrap::{self, ApiEndpoint};

/// What a new server starts from.
pub(super) struct Template {
    pub(super) records: Vec<RawRecord>,
    pub(super) revision: Revision,
    /// PKCS#8 of the key that signs service account tokens.
    pub(super) key: Bytes,
}

/// The template, made at the first call.
pub(super) async fn of_this_process() -> Result<&'static Template, ApiError> {
    static TEMPLATE: OnceCell<Template> = OnceCell::const_new();
    TEMPLATE.get_or_try_init(make).await
}

async fn make() -> Result<Template, ApiError> {
    let key = rcgen::KeyPair::generate().map_err(ApiError::internal)?.serialize_der();
    let (backend, system) = (Arc::new(MemoryBackend::new()), System::real());
    let (_service, registry) = serve(backend.clone(), &key, &system).await?;
    let admin = registry.client(Identity::admin(), "orc");
    let endpoint = ApiEndpoint { cluster_ip: Ipv4Addr::from(u32::from(CIDR.0) + 1), service_cidr: CIDR };
    bootstrap::ensure(&admin, endpoint).await?;
    // Made by a controller in a cluster; without it no pod can be created.
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    let target = ObjectKey::namespaced(ResourceId::new("", "serviceaccounts"), "default", "default");
    let create = Intent::Create(Doc::from_value(account)?);
    admin.write(WriteRequest::new(Target::object(target), create)).await?;
    let page = backend.scan(KeyRange::all(), None, Page { limit: usize::MAX }).await.map_err(ApiError::internal)?;
    Ok(Template { records: page.records, revision: page.at, key: key.into() })
}
