//! Claims without a Service, and Services without a claim: what a crash between two writes leaves behind.

use std::collections::BTreeMap;
use std::time::Duration;

use orc_core::{ApiError, Doc, ObjectKey, ResourceId};
use orc_store::Stored;
use orc_store::backend::Expect;
use orc_store::client::{ListOptions, Scope};

use super::held::{Held, held_by};
use super::record;
use crate::registry::Registry;

/// A claim younger than this may belong to a write that is still under way: longer than any request lives.
const UNDER_WAY: Duration = Duration::from_secs(120);
/// How often the claims are looked at; kube-apiserver's repair loop takes as long.
const EVERY: Duration = Duration::from_secs(180);

impl Registry {
    /// Looks after the claims now and then, until it is dropped. Several servers may do so at once.
    pub async fn keep_claims(&self) {
        loop {
            self.system.clock.sleep(EVERY).await;
            if let Err(error) = self.repair_claims().await {
                tracing::warn!(%error, "the claims of addresses and node ports were not repaired");
            }
        }
    }

    /// Claims what Services hold unclaimed, and takes away claims that no Service holds.
    ///
    /// # Errors
    /// The store's.
    pub async fn repair_claims(&self) -> Result<(), ApiError> {
        let mut claims = self.claims_of(record::addresses()).await?;
        claims.extend(self.claims_of(record::node_ports()).await?);
        // Read after the claims: the Service of an older claim is in it.
        let services = Scope::all(ResourceId::new("", "services"));
        let services = self.store.list(&services, &ListOptions::default()).await?.items;
        let mut held: BTreeMap<ObjectKey, Held> = BTreeMap::new();
        for service in services {
            held.insert(service.key.clone(), held_by(&Doc::from_body(&service.body)?));
        }
        for (service, numbers) in &held {
            for number in numbers {
                self.claim_again(service, *number).await?;
            }
        }
        for claim in claims {
            self.drop_orphan(&claim, &held).await?;
        }
        Ok(())
    }

    async fn claims_of(&self, resource: ResourceId) -> Result<Vec<std::sync::Arc<Stored>>, ApiError> {
        Ok(self.store.list(&Scope::all(resource), &ListOptions::default()).await?.items)
    }

    async fn claim_again(&self, service: &ObjectKey, number: super::Number) -> Result<(), ApiError> {
        let key = record::key(number);
        if self.store.peek(&key).is_some() {
            return Ok(());
        }
        match self.store.commit(&key, Some(self.claim_body(number, service)?), Expect::Absent, None).await {
            Err(error) if !error.is_already_exists() => Err(error),
            _ => Ok(()),
        }
    }

    async fn drop_orphan(&self, claim: &Stored, held: &BTreeMap<ObjectKey, Held>) -> Result<(), ApiError> {
        let Some(owner) = record::owner(&Doc::from_body(&claim.body)?) else { return Ok(()) };
        let number = record::number(&claim.key);
        let holds = number.is_some_and(|number| held.get(&owner).is_some_and(|numbers| numbers.contains(&number)));
        let age = claim.head.created.map(|created| self.system.clock.now().duration_since(created));
        if holds || age.is_none_or(|age| age.unsigned_abs() < UNDER_WAY) {
            return Ok(());
        }
        tracing::info!(claim = %claim.key, %owner, "a claim without its service is taken away");
        match self.store.commit(&claim.key, None, Expect::At(claim.revision), None).await {
            Err(error) if !error.is_conflict() => Err(error),
            _ => Ok(()),
        }
    }
}
