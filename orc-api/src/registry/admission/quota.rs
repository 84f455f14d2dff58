//! The quotas of a namespace (ResourceQuota): the last thing that a write passes.
//!
//! What a write adds is checked against `status.used` and charged there by compare-and-swap, before the object is
//! committed; so several servers never give out the same room twice. A write that fails afterwards leaves its charge, which
//! the quota controller's recount takes back. A write that tries again after a lost race is charged once ([`Charges`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use orc_core::quota::{self, Usage};
use orc_core::{ApiError, Doc, ResourceId};
use orc_store::Stored;
use orc_store::backend::Expect;
use orc_store::client::{Freshness, ListOptions, Scope};

use super::super::{MAX_TRIES, Registry};
use crate::admission::{Attributes, Operation};

/// What one write has charged so far, by the quota's name.
#[derive(Clone, Debug, Default)]
pub(in crate::registry) struct Charges(BTreeMap<String, Usage>);

impl Registry {
    /// Charges what a write adds. With a dry run, or when the object is there already, it is only checked.
    ///
    /// # Errors
    /// 403 when a quota is exceeded or does not know its usage yet.
    pub(super) async fn charge_quotas(&self, ask: &Attributes<'_>, charges: &mut Charges) -> Result<(), ApiError> {
        let Some(namespace) = ask.key.namespace.as_ref().filter(|_| counts(ask)) else { return Ok(()) };
        let scope = Scope::within(ResourceId::new("", "resourcequotas"), namespace.clone());
        let options = ListOptions { freshness: Freshness::Any, ..ListOptions::default() };
        let quotas = self.store.list(&scope, &options).await?.items;
        if quotas.is_empty() {
            return Ok(());
        }
        let delta = delta(ask)?;
        if delta.values().all(|amount| amount.is_zero()) {
            return Ok(());
        }
        for stored in &quotas {
            admit(ask, &stored.to_doc()?, &delta, charges)?;
        }
        if ask.dry_run || ask.operation == Operation::Create && self.store.find(ask.key).await?.is_some() {
            return Ok(());
        }
        for stored in quotas {
            self.charge(ask, stored, &delta, charges).await?;
        }
        Ok(())
    }

    async fn charge(
        &self,
        ask: &Attributes<'_>,
        mut stored: Arc<Stored>,
        delta: &Usage,
        charges: &mut Charges,
    ) -> Result<(), ApiError> {
        for _ in 0..MAX_TRIES {
            let mut doc = stored.to_doc()?;
            let Some((used, charge)) = admit(ask, &doc, delta, charges)? else { return Ok(()) };
            doc.set(&["status", "used"], quota::show(&used));
            match self.store.commit(&stored.key, Some(doc.to_body()), Expect::At(stored.revision), None).await {
                Ok(_) => {
                    quota::add(charges.0.entry(stored.key.name.to_string()).or_default(), &charge);
                    return Ok(());
                }
                Err(error) if error.is_conflict() => match self.store.get(&stored.key, Freshness::Latest).await? {
                    Some(newer) => stored = newer,
                    None => return Ok(()),
                },
                Err(error) if error.is_not_found() => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Err(ask.forbid(format!("unable to charge quota {}: too many writers at once, try again", stored.key.name)))
    }
}

/// Creations, and those changes that can change usage.
fn counts(ask: &Attributes<'_>) -> bool {
    match (ask.operation, ask.subresource) {
        (Operation::Create, "") => true,
        (Operation::Update, "") => matches!(ask.resource(), "services" | "persistentvolumeclaims"),
        (Operation::Update, "resize") => ask.resource() == "pods",
        _ => false,
    }
}

fn delta(ask: &Attributes<'_>) -> Result<Usage, ApiError> {
    let new = quota::usage(&ask.key.resource, ask.new_value());
    if ask.operation == Operation::Create {
        let negative: Vec<&str> = new.iter().filter(|(_, a)| a.sign() < 0).map(|(name, _)| name.as_str()).collect();
        if !negative.is_empty() {
            return Err(ask.forbid(format!("quota usage is negative for resource(s): {}", negative.join(","))));
        }
        return Ok(new);
    }
    Ok(quota::subtract(&new, &quota::usage(&ask.key.resource, ask.old_value())))
}

/// What a quota's usage becomes and what is charged to it, `None` when it is not concerned or has been charged.
fn admit(
    ask: &Attributes<'_>,
    doc: &Doc,
    delta: &Usage,
    charges: &Charges,
) -> Result<Option<(Usage, Usage)>, ApiError> {
    let name = doc.name();
    let (hard, mut used) = (quota::amounts(doc.at(&["status", "hard"])), quota::amounts(doc.at(&["status", "used"])));
    let concerned = quota::concerned(&hard, &ask.key.resource);
    let spec = doc.at(&["spec"]).unwrap_or(&serde_json::Value::Null);
    if concerned.is_empty() || !quota::selects(spec, &ask.key.resource, ask.new_value()) {
        return Ok(None);
    }
    quota::constraints(&concerned, &ask.key.resource, ask.new_value())
        .map_err(|why| ask.forbid(format!("failed quota: {name}: {why}")))?;
    let unknown: Vec<&str> = concerned.iter().filter(|n| !used.contains_key(*n)).map(String::as_str).collect();
    if !unknown.is_empty() {
        return Err(ask.forbid(format!("status unknown for quota: {name}, resources: {}", concerned.join(","))));
    }
    let had = charges.0.get(name).cloned().unwrap_or_default();
    let wanted = quota::mask(delta, |n| hard.contains_key(n));
    let charge: Usage = quota::subtract(&wanted, &quota::mask(&had, |n| wanted.contains_key(n)));
    if charge.values().all(|amount| amount.is_zero()) {
        return Ok(None);
    }
    let before = used.clone();
    quota::add(&mut used, &charge);
    let over = |n: &str| charge.get(n).is_some_and(|c| c.sign() > 0) && used[n] > hard[n];
    let exceeded: Vec<String> = charge.keys().filter(|n| over(n)).cloned().collect();
    if exceeded.is_empty() {
        return Ok(Some((used, charge)));
    }
    let list = |usage: &Usage| {
        exceeded.iter().filter_map(|n| Some(format!("{n}={}", usage.get(n)?))).collect::<Vec<_>>().join(",")
    };
    let (requested, used, limited) = (list(&charge), list(&before), list(&hard));
    Err(ask.forbid(format!("exceeded quota: {name}, requested: {requested}, used: {used}, limited: {limited}")))
}
