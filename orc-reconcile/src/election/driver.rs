//! Drives an [`Elector`] over a lease and runs the leader's work.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::future::FusedFuture as _;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use orc_core::ApiError;
use orc_store::{Api, Env};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{ElectionConfig, Elector, Record};

/// How an election stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether this candidate leads.
    pub leads: bool,
    /// Who leads, as far as this candidate knows.
    pub holder: Option<String>,
    /// How often this candidate began to lead.
    pub terms: u64,
}

/// Competes until `stop` is cancelled, and runs `work` while this candidate leads; `work` is called once a term. Its token is
/// cancelled when the term ends; it should then end what it began, because the lease is given back after it. When the lease
/// is lost, what has not ended by the time that others may lead is dropped.
///
/// `standing` is told of every change. Errors of the store are logged and tried again.
pub async fn run<F>(
    env: Env,
    config: ElectionConfig,
    standing: watch::Sender<Standing>,
    stop: CancellationToken,
    work: F,
) where
    F: Fn(CancellationToken) -> BoxFuture<'static, ()> + Send,
{
    let elector = Elector::new(config.identity.clone(), config.timings);
    let leases = Api::namespaced(env.client.clone(), config.namespace.clone());
    let mut candidate = Candidate { env, leases, config, elector, standing };
    while let Some(()) = stop.run_until_cancelled(candidate.acquire()).await {
        let term = CancellationToken::new();
        let why = candidate.lead(work(term.clone()), &term, &stop).await;
        tracing::info!(lease = %candidate.config.name, ?why, "leading ended");
        match why {
            Why::Stopped => break,
            Why::Lost => {}
            Why::WorkEnded => {
                // Somebody else may fare better; and not again at once, if nobody does.
                candidate.give_back().await;
                candidate.pause().await;
            }
        }
    }
    candidate.give_back().await;
}

/// Why a term ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    WorkEnded,
    Stopped,
    Lost,
}

struct Candidate {
    env: Env,
    leases: Api<Lease>,
    config: ElectionConfig,
    elector: Elector,
    standing: watch::Sender<Standing>,
}

impl Candidate {
    /// Waits until this candidate leads.
    async fn acquire(&mut self) {
        loop {
            match self.attempt().await {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(lease = %self.config.name, %error, "the lease could not be taken; trying again")
                }
            }
            self.tell(false);
            self.pause().await;
        }
        tracing::info!(lease = %self.config.name, identity = %self.config.identity, "leading");
        self.tell(true);
    }

    /// Runs one term's work beside the renewals.
    async fn lead(&mut self, work: BoxFuture<'static, ()>, term: &CancellationToken, stop: &CancellationToken) -> Why {
        let mut work = work.fuse();
        let why = tokio::select! {
            biased;
            () = &mut work => Why::WorkEnded,
            () = stop.cancelled() => Why::Stopped,
            () = self.renew_while_held() => Why::Lost,
        };
        term.cancel();
        if why == Why::Stopped {
            // Still the leader: renewals go on until the work has ended.
            tokio::select! {
                biased;
                () = &mut work => {}
                () = self.renew_while_held() => {}
            }
        }
        let by = self.elector.ends_by().unwrap_or_else(Instant::now);
        let in_time = work.is_terminated() || tokio::time::timeout_at(by, &mut work).await.is_ok();
        if !in_time {
            tracing::error!(lease = %self.config.name, "the leader's work did not end in time and was dropped");
        }
        self.tell(false);
        if why == Why::Lost {
            self.elector.lost();
        }
        why
    }

    /// Renews until the lease is lost.
    async fn renew_while_held(&mut self) {
        while let Some(until) = self.elector.leads_until() {
            let next = Instant::now() + self.wait();
            if next >= until {
                tokio::time::sleep_until(until).await;
                return;
            }
            tokio::time::sleep_until(next).await;
            match tokio::time::timeout_at(until, self.attempt()).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) | Err(_) => return,
                Ok(Err(error)) => {
                    tracing::warn!(lease = %self.config.name, %error, "the lease could not be renewed; trying again");
                }
            }
        }
    }

    /// Reads the lease and writes it as this candidate's where that is allowed; `false` when somebody else holds it.
    async fn attempt(&mut self) -> Result<bool, ApiError> {
        let current = self.leases.get_opt(self.config.name.as_str()).await?;
        let record = current.as_deref().map(|lease| lease.spec.as_ref().map(Record::from).unwrap_or_default());
        let sent = Instant::now();
        self.elector.observe(record, sent);
        let Some(claim) = self.elector.claim(sent, &MicroTime(self.env.clock.now())) else { return Ok(false) };
        match self.write(current.as_deref(), &claim).await {
            Ok(()) => {
                self.elector.won(claim, sent);
                Ok(true)
            }
            // Somebody else was faster; the next look shows who.
            Err(error) if error.is_conflict() || error.is_already_exists() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn write(&self, current: Option<&Lease>, record: &Record) -> Result<(), ApiError> {
        let mut lease = current.cloned().unwrap_or_default();
        record.write_to(lease.spec.get_or_insert_default());
        if current.is_some() {
            // Carries the revision that was read, so it fails when anybody wrote since.
            return self.leases.replace(&lease).await.map(drop);
        }
        lease.metadata.name = Some(self.config.name.to_string());
        lease.metadata.namespace = Some(self.config.namespace.to_string());
        self.leases.create(&lease).await.map(drop)
    }

    /// Gives the lease back if it is still this candidate's.
    async fn give_back(&mut self) {
        self.tell(false);
        let Ok(Some(current)) = self.leases.get_opt(self.config.name.as_str()).await else { return };
        self.elector.observe(Some(current.spec.as_ref().map(Record::from).unwrap_or_default()), Instant::now());
        let Some(record) = self.elector.release() else { return };
        if let Err(error) = self.write(Some(&current), &record).await {
            tracing::warn!(lease = %self.config.name, %error, "the lease was not given back; it ends by itself");
        }
        self.elector.lost();
    }

    async fn pause(&self) {
        tokio::time::sleep(self.wait()).await;
    }

    fn wait(&self) -> Duration {
        let retry = self.config.timings.retry;
        let quarter = u64::try_from(retry.as_millis() / 4).unwrap_or(u64::MAX);
        retry + Duration::from_millis(self.env.rng.below(quarter + 1))
    }

    fn tell(&self, leads: bool) {
        let holder = self.elector.holder().map(str::to_owned);
        self.standing.send_if_modified(|standing| {
            let terms = standing.terms + u64::from(leads && !standing.leads);
            let now = Standing { leads, holder, terms };
            let changed = *standing != now;
            *standing = now;
            changed
        });
    }
}
