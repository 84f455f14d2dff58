//! Claims, disks and devices that a pod names.

use k8s_openapi::api::core::v1::{Pod, PodResourceClaim, PodSpec, Volume};
use orc_core::Name;

/// A persistent volume claim that a pod uses.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClaimRef {
    /// The claim, in the pod's namespace.
    pub name: Name,
    /// Whether it is made for the pod from a template in its volume; such a claim must be owned by the pod.
    pub ephemeral: bool,
}

/// A disk that is named in the pod itself and can be attached to one node, or to one writer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Disk {
    /// The kind of disk and its identity.
    pub id: Name,
    /// Whether it is only read, and may be read by several.
    pub shared: bool,
}

impl Disk {
    /// Whether two pods with these disks cannot be on one node.
    pub fn conflicts(&self, other: &Self) -> bool {
        self.id == other.id && !(self.shared && other.shared)
    }
}

/// A device claim that a pod uses.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DeviceRef {
    /// The name within the pod.
    pub name: Name,
    /// The `ResourceClaim`, in the pod's namespace; `None` while one of a template has not been made.
    pub claim: Option<Name>,
    /// Whether it is made for the pod from a template; such a claim must be owned by the pod.
    pub template: bool,
}

pub(super) fn claims(pod: &Pod, spec: &PodSpec) -> Vec<ClaimRef> {
    let pod_name = pod.metadata.name.as_deref().unwrap_or_default();
    let of = |volume: &Volume| match (&volume.persistent_volume_claim, &volume.ephemeral) {
        (Some(claim), _) => Some(ClaimRef { name: Name::new(&claim.claim_name), ephemeral: false }),
        (None, Some(_)) => Some(ClaimRef { name: format!("{pod_name}-{}", volume.name).into(), ephemeral: true }),
        (None, None) => None,
    };
    let mut claims: Vec<_> = spec.volumes.iter().flatten().filter_map(of).collect();
    claims.sort();
    claims.dedup();
    claims
}

/// Disks of the kinds that Kubernetes keeps apart: GCE, EBS, iSCSI and RBD.
pub(super) fn disks(spec: &PodSpec) -> Vec<Disk> {
    let mut disks: Vec<Disk> = spec.volumes.iter().flatten().filter_map(disk).collect();
    disks.sort();
    disks
}

fn disk(volume: &Volume) -> Option<Disk> {
    let made = |id: String, shared: bool| Some(Disk { id: id.into(), shared });
    if let Some(gce) = &volume.gce_persistent_disk {
        return made(format!("gce {}", gce.pd_name), gce.read_only == Some(true));
    }
    if let Some(ebs) = &volume.aws_elastic_block_store {
        return made(format!("ebs {}", ebs.volume_id), false);
    }
    if let Some(iscsi) = &volume.iscsi {
        return made(format!("iscsi {}", iscsi.iqn), iscsi.read_only == Some(true));
    }
    let rbd = volume.rbd.as_ref()?;
    let mut monitors = rbd.monitors.clone();
    monitors.sort();
    let pool = rbd.pool.as_deref().unwrap_or("rbd");
    made(format!("rbd {} {pool} {}", monitors.join(","), rbd.image), rbd.read_only == Some(true))
}

pub(super) fn devices(pod: &Pod, spec: &PodSpec) -> Vec<DeviceRef> {
    let made = pod.status.as_ref().and_then(|status| status.resource_claim_statuses.as_ref());
    let of_template = |name: &str| made.into_iter().flatten().find(|status| status.name == *name);
    let one = |claim: &PodResourceClaim| {
        let name = Name::new(&claim.name);
        if let Some(own) = &claim.resource_claim_name {
            return Some(DeviceRef { name, claim: Some(Name::new(own)), template: false });
        }
        let claim = match of_template(&claim.name) {
            // It is decided that the pod needs none.
            Some(status) => Some(Name::new(status.resource_claim_name.as_ref()?)),
            None => None,
        };
        Some(DeviceRef { name, claim, template: true })
    };
    spec.resource_claims.iter().flatten().filter_map(one).collect()
}
