//! What stands between one run of a container and the next: runs that are ended for another one, and back-offs.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container;

use super::find::find_container;
use super::pod::Machine;
use super::{PodEvent, ProbeKind, Step};

impl Machine {
    /// A container whose image was changed in the spec is run anew.
    pub(super) fn condemn_changed(&mut self, index: usize, step: &mut Step) {
        let pod = self.pod.clone();
        let slot = &mut self.slots[index];
        let Some(run) = slot.run.as_ref().filter(|run| !run.image.is_empty()) else { return };
        let Some(image) = find_container(&pod, &slot.name).and_then(|spec| spec.image.as_deref()) else { return };
        if *image == *run.image || slot.condemned.as_ref() == Some(&run.id) {
            return;
        }
        slot.condemned = Some(run.id.clone());
        slot.condemned_by = None;
        let text = format!("Container {} definition changed, will be restarted", slot.name);
        step.events.push(PodEvent::normal("Killing", text).of_container(slot.role.list(), &slot.name));
    }

    /// Stops a run that a probe or a changed spec condemned.
    pub(super) fn stop_condemned(&mut self, index: usize, now: Timestamp, step: &mut Step) {
        let slot = &self.slots[index];
        let Some(run) = slot.run.as_ref().filter(|run| slot.condemned.as_ref() == Some(&run.id)) else { return };
        // The grace of the probe that failed, where it has its own (KEP-2238); a changed spec ends a run as the pod says.
        let own = |spec: &Container| match slot.condemned_by? {
            ProbeKind::Liveness => spec.liveness_probe.as_ref()?.termination_grace_period_seconds,
            ProbeKind::Startup => spec.startup_probe.as_ref()?.termination_grace_period_seconds,
            ProbeKind::Readiness => None,
        };
        let grace = find_container(&self.pod, &slot.name)
            .and_then(own)
            .map_or_else(|| self.spec().grace(), |seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(1)));
        let (name, id) = (slot.name.clone(), run.id.clone());
        self.stop(&name, &id, grace, grace, now, step);
    }

    /// Says once that an image is waited for.
    pub(super) fn tell_of_pull_backoff(&mut self, index: usize, step: &mut Step) {
        let slot = &mut self.slots[index];
        let Some(trouble) = slot.trouble.as_mut().filter(|trouble| trouble.image) else { return };
        if trouble.reason != "ErrImagePull" {
            return;
        }
        let image = find_container(&self.pod, &slot.name).and_then(|spec| spec.image.clone()).unwrap_or_default();
        trouble.message = format!("Back-off pulling image {image:?}: ErrImagePull: {}", trouble.message);
        "ImagePullBackOff".clone_into(&mut trouble.reason);
        let list = slot.role.list();
        let name = slot.name.clone();
        let text = format!("Back-off pulling image {image:?}");
        step.events.push(PodEvent::normal("BackOff", text).of_container(list, &name));
        let text = "Error: ImagePullBackOff";
        step.events.push(PodEvent::warning("Failed", text).of_container(list, &name));
    }

    /// Says once that a crashed container is waited with.
    pub(super) fn tell_of_crash_loop(&mut self, index: usize, step: &mut Step) {
        let pod = self.pod_name();
        let slot = &mut self.slots[index];
        let Some(run) = &slot.run else { return };
        if slot.told.as_ref() == Some(&run.id) {
            return;
        }
        slot.told = Some(run.id.clone());
        let text = format!("Back-off restarting failed container {} in pod {pod}", slot.name);
        step.events.push(PodEvent::warning("BackOff", text).of_container(slot.role.list(), &slot.name));
    }
}
