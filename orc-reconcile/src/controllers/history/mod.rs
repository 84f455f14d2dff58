//! Controller revisions: the templates that a stateful set or daemon set had, numbered.
//!
//! Follows `k8s.io/kubernetes/pkg/controller/history`. A revision's data is the template as a merge patch with a marker
//! (`"$patch": "replace"`), which is what `kubectl rollout undo` applies. Different: the hash is our own (see deployments).

use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use orc_core::{Object, ObjectKey};
use orc_store::cache::Typed;
use orc_store::{Api, Env};
use serde_json::{Value, json};

use super::deployment::template::digest;
use super::support::workload::{may_adopt, only};
use super::support::{Memory, PassError, claim, meta};

/// The label that names the hash of a stateful set's revision.
pub(crate) const HASH: &str = "controller.kubernetes.io/hash";
/// The label that names the hash of a daemon set's revision, and of its pods.
pub(crate) const DAEMON_HASH: &str = "controller-revision-hash";

/// A write of a revision.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Write {
    Adopt(Arc<ControllerRevision>),
    Release(Arc<ControllerRevision>),
    Create(Box<ControllerRevision>),
    /// Gives an old revision that is wanted again the newest number.
    Renumber(Box<ControllerRevision>),
    Delete(Arc<ControllerRevision>),
    /// Another revision stands under the wanted name: count the collision.
    Collide,
}

/// The patch that brings an object back to a template.
pub(crate) fn data(template: &PodTemplateSpec) -> Value {
    // A template of this type always has a JSON form.
    let mut template = serde_json::to_value(template).unwrap_or_default();
    if let Some(map) = template.as_object_mut() {
        map.insert("$patch".to_owned(), "replace".into());
    }
    json!({"spec": {"template": template}})
}

/// The template that a revision holds, `None` when it holds none.
pub(crate) fn template(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut value = revision.data.as_ref()?.0.pointer("/spec/template")?.clone();
    value.as_object_mut()?.remove("$patch");
    serde_json::from_value(value).ok()
}

/// A new revision of an owner.
pub(crate) fn revision<K: Object>(
    owner: &K,
    template: &PodTemplateSpec,
    number: i64,
    collisions: i32,
    label: &str,
) -> ControllerRevision
where
    K::DynamicType: Default,
{
    let data = data(template);
    let hash = digest(data.to_string().into_bytes(), collisions);
    let of = owner.meta();
    let mut labels = template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
    labels.insert(label.to_owned(), hash.clone());
    let name = meta::name(of);
    ControllerRevision {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", &name[..name.len().min(223)])),
            namespace: of.namespace.clone(),
            labels: Some(labels),
            annotations: of.annotations.clone(),
            owner_references: Some(vec![meta::controller_reference(owner)]),
            ..Default::default()
        },
        data: Some(RawExtension(data)),
        revision: number,
    }
}

/// The revisions of an owner, oldest first.
pub(crate) fn sorted(mut revisions: Vec<Arc<ControllerRevision>>) -> Vec<Arc<ControllerRevision>> {
    let order = |of: &Arc<ControllerRevision>| {
        let created = of.metadata.creation_timestamp.as_ref().map(|at| at.0);
        (of.revision, created, of.metadata.name.clone())
    };
    revisions.sort_by_key(order);
    revisions
}

/// The revision of a template: the one that stands, or what must be written first. `revisions` are the owner's, sorted;
/// `taken` tells whether another object has a name.
pub(crate) fn wanted<K: Object>(
    owner: &K,
    template: &PodTemplateSpec,
    revisions: &[Arc<ControllerRevision>],
    collisions: i32,
    label: &str,
    taken: impl Fn(&str) -> bool,
) -> Result<Arc<ControllerRevision>, Write>
where
    K::DynamicType: Default,
{
    let number = revisions.last().map_or(0, |last| last.revision).saturating_add(1);
    let new = revision(owner, template, number, collisions, label);
    let equal = |of: &&Arc<ControllerRevision>| self::template(of).as_ref() == Some(template);
    match revisions.iter().rev().find(equal) {
        Some(same) if same.revision + 1 == number => Ok(same.clone()),
        Some(same) => {
            Err(Write::Renumber(Box::new(ControllerRevision { revision: number, ..ControllerRevision::clone(same) })))
        }
        None if taken(meta::name(&new.metadata)) => Err(Write::Collide),
        None => Err(Write::Create(Box::new(new))),
    }
}

/// Old revisions that nothing uses, beyond the number that is kept.
pub(crate) fn surplus(
    revisions: &[Arc<ControllerRevision>],
    keep: i32,
    live: impl Fn(&ControllerRevision) -> bool,
) -> Vec<Write> {
    let idle: Vec<_> = revisions.iter().filter(|of| !live(of)).collect();
    let surplus = idle.len().saturating_sub(usize::try_from(keep).unwrap_or_default());
    idle.into_iter().take(surplus).cloned().map(Write::Delete).collect()
}

/// Carries out a write of a revision; [`Write::Collide`] is its owner's.
pub(crate) async fn write<K: Object>(
    env: &Env,
    memory: &Memory,
    key: &ObjectKey,
    owner: &K,
    cache: &Typed<ControllerRevision>,
    write: &Write,
) -> Result<(), PassError>
where
    K::DynamicType: Default,
{
    let api: Api<ControllerRevision> = Api::namespaced(env.client.clone(), key.namespace_str());
    let done = match write {
        Write::Adopt(revision) => {
            may_adopt(env, key, owner).await?;
            claim::adopt(&api, &**revision, meta::controller_reference(owner)).await
        }
        Write::Release(revision) => claim::release(&api, &**revision, meta::uid(owner.meta())).await,
        Write::Create(revision) => match api.create(revision).await {
            Err(error) if meta::namespace_is_ending(&error) => return Ok(()),
            done => done,
        },
        Write::Renumber(revision) => api.replace(revision).await,
        Write::Delete(revision) => {
            match api.delete(meta::name(&revision.metadata), only(&revision.metadata)).await {
                Ok(()) => memory.deleted(key, meta::uid(&revision.metadata)),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
            return Ok(());
        }
        Write::Collide => return Ok(()),
    };
    match done {
        Err(error) if error.is_not_found() => {}
        done => memory.wrote(key, cache.cache(), done?.metadata.resource_version.as_deref()),
    }
    Ok(())
}
