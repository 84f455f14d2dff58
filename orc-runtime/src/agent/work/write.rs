//! Bringing the pods' status to the API: one write of a pod at a time, the newest status next.

use futures::FutureExt;
use jiff::Timestamp;
use orc_core::ApiError;

use super::super::status;
use super::{Finished, RETRY, Work};

impl Work {
    pub(super) fn write_status(&mut self, uid: &str) {
        let Some(worker) = self.workers.get_mut(uid) else { return };
        if worker.writing || worker.retry_status.is_some() {
            return;
        }
        let Some(wanted) = worker.pending.take() else { return };
        worker.writing = true;
        let (context, pod, uid) = (self.context.clone(), worker.machine.pod().clone(), uid.to_owned());
        let write = async move {
            let result = status::write(&context, &pod, &wanted).await;
            Finished::Written(uid, result)
        };
        self.beside.push(write.boxed());
    }

    pub(super) fn written(&mut self, uid: &str, result: Result<(), ApiError>) {
        let Some(worker) = self.workers.get_mut(uid) else { return };
        worker.writing = false;
        if let Err(error) = result {
            tracing::warn!(%uid, %error, "a pod's status could not be written");
            let status = worker.machine.status().clone();
            worker.pending.get_or_insert(status);
            let at = self.context.now().checked_add(RETRY).unwrap_or(Timestamp::MAX);
            worker.retry_status = Some(at);
            self.timers.insert((at, uid.to_owned()));
        }
        self.write_status(uid);
    }
}
