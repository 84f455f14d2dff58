//! Carrying plans out.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use orc_core::{ApiError, Object, ObjectKey, Reason};
use orc_store::Api;
use orc_store::cache::Typed;
use orc_store::client::ListOptions;

use super::marks::FINALIZER;
use super::matching::{is_for, promised};
use super::step::{Plan, Step};
use super::{Binder, provision};
use crate::Next;
use crate::controllers::support::workload::only;
use crate::controllers::support::{AGAIN, PassError, meta, pods};
use crate::controllers::volumes::uses;

impl Binder {
    /// Tells what is to be told and writes what is to be written.
    pub(super) async fn carry_out<K: Object>(&self, key: &ObjectKey, about: &K, plan: Plan) -> Result<Next, PassError>
    where
        K::DynamicType: Default,
    {
        let result = match plan.step {
            None => Ok(Next::Done),
            Some(step) => self.step(key, step).await.map(|()| AGAIN),
        };
        // Told once it is written: a pass that fails decides anew.
        if result.is_ok() {
            for told in plan.told {
                let kind = if told.warning { "Warning" } else { "Normal" };
                self.recorder.tell(meta::reference(about), kind, told.reason, told.message);
            }
        }
        result
    }

    async fn step(&self, key: &ObjectKey, step: Step) -> Result<(), PassError> {
        match step {
            Step::Volume(next) => self.put(key, &self.volumes, &*next, false).await,
            Step::VolumeStatus(next) => self.put(key, &self.volumes, &*next, true).await,
            Step::Claim(next) => self.put(key, &self.claims, &*next, false).await,
            Step::ClaimStatus(next) => self.put(key, &self.claims, &*next, true).await,
            Step::Provision(class, node) => self.provision(key, &class, &node).await,
            Step::Wipe => self.wipe(key).await,
        }
    }

    fn api<K: Object>(&self, namespace: Option<&str>) -> Api<K>
    where
        K::DynamicType: Default,
    {
        match namespace {
            Some(namespace) => Api::namespaced(self.env.client.clone(), namespace),
            None => Api::all(self.env.client.clone()),
        }
    }

    /// Puts an object, or its status, in the place of what was read; of one that is gone nothing is left to do.
    async fn put<K: Object>(&self, key: &ObjectKey, cache: &Typed<K>, next: &K, status: bool) -> Result<(), PassError>
    where
        K::DynamicType: Default,
    {
        let api: Api<K> = self.api(next.meta().namespace.as_deref());
        let written = if status { api.replace_status(next).await } else { api.replace(next).await };
        match written {
            Ok(written) => self.memory.wrote(key, cache.cache(), written.meta().resource_version.as_deref()),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Makes the folder, then the volume. Nothing is made for a claim that another pass, or leader, has served.
    async fn provision(&self, key: &ObjectKey, class: &StorageClass, node: &Node) -> Result<(), PassError> {
        let claim: Arc<PersistentVolumeClaim> = self.api(key.namespace.as_deref()).get(&key.name).await?;
        let current =
            self.claims.get(key).is_some_and(|seen| seen.metadata.resource_version == claim.metadata.resource_version);
        let Some(folders) = self.folders.as_ref().filter(|_| current) else {
            return Err(PassError::Wait("the claim was changed meanwhile".to_owned()));
        };
        let name = provision::name(&claim);
        let place = format!("{}/{}", key.namespace_str(), key.name);
        let told = format!("External provisioner is provisioning volume for claim {place:?}");
        self.recorder.normal(&*claim, "Provisioning", told);
        let path = folders
            .make(meta::name(&node.metadata), &name)
            .await
            .map_err(|error| self.no_volume(&claim, class, error))?;
        let api: Api<PersistentVolume> = self.api(None);
        let made = match api.create(&provision::volume(&claim, class, node, &path)).await {
            Err(error) if error.reason() == Reason::AlreadyExists => {
                let there = api.get(&name).await?;
                if !is_for(&there, &claim) {
                    let why = format!("volume {name:?} is there and is another claim's");
                    return Err(self.no_volume(&claim, class, ApiError::internal(why)).into());
                }
                there
            }
            other => other.map_err(|error| self.no_volume(&claim, class, error))?,
        };
        self.memory.wrote(key, self.volumes.cache(), made.metadata.resource_version.as_deref());
        self.recorder.normal(&*claim, "ProvisioningSucceeded", format!("Successfully provisioned volume {name}"));
        Ok(())
    }

    fn no_volume(&self, claim: &PersistentVolumeClaim, class: &StorageClass, error: ApiError) -> ApiError {
        let class = meta::name(&class.metadata);
        let text = format!("failed to provision volume with StorageClass {class:?}: {error}");
        self.recorder.warning(claim, "ProvisioningFailed", text);
        error
    }

    /// Takes the folder away, then what held the volume, then the volume: decided again from the server's state, for what
    /// is lost here is lost.
    async fn wipe(&self, key: &ObjectKey) -> Result<(), PassError> {
        let api: Api<PersistentVolume> = self.api(None);
        let Some(volume) = api.get_opt(&key.name).await? else { return Ok(()) };
        if self.decide_volume(&volume).await?.step != Some(Step::Wipe) {
            return Err(PassError::Wait("the volume was changed meanwhile".to_owned()));
        }
        let users = self.users(&volume).await?;
        if !users.is_empty() {
            let why = format!("Volume is used by pods: {}", users.join(","));
            self.recorder.normal(&*volume, "VolumeDelete", why.clone());
            return Err(PassError::Wait(why));
        }
        if let Err(error) = self.remove_folder(&volume).await {
            self.recorder.warning(&*volume, "VolumeFailedDelete", error.to_string());
            return Err(error.into());
        }
        let mut next = PersistentVolume::clone(&volume);
        next.metadata.finalizers.get_or_insert_default().retain(|own| own != FINALIZER);
        if next != *volume {
            self.put(key, &self.volumes, &next, false).await?;
        }
        match api.delete(&key.name, only(&volume.metadata)).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn remove_folder(&self, volume: &PersistentVolume) -> Result<(), ApiError> {
        let Some(folders) = &self.folders else { return Err(ApiError::internal("this process makes no volumes")) };
        let node = provision::node_of(volume, &self.nodes.list());
        let node = node.ok_or_else(|| ApiError::internal("the volume's spec.nodeAffinity names no node"))?;
        folders.remove(&node, meta::name(&volume.metadata)).await
    }

    /// Pods that still have the folder: those of a claim that somebody took away by force.
    async fn users(&self, volume: &PersistentVolume) -> Result<Vec<String>, PassError> {
        let Some(to) = promised(volume) else { return Ok(Vec::new()) };
        let claim = to.name.as_deref().unwrap_or_default();
        let all = self.api::<Pod>(to.namespace.as_deref()).list(&ListOptions::default()).await?.items;
        let users = all.iter().filter(|pod| uses(pod, claim) && !pods::is_terminal(pod));
        Ok(users.map(|pod| format!("{}/{}", meta::namespace(&pod.metadata), meta::name(&pod.metadata))).collect())
    }
}
