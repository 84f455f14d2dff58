//! Mirror pods: what the API shows of static pods. Deleting one does nothing to its pod; it is made again.

use k8s_openapi::api::core::v1::{Node, Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use orc_core::{ApiError, Reason};
use orc_store::Api;
use orc_store::client::{DeleteOptions, Preconditions};

use super::super::context::{Context, name_of, namespace_of, uid_of};
use super::super::status;
use super::{HASH, MIRROR, annotation};

/// Whether an object of the API shows this static pod as it is now.
pub(in super::super) fn shows(mirror: &Pod, pod: &Pod) -> bool {
    mirror.metadata.deletion_timestamp.is_none()
        && annotation(mirror, MIRROR).is_some()
        && annotation(mirror, MIRROR) == annotation(pod, HASH)
}

/// Makes the mirror of a static pod, or puts it in the place of an older one, and writes its status.
///
/// # Errors
/// The API's; `Conflict` where an ordinary pod has the name.
pub(in super::super) async fn write(context: &Context, pod: &Pod, wanted: &PodStatus) -> Result<(), ApiError> {
    let api: Api<Pod> = Api::namespaced(context.env.client.clone(), namespace_of(pod));
    let found = match api.get_opt(name_of(pod)).await {
        // A node may read its own pods only, and one that does not exist is nobody's (node authorizer).
        Err(error) if error.reason() == Reason::Forbidden => None,
        other => other?,
    };
    match found {
        Some(found) if annotation(&found, MIRROR).is_none() => {
            return Err(ApiError::conflict(
                "",
                "pods",
                name_of(pod),
                "it is a pod of its own, not the mirror of a static one",
            ));
        }
        Some(found) if shows(&found, pod) => {}
        Some(found) => {
            remove(context, &found).await?;
            create(context, pod, &api).await?;
        }
        None => create(context, pod, &api).await?,
    }
    let write = api.modify_status(name_of(pod), |found| {
        if shows(found, pod) {
            status::merge(found.status.get_or_insert_default(), wanted);
        }
    });
    match write.await {
        // Deleted in the meantime: the watch will say so.
        Err(error) if error.is_not_found() => Ok(()),
        other => other.map(drop),
    }
}

async fn create(context: &Context, pod: &Pod, api: &Api<Pod>) -> Result<(), ApiError> {
    let nodes: Api<Node> = Api::all(context.env.client.clone());
    let node = nodes.get(&context.config.node_name).await?;
    let mut mirror = pod.clone();
    let meta = &mut mirror.metadata;
    let hash = annotation(pod, HASH).unwrap_or_default().to_owned();
    meta.annotations.get_or_insert_default().insert(MIRROR.to_owned(), hash);
    (meta.uid, meta.resource_version, mirror.status) = (None, None, None);
    // The API holds a node to this (NodeRestriction), and the mirror goes with its node.
    meta.owner_references = Some(vec![OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: context.config.node_name.clone(),
        uid: node.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    }]);
    match api.create(&mirror).await {
        // Another try of this agent was first.
        Err(error) if error.is_already_exists() => Ok(()),
        other => other.map(drop),
    }
}

/// Takes a mirror away at once, unless it is another one by now.
///
/// # Errors
/// The API's.
pub(in super::super) async fn remove(context: &Context, mirror: &Pod) -> Result<(), ApiError> {
    let preconditions = Preconditions { uid: Some(uid_of(mirror).to_owned()), revision: None };
    let options = DeleteOptions { grace_seconds: Some(0), preconditions, propagation: None };
    let api: Api<Pod> = Api::namespaced(context.env.client.clone(), namespace_of(mirror));
    match api.delete(name_of(mirror), options).await {
        Err(error) if !error.is_not_found() && !error.is_conflict() => Err(error),
        _ => Ok(()),
    }
}
