//! The rules of Kubernetes over a store.
//!
//! A write is a replayable intent: read the current state, apply the intent, default, admit, validate, commit if nothing
//! changed meanwhile. A revision given by the client fails on conflict; its absence retries within a bound.

mod access;
mod admission;
mod bind;
mod claims;
mod client;
mod create;
pub(crate) mod custom;
mod decode;
mod delete;
mod evict;
mod families;
mod kind;
mod own;
mod ownership;
mod patch;
mod policy_status;
mod scale;
mod token;
mod update;
mod versions;

use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use orc_core::catalogue::Catalogue;
use orc_core::env::{Rng, System, Task};
use orc_core::{ApiError, ResourceId};
use orc_store::Store;
use orc_store::store::FieldsOf;

pub(crate) use admission::Admitted;
pub use client::RegistryClient;
pub use own::OwnKind;

use crate::admission::configs::Configs;
use crate::admission::webhook::{ServiceResolver, StoreResolver, WebhookClient};
use crate::identity::Identity;
use crate::identity::service_account::Signer;
use crate::rbac::{self, Authorizer};
use claims::Ranges;
use custom::Definitions;

/// How often a write without a given revision starts over before it gives up.
const MAX_TRIES: usize = 32;

/// What a registry needs to know.
pub struct RegistryOptions {
    /// The network of Service addresses: base and prefix length.
    pub service_cidr: (Ipv4Addr, u8),
    /// The first and last node port.
    pub node_ports: (u16, u16),
    /// Signs service account tokens.
    pub signer: Arc<Signer>,
}

/// Objects under Kubernetes' rules. Handles for callers come from [`Registry::client`].
pub struct Registry {
    store: Arc<Store>,
    definitions: Definitions,
    /// The task that follows definitions; it ends with the registry.
    following: OnceLock<Task>,
    system: System,
    authorizer: Arc<Authorizer>,
    configs: Configs,
    webhooks: ArcSwap<WebhookClient>,
    ranges: Ranges,
    signer: Arc<Signer>,
    /// The store held no namespace when the registry was opened: a new cluster.
    fresh: bool,
}

impl Registry {
    /// A registry over a store; looks once whether all addresses and node ports of Services are claimed.
    ///
    /// # Errors
    /// When the store cannot be read, or the service network is too small.
    pub async fn open(store: Arc<Store>, options: RegistryOptions, system: System) -> Result<Arc<Self>, ApiError> {
        let fresh = store.count(&ResourceId::new("", "namespaces")) == 0;
        let ranges = Ranges::new(options.service_cidr, options.node_ports)?;
        let authorizer = Arc::new(rbac::start(&store, &system).await?);
        let configs = Configs::start(&store, &system).await?;
        let webhooks = WebhookClient::new(Arc::new(StoreResolver::new(store.clone())), &system);
        let webhooks = ArcSwap::from_pointee(webhooks);
        let definitions = Definitions::open(&store).await?;
        let (signer, following) = (options.signer, OnceLock::new());
        let registry =
            Self { store, definitions, following, system, authorizer, configs, webhooks, ranges, signer, fresh };
        let registry = Arc::new(registry);
        let _ = registry.following.set(custom::follow(&registry));
        registry.repair_claims().await?;
        Ok(registry)
    }

    /// The selectable fields of the built-in resources, for [`Store::open`].
    pub fn fields() -> FieldsOf {
        Arc::new(|id| {
            let catalogue = Catalogue::builtin();
            let mut fields: Vec<String> = catalogue
                .by_id(id)
                .into_iter()
                .flat_map(|info| info.versions.iter())
                .flat_map(|version| version.fields.iter().cloned())
                .filter(|field| !field.starts_with("metadata."))
                .collect();
            fields.sort();
            fields.dedup();
            fields.into()
        })
    }

    /// A handle that acts as somebody, each call checked against their roles. `manager` names the writer in
    /// `managedFields`.
    pub fn client(self: &Arc<Self>, who: Identity, manager: &str) -> RegistryClient {
        RegistryClient::new(self.clone(), who, manager, true)
    }

    /// A handle for a caller that has checked the roles already.
    pub(crate) fn trusted(self: &Arc<Self>, who: Identity, manager: &str) -> RegistryClient {
        RegistryClient::new(self.clone(), who, manager, false)
    }

    /// Finds the Services of webhooks by another resolver than the one that looks at EndpointSlices. Meant for the start:
    /// open connections to webhooks are dropped.
    pub fn resolve_services_with(&self, resolver: Arc<dyn ServiceResolver>) {
        self.webhooks.store(Arc::new(WebhookClient::new(resolver, &self.system)));
    }

    /// What is served.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.definitions.catalogue()
    }

    /// Who may do what.
    pub fn authorizer(&self) -> &Authorizer {
        &self.authorizer
    }

    /// The store below.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Whether the cluster was made by this process: no server has ever shown anything of it before.
    pub(crate) fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Signs service account tokens.
    pub fn signer(&self) -> &Arc<Signer> {
        &self.signer
    }

    pub(crate) fn rng(&self) -> &Rng {
        &self.system.rng
    }
}
