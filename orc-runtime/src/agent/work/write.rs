//! Bringing the pods' status to the API: one write of a pod at a time, the newest status next.
//!
//! Only a few pods are written at the same time (the kubelet writes one after the other). Where many change at once, those
//! that wait for their turn are written with the status that they have by then, so most of them once.

use std::collections::VecDeque;

use futures::FutureExt;
use jiff::Timestamp;
use orc_core::{ApiError, Reason};

use super::super::status;
use super::{Finished, RETRY, Work};

/// Statuses of one node that are written at the same time.
const AT_ONCE: usize = 4;

/// The node's writes of statuses.
#[derive(Default)]
pub(super) struct Writes {
    under_way: usize,
    /// Pods whose turn is to come; at most as many as the node has.
    waiting: VecDeque<String>,
}

impl Work {
    pub(super) fn write_status(&mut self, uid: &str) {
        let Some(worker) = self.workers.get_mut(uid) else { return };
        if worker.writing || worker.queued || worker.retry_status.is_some() || worker.pending.is_none() {
            return;
        }
        if self.writes.under_way >= AT_ONCE {
            worker.queued = true;
            return self.writes.waiting.push_back(uid.to_owned());
        }
        let Some(wanted) = worker.pending.take() else { return };
        worker.writing = true;
        self.writes.under_way += 1;
        let (context, pod, uid) = (self.context.clone(), worker.machine.pod().clone(), uid.to_owned());
        let write = async move {
            let result = status::write(&context, &pod, &wanted).await;
            Finished::Written(uid, result)
        };
        self.beside.push(write.boxed());
    }

    pub(super) fn written(&mut self, uid: &str, result: Result<(), ApiError>) {
        self.writes.under_way = self.writes.under_way.saturating_sub(1);
        self.write_next();
        let Some(worker) = self.workers.get_mut(uid) else { return };
        worker.writing = false;
        if let Err(error) = result {
            if error.reason() == Reason::Forbidden {
                // A node may no longer read a pod that was deleted; what follows the deletion is on its way.
                tracing::debug!(%uid, %error, "a pod's status could not be written");
            } else {
                tracing::warn!(%uid, %error, "a pod's status could not be written");
            }
            let status = worker.machine.status().clone();
            worker.pending.get_or_insert(status);
            let at = self.context.now().checked_add(RETRY).unwrap_or(Timestamp::MAX);
            worker.retry_status = Some(at);
            self.timers.insert((at, uid.to_owned()));
        }
        self.write_status(uid);
    }

    /// Gives free turns to pods that wait for one.
    fn write_next(&mut self) {
        while self.writes.under_way < AT_ONCE
            && let Some(uid) = self.writes.waiting.pop_front()
        {
            // One that is gone needs none.
            if let Some(worker) = self.workers.get_mut(&uid) {
                worker.queued = false;
                self.write_status(&uid);
            }
        }
    }
}
