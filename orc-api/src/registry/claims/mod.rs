//! Addresses and node ports of Services, claimed in the store, so that several servers never give out one twice.
//!
//! A claim is an object that is won by creating it: an `IPAddress` for an address, as upstream, and an internal record for a
//! node port. A write first *plans* (what does the Service need, what seems free), is validated, then *takes* (creates the
//! claims; where somebody else was faster, a number that was our choice is chosen again), and is committed. A claim that is
//! dropped without [`Claim::keep`] is given back; what a crash leaves behind is found by [`repair`](Registry::repair_claims).

mod held;
mod plan;
mod record;
mod repair;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use orc_core::env::Spawner;
use orc_core::validation::FieldError;
use orc_core::{ApiError, Doc, ObjectKey, Revision};
use orc_store::backend::Expect;
use orc_store::{Store, Stored};
use serde_json::json;

use self::held::{Held, held_by};
use self::plan::{Slot, Want};
use super::Registry;

pub(super) use self::plan::Plan;

/// What can be given out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ranges {
    base: u32,
    size: u32,
    ports: (u16, u16),
}

impl Ranges {
    /// The ranges of a service network and of node ports.
    ///
    /// # Errors
    /// When the network's prefix is not of 8 to 28 bits.
    pub(super) fn new(cidr: (Ipv4Addr, u8), ports: (u16, u16)) -> Result<Self, ApiError> {
        let (base, bits) = cidr;
        if !(8..=28).contains(&bits) {
            let why = format!("the service network {base}/{bits} must have a prefix of 8 to 28 bits");
            return Err(ApiError::internal(why));
        }
        let size = 1_u32 << (32 - bits);
        Ok(Self { base: u32::from(base) & !(size - 1), size, ports })
    }

    fn has(self, address: u32) -> bool {
        address > self.base && address < self.base + self.size - 1
    }
}

/// An address or a node port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Number {
    Address(u32),
    Port(u16),
}

/// The claims that one write has taken; given back when dropped without [`Claim::keep`].
pub(super) struct Claim {
    store: Arc<Store>,
    spawn: Spawner,
    taken: Vec<(ObjectKey, Revision)>,
    freed: Held,
}

impl Claim {
    /// The write happened: what it took stays taken, and what it let go is given back.
    pub(super) async fn keep(mut self) {
        self.taken.clear();
        for number in std::mem::take(&mut self.freed) {
            give_back(&self.store, &record::key(number)).await;
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let taken = std::mem::take(&mut self.taken);
        if taken.is_empty() {
            return;
        }
        let store = self.store.clone();
        self.spawn.detach(async move {
            for (key, at) in taken {
                if let Err(error) = store.commit(&key, None, Expect::At(at), None).await {
                    tracing::warn!(%key, %error, "a claim was not given back; the repair will");
                }
            }
        });
    }
}

/// Takes a claim away; one that is gone already is fine, and one that stays is found by the repair.
async fn give_back(store: &Store, key: &ObjectKey) {
    let Some(found) = store.peek(key) else { return };
    if let Err(error) = store.commit(key, None, Expect::At(found.revision), None).await {
        tracing::warn!(%key, %error, "a claim was not given back; the repair will");
    }
}

impl Registry {
    /// What a Service needs, written into the document. Other kinds need nothing.
    ///
    /// # Errors
    /// 422 for an address or port that is out of range or taken; 500 when a range is used up.
    pub(super) fn plan_claims(&self, key: &ObjectKey, doc: &mut Doc, old: Option<&Doc>) -> Result<Plan, ApiError> {
        if key.resource.as_str() != "services" {
            return Ok(Plan::default());
        }
        let had = old.map(held_by).unwrap_or_default();
        let mut errors = super::families::init(doc);
        if !errors.is_empty() {
            return Err(invalid(doc, &errors));
        }
        let mut plan = Plan::default();
        errors.extend(self.plan_address(doc, &had, &mut plan)?);
        errors.extend(self.plan_ports(doc, &had, &mut plan)?);
        if !errors.is_empty() {
            return Err(invalid(doc, &errors));
        }
        plan.freed = had.difference(&held_by(doc)).copied().collect();
        Ok(plan)
    }

    /// Creates the claims of a plan; numbers of our own choice that are gone meanwhile are chosen again.
    ///
    /// # Errors
    /// As [`Registry::plan_claims`], and the store's.
    pub(super) async fn take_claims(&self, key: &ObjectKey, doc: &mut Doc, plan: Plan) -> Result<Claim, ApiError> {
        let (store, spawn) = (self.store.clone(), self.system.spawn.clone());
        let mut claim = Claim { store, spawn, taken: Vec::new(), freed: plan.freed };
        for want in plan.wants {
            self.take(key, doc, want, &mut claim).await?;
        }
        Ok(claim)
    }

    async fn take(&self, of: &ObjectKey, doc: &mut Doc, want: Want, claim: &mut Claim) -> Result<(), ApiError> {
        let mut number = want.number;
        loop {
            let key = record::key(number);
            match self.store.commit(&key, Some(self.claim_body(number, of)?), Expect::Absent, None).await {
                Ok(committed) => {
                    claim.taken.push((key, committed.revision));
                    return Ok(());
                }
                Err(error) if !error.is_already_exists() => return Err(error),
                Err(_) if !want.ours => return Err(refused(doc, &want.slot, number)),
                Err(_) => {
                    number = self.choose(number, &BTreeSet::new())?;
                    want.slot.write(doc, number);
                }
            }
        }
    }

    /// Gives back what a deleted object held.
    pub(super) async fn release_claims(&self, stored: &Stored) {
        if stored.key.resource.as_str() == "services"
            && let Ok(doc) = Doc::from_body(&stored.body)
        {
            for number in held_by(&doc) {
                give_back(&self.store, &record::key(number)).await;
            }
        }
    }
}

fn invalid(doc: &Doc, errors: &[FieldError]) -> ApiError {
    ApiError::invalid("", "Service", doc.name(), errors)
}

/// A number that the client gave was taken between the plan and the claim.
fn refused(doc: &Doc, slot: &Slot, number: Number) -> ApiError {
    match (slot, number) {
        (Slot::Address, Number::Address(address)) => {
            invalid(doc, &plan::address_refused(address, "provided IP is already allocated"))
        }
        (Slot::Port(at), Number::Port(port)) => {
            let why = "provided port is already allocated";
            invalid(doc, &[slot.port_error(*at, json!(port), why)])
        }
        (_, number) => ApiError::internal(plan::health_check_taken(number)),
    }
}
