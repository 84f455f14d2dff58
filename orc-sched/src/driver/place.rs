//! Placing pods.

use std::sync::Arc;

use jiff::Timestamp;
use orc_core::{ApiError, Name};

use super::facts::{has_volumes, waits_for_volume};
use super::metrics::Ended;
use super::report::Report;
use super::run::Scheduler;
use super::way;
use crate::engine::Reservation;
use crate::facts::FactKind;
use crate::plugin::{Hint, Plugin as _};
use crate::plugins::VolumeBinding;
use crate::pod::PodInfo;

/// The outcome of a way to the API.
pub(super) struct Bound {
    reservation: Reservation,
    pod: Arc<PodInfo>,
    /// When the attempt began.
    began: Timestamp,
    /// Since when the pod could be tried, and how often it was: the news of the binding may come before its answer, and the queue
    /// forgets the pod then.
    tried: Option<(Timestamp, u32)>,
    outcome: Result<(), ApiError>,
}

impl Scheduler {
    /// Decides about a pod.
    pub(super) fn place(&mut self, pod: Arc<PodInfo>, now: Timestamp) {
        let Some(profile) = self.engine.profile(&pod.scheduler) else { return self.queue.remove(&pod.uid) };
        if pod.gang.is_some() {
            return self.place_group(profile, pod, now);
        }
        let began = self.env.clock.now();
        let decision = self.engine.decide(profile, &pod, self.rng.next());
        self.status.metrics().decided(began, self.env.clock.now());
        match decision.outcome {
            Ok(placement) => {
                tracing::debug!(pod = %pod.key, node = %placement.node, seed = decision.seed, ties = placement.ties, "placed");
                self.bind(profile, pod, &placement.node, now);
            }
            Err(error) => self.unfit(profile, pod, &error, now),
        }
    }

    /// Assumes a decision and sends it on its way.
    pub(super) fn bind(&mut self, profile: usize, pod: Arc<PodInfo>, node: &Name, now: Timestamp) {
        let kept = self.engine.view().nomination(&pod.uid).is_some_and(|nominated| nominated.node != *node);
        let reservation = match self.engine.reserve(profile, &pod, node) {
            Ok(reservation) => reservation,
            Err(why) => {
                self.queue.back_off(&pod.uid, now);
                self.ended(Ended::Error, &pod, now);
                return self.reporter.tell(Report::failed(pod, why));
            }
        };
        self.status.0.lock().placed += 1;
        self.came(&pod, kept);
        let tried = self.queue.tried(&pod.uid);
        let points = self.engine.profiles()[profile].points.clone();
        let (client, binder) = (self.env.client.clone(), self.config.binder.clone());
        let (tell, told) = tokio::sync::oneshot::channel();
        let (about, to) = (pod.clone(), reservation.clone());
        let task = self.env.spawn.spawn(async move {
            // Nobody listens any more once the scheduler has stopped.
            let _ = tell.send(way::walk(client, points, binder, about, to).await);
        });
        self.binding.push(Box::pin(async move {
            let outcome =
                told.await.unwrap_or_else(|_| Err(ApiError::internal("the binding task ended without an answer")));
            drop(task);
            Bound { reservation, pod, began: now, tried, outcome }
        }));
    }

    /// A pod has a node by our own decision, which no event tells: those are tried again that it may help, be it by coming, or by
    /// leaving the room that was kept for it elsewhere.
    fn came(&mut self, pod: &PodInfo, kept: bool) {
        if kept {
            self.hints.insert(Hint::PodLeft);
        }
        let (view, profiles) = (self.engine.view(), self.engine.profiles());
        let plugins = || profiles.iter().flat_map(|profile| &profile.plugins).map(|(plugin, _)| plugin);
        let follows = |name: &str| plugins().any(|own| own.name() == name && own.helped_by(Hint::PodCame));
        let helps = |name: &str, waiting: &PodInfo| {
            plugins().any(|own| own.name() == name && own.helped_by_pod(view, waiting, pod))
        };
        self.queue.came(self.env.clock.now(), follows, helps);
    }

    /// Takes the outcome of a binding in.
    pub(super) fn settle(&mut self, Bound { reservation, pod, began, tried, outcome }: Bound) {
        match outcome {
            Ok(()) => {
                self.ended(Ended::Scheduled, &pod, began);
                if let Some((since, attempts)) = tried {
                    self.status.metrics().bound(since, attempts, self.env.clock.now());
                }
                self.queue.remove(&pod.uid);
                self.status.0.lock().bound += 1;
                self.reporter.tell(Report::scheduled(pod, reservation.node));
            }
            Err(error) if waits_for_volume(&error) => self.await_volumes(&reservation, &pod),
            Err(error) => {
                self.ended(Ended::Error, &pod, began);
                self.bind_failed(&reservation, pod, &error);
            }
        }
    }

    /// Counts an attempt.
    pub(super) fn ended(&self, how: Ended, pod: &PodInfo, began: Timestamp) {
        self.status.metrics().ended(how, &pod.scheduler, began, self.env.clock.now());
    }

    fn bind_failed(&mut self, reservation: &Reservation, pod: Arc<PodInfo>, error: &ApiError) {
        {
            let mut status = self.status.0.lock();
            status.bind_failures += 1;
            status.last_error = Some(format!("{}: {error}", pod.key));
        }
        tracing::debug!(pod = %pod.key, node = %reservation.node, %error, "binding failed");
        if !self.engine.forget(reservation) {
            // An event has told of the pod meanwhile: it has a node, or is gone.
            return;
        }
        self.hints.insert(Hint::PodLeft);
        self.wake();
        if error.is_not_found() {
            return self.queue.remove(&pod.uid);
        }
        self.queue.back_off(&pod.uid, self.env.clock.now());
        if error.is_conflict() {
            // Somebody else was faster, such as another scheduler of this name: the event that says so is on its way, and there is
            // nothing to tell of the pod. Should it not be so, the pod is tried again.
            return;
        }
        let message = format!("binding rejected: running Bind plugin \"DefaultBinder\": {error}");
        self.reporter.tell(Report::failed(pod, message));
    }

    /// Parks a pod until its claims have their volumes. There is nothing to tell: the claims' own events do.
    fn await_volumes(&mut self, reservation: &Reservation, pod: &PodInfo) {
        if !self.engine.forget(reservation) {
            return;
        }
        self.hints.insert(Hint::PodLeft);
        self.wake();
        self.queue.park(&pod.uid, vec![VolumeBinding.name()], self.env.clock.now());
        // The news of the claim may have come before this answer.
        if has_volumes(self.engine.view().facts(), pod) {
            self.hints.insert(Hint::Fact(FactKind::Claim));
            self.wake();
        }
    }
}
