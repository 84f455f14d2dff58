//! What the runtime shows of the pods.

use futures::FutureExt;

use super::super::observe;
use super::{Finished, RETRY, Work};
use crate::machine::{Input, Observation};
use crate::runtime::{Event, RuntimeError};

impl Work {
    pub(super) fn runtime_event(&mut self, event: &Event) {
        match event {
            Event::Pod(uid) => self.observe(&uid.clone()),
            Event::Lagged => {
                let all: Vec<String> = self.workers.keys().cloned().collect();
                all.iter().for_each(|uid| self.observe(uid));
            }
        }
    }

    /// Asks the runtime about a pod, once at a time.
    pub(super) fn observe(&mut self, uid: &str) {
        let Some(worker) = self.workers.get_mut(uid) else { return };
        if worker.observing {
            worker.observe_again = true;
            return;
        }
        worker.observing = true;
        let (context, pod, ids) = (self.context.clone(), worker.machine.pod().clone(), worker.ids.clone());
        let uid = uid.to_owned();
        self.beside.push(
            async move {
                let seen = observe::observe(&context, &pod, &ids).await;
                Finished::Observed(uid, seen)
            }
            .boxed(),
        );
    }

    pub(super) fn observed(&mut self, uid: &str, seen: Result<(u64, Observation), RuntimeError>) {
        let Some(worker) = self.workers.get_mut(uid) else { return };
        worker.observing = false;
        let again = std::mem::take(&mut worker.observe_again);
        match seen {
            Ok(seen) => {
                if let Some(seen) = self.fresh(uid, seen) {
                    self.step(uid, Input::Observed(seen));
                }
                if again {
                    self.observe(uid);
                }
            }
            Err(error) => {
                tracing::warn!(%uid, error = %error.full_message(), "the runtime cannot be asked about a pod");
                worker.observing = true;
                let (context, uid) = (self.context.clone(), uid.to_owned());
                let (pod, ids) = (worker.machine.pod().clone(), worker.ids.clone());
                let again = async move {
                    context.env.clock.sleep(RETRY).await;
                    Finished::Observed(uid, observe::observe(&context, &pod, &ids).await)
                };
                self.beside.push(again.boxed());
            }
        }
    }

    /// An observation unless a newer one was taken in already.
    pub(super) fn fresh(&mut self, uid: &str, (number, seen): (u64, Observation)) -> Option<Observation> {
        let worker = self.workers.get_mut(uid)?;
        if number < worker.seen {
            return None;
        }
        worker.seen = number;
        Some(seen)
    }
}
