//! Small facts about metadata.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use orc_core::{ApiError, Object, Reason};

/// A time as objects carry it: whole seconds.
pub(crate) fn time(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// The uid, `""` when there is none.
pub(crate) fn uid(meta: &ObjectMeta) -> &str {
    meta.uid.as_deref().unwrap_or_default()
}

/// The name, `""` when there is none.
pub(crate) fn name(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or_default()
}

/// The namespace, `""` when there is none.
pub(crate) fn namespace(meta: &ObjectMeta) -> &str {
    meta.namespace.as_deref().unwrap_or_default()
}

/// Whether deletion was asked for.
pub(crate) fn is_terminating(meta: &ObjectMeta) -> bool {
    meta.deletion_timestamp.is_some()
}

/// The owner that manages the object.
pub(crate) fn controller(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// An annotation.
pub(crate) fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(key).map(String::as_str)
}

/// The reference that makes `owner` the managing controller.
pub(crate) fn controller_reference<K: Object>(owner: &K) -> OwnerReference
where
    K::DynamicType: Default,
{
    let kind = K::DynamicType::default();
    OwnerReference {
        api_version: K::api_version(&kind).into_owned(),
        kind: K::kind(&kind).into_owned(),
        name: name(owner.meta()).to_owned(),
        uid: uid(owner.meta()).to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
        ..Default::default()
    }
}

/// A reference to an object, as events and endpoints carry it.
pub(crate) fn reference<K: Object>(object: &K) -> ObjectReference
where
    K::DynamicType: Default,
{
    let kind = K::DynamicType::default();
    let meta = object.meta();
    ObjectReference {
        api_version: Some(K::api_version(&kind).into_owned()),
        kind: Some(K::kind(&kind).into_owned()),
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        ..Default::default()
    }
}

/// Whether a creation was refused because the namespace is going away: nothing to report, nothing to try again.
pub(crate) fn namespace_is_ending(error: &ApiError) -> bool {
    let causes = error.to_status();
    let causes = causes.pointer("/details/causes").and_then(serde_json::Value::as_array).cloned();
    causes.iter().flatten().any(|cause| cause.get("reason").and_then(|r| r.as_str()) == Some("NamespaceTerminating"))
}

/// Whether a failed write may have happened all the same.
pub(crate) fn is_uncertain(error: &ApiError) -> bool {
    matches!(
        error.reason(),
        Reason::Timeout | Reason::ServerTimeout | Reason::InternalError | Reason::ServiceUnavailable
    ) || error.code() >= 500
}
