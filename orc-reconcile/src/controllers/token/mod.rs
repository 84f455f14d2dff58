//! Secrets that hold a service account's token for as long as both live.
//!
//! Follows `pkg/controller/serviceaccount/tokens_controller.go` of upstream: nobody is given such a secret, but one that a user
//! makes (type `kubernetes.io/service-account-token`, annotated with an account) is filled with a token, the cluster's
//! certificate and its namespace; it is deleted with its account, and an account that lists it forgets it when it is gone.

mod plan;

use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use orc_core::labels::FieldSelector;
use orc_core::{ObjectKey, ResourceId};
use orc_store::cache::{Interest, Typed};
use orc_store::client::{DeleteOptions, Selection};
use orc_store::{Api, Env};

use super::support::workload::only;
use super::support::{Memory, PassError, filled, meta};
use crate::{CacheSource, Controller, Next, Reconciler, service};
use plan::{Step, account_of};

/// The name of the loop. It makes and deletes credentials, and acts as the controller manager itself where the others act as
/// service accounts of their own.
pub const TOKEN_CONTROLLER: &str = "tokens-controller";

/// A token that is to be signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AccountToken<'a> {
    /// The namespace of account and secret.
    pub namespace: &'a str,
    /// The secret that will hold it.
    pub secret: &'a str,
    /// The account's name.
    pub account: &'a str,
    /// The account's uid.
    pub uid: &'a str,
}

/// Signs tokens that do not expire.
pub trait TokenSigner: Send + Sync + 'static {
    /// The token.
    ///
    /// # Errors
    /// Why it cannot be signed.
    fn sign(&self, token: &AccountToken<'_>) -> Result<String, String>;
}

/// The loop that fills and removes token secrets. `root_ca` is the certificate (PEM) that goes into them.
pub fn service_account_token(env: Env, root_ca: String, signer: Arc<dyn TokenSigner>) -> Controller<ObjectKey> {
    let fields = FieldSelector::parse(&format!("type={}", plan::TYPE)).unwrap_or_default();
    let interest = Interest::of::<Secret>().selecting(Selection { fields, ..Selection::default() });
    let secrets = env.caches.cache(interest).start().typed::<Secret>();
    let accounts = env.caches.typed::<ServiceAccount>();
    let sources = (secrets.cache().clone(), accounts.cache().clone());
    let listed = secrets.clone();
    let secrets_of = move |account: &Arc<orc_store::Stored>| {
        let namespace = account.key.namespace_str();
        let held = listed.in_namespace(namespace).into_iter();
        let held = held.filter(|secret| account_of(secret) == account.key.name.as_str());
        let key = |secret: Arc<Secret>| {
            ObjectKey::namespaced(ResourceId::of::<Secret>(), namespace, meta::name(&secret.metadata))
        };
        held.map(key).collect()
    };
    let reconciler = Tokens { env: env.clone(), secrets, accounts, root_ca, signer, memory: Memory::default() };
    Controller::new(TOKEN_CONTROLLER, &env, service(reconciler))
        .concurrency(2)
        .source(CacheSource::keys(sources.0))
        .source(CacheSource::new(sources.1, secrets_of))
}

struct Tokens {
    env: Env,
    secrets: Typed<Secret>,
    accounts: Typed<ServiceAccount>,
    root_ca: String,
    signer: Arc<dyn TokenSigner>,
    memory: Memory,
}

#[async_trait]
impl Reconciler for Tokens {
    type Error = PassError;

    async fn reconcile(&self, key: ObjectKey) -> Result<Next, PassError> {
        filled(&[self.secrets.cache(), self.accounts.cache()]).await;
        self.memory.settle(&key).await?;
        let Some(secret) = self.secrets.get(&key) else {
            self.memory.forget(&key);
            return self.forget_in_accounts(&key).await;
        };
        let account = self.account(key.namespace_str(), account_of(&secret)).await?;
        let step = plan::plan(&secret, account.as_deref(), &self.root_ca, self.signer.as_ref());
        match step.map_err(PassError::Wait)? {
            Step::Done => {}
            Step::Fill(next) => {
                let written = self.api::<Secret>(&key).replace(&next).await?;
                self.memory.wrote(&key, self.secrets.cache(), written.metadata.resource_version.as_deref());
            }
            Step::Remove => {
                let options: DeleteOptions = only(&secret.metadata);
                match self.api::<Secret>(&key).delete(&key.name, options).await {
                    Err(error) if !error.is_not_found() => return Err(error.into()),
                    _ => {}
                }
            }
        }
        Ok(Next::Done)
    }
}

impl Tokens {
    fn api<K: orc_core::Object>(&self, key: &ObjectKey) -> Api<K>
    where
        K::DynamicType: Default,
    {
        Api::namespaced(self.env.client.clone(), key.namespace_str())
    }

    /// The account of a name. That there is none is asked of the server: a cache that is behind must not cost a credential.
    async fn account(&self, namespace: &str, name: &str) -> Result<Option<Arc<ServiceAccount>>, PassError> {
        if name.is_empty() {
            return Ok(None);
        }
        let api: Api<ServiceAccount> = Api::namespaced(self.env.client.clone(), namespace);
        Ok(api.get_opt(name).await?)
    }

    /// Takes a secret that is gone off the lists of its namespace's accounts.
    async fn forget_in_accounts(&self, key: &ObjectKey) -> Result<Next, PassError> {
        let accounts = self.accounts.in_namespace(key.namespace_str());
        let listing: Vec<_> = accounts.iter().filter_map(|account| plan::without(account, &key.name)).collect();
        // A secret of another type may have taken the name.
        if listing.is_empty() || self.api::<Secret>(key).get_opt(&key.name).await?.is_some() {
            return Ok(Next::Done);
        }
        for account in listing {
            match self.api::<ServiceAccount>(key).replace(&account).await {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => {}
            }
        }
        Ok(Next::Done)
    }
}
