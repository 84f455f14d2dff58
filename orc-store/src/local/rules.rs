//! The rules of any object, as pure functions: what a new object is given, what an update keeps, what a deletion does.
//!
//! Used by [`LocalClient`](super::LocalClient) and by `orc_api::Registry`, which have write loops of their own. The rules and
//! texts follow `k8s.io/apiserver/pkg/registry/rest` and `.../generic/registry/store.go`.

use jiff::Timestamp;
use orc_core::validation::{FieldError, FieldPath};
use orc_core::{ApiError, Doc, ObjectKey, Revision};
use serde_json::Value;

use crate::client::Preconditions;
use crate::stored::Stored;

/// Metadata that only the system writes; an update keeps what the object has.
const SYSTEM_METADATA: [&str; 5] =
    ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"];

/// A time as objects carry it: whole seconds, UTC.
pub fn timestamp(now: Timestamp) -> String {
    let whole = Timestamp::from_second(now.as_second()).unwrap_or(now);
    whole.to_string()
}

/// Gives a new object what the system gives: its place, uid and creation time; takes away what it may not bring.
pub fn stamp_new(doc: &mut Doc, key: &ObjectKey, uid: String, now: Timestamp) {
    let metadata = doc.metadata_mut();
    for name in ["resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"] {
        metadata.remove(name);
    }
    metadata.insert("name".to_owned(), key.name.as_str().into());
    match &key.namespace {
        Some(namespace) => metadata.insert("namespace".to_owned(), namespace.as_str().into()),
        None => metadata.remove("namespace"),
    };
    metadata.insert("uid".to_owned(), uid.into());
    metadata.insert("creationTimestamp".to_owned(), timestamp(now).into());
}

/// Starts counting the generations of a new object.
pub fn start_generation(doc: &mut Doc) {
    doc.set(&["metadata", "generation"], 1);
}

/// What a main write and a status write may change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Everything but the status.
    Main,
    /// The status alone (and, as upstream, managed fields).
    Status,
    /// Everything: the kind has no status of its own.
    Whole,
}

/// Puts an update over the present object: system metadata stays, and so does the part that is not written.
/// The generation does not move; see [`bump_generation`].
pub fn merge_update(current: &Doc, mut next: Doc, part: Part) -> Doc {
    if part == Part::Status {
        let mut merged = current.clone();
        copy(&mut merged, &next, &["status"]);
        copy(&mut merged, &next, &["metadata", "managedFields"]);
        return merged;
    }
    for name in SYSTEM_METADATA {
        copy(&mut next, current, &["metadata", name]);
    }
    for name in ["name", "namespace", "resourceVersion"] {
        copy(&mut next, current, &["metadata", name]);
    }
    next.metadata_mut().remove("selfLink");
    if part == Part::Main {
        copy(&mut next, current, &["status"]);
    }
    next
}

fn copy(to: &mut Doc, from: &Doc, path: &[&str]) {
    match from.at(path) {
        Some(value) => to.set(path, value.clone()),
        None => drop(to.remove(path)),
    }
}

/// Counts the generation up when anything but metadata and status differs. Says whether it did.
pub fn bump_generation(current: &Doc, next: &mut Doc) -> bool {
    let ignored = |name: &str| matches!(name, "metadata" | "status" | "apiVersion" | "kind");
    let wanted = |doc: &Doc| -> Vec<(String, Value)> {
        let fields = doc.map().iter().filter(|(name, _)| !ignored(name));
        fields.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let mut same = wanted(current);
    let mut other = wanted(next);
    same.sort_by(|a, b| a.0.cmp(&b.0));
    other.sort_by(|a, b| a.0.cmp(&b.0));
    if same == other {
        return false;
    }
    raise_generation(next);
    true
}

/// Counts the generation up where the object has one.
pub(super) fn raise_generation(doc: &mut Doc) {
    let now = doc.at(&["metadata", "generation"]).and_then(Value::as_i64).unwrap_or_default();
    doc.set(&["metadata", "generation"], now + 1);
}

/// Checks what a write demands of the present object: preconditions, and the uid that the new document names.
///
/// # Errors
/// `Conflict`, in the words of `k8s.io/apiserver/pkg/storage`.
pub fn check_preconditions(current: &Stored, wanted: &Preconditions) -> Result<(), ApiError> {
    let key = &current.key;
    let refuse = |what: &str, asked: &str, found: &str| {
        let why = format!("Precondition failed: {what} in precondition: {asked}, {what} in object meta: {found}");
        Err(ApiError::conflict(key.resource.group(), key.resource.plural(), &key.name, why))
    };
    if let Some(uid) = wanted.uid.as_deref().filter(|uid| *uid != current.head.uid.as_str()) {
        return refuse("UID", uid, &current.head.uid);
    }
    if let Some(revision) = wanted.revision.filter(|revision| *revision != current.revision) {
        return refuse("ResourceVersion", &revision.to_string(), &current.revision.to_string());
    }
    Ok(())
}

/// The revision that a document demands by its `resourceVersion`; `None` when it leaves it open (absent, empty or `0`).
///
/// # Errors
/// `BadRequest` when it is not a number.
pub fn demanded_revision(doc: &Doc) -> Result<Option<Revision>, ApiError> {
    match doc.str_at(&["metadata", "resourceVersion"]) {
        None | Some("" | "0") => Ok(None),
        Some(text) => Revision::parse(text)
            .map(Some)
            .ok_or_else(|| ApiError::bad_request(format!("invalid resource version {text:?}"))),
    }
}

/// Checks that an update of a terminating object adds no finalizer.
///
/// # Errors
/// `Invalid`.
pub fn check_finalizers(current: &Doc, next: &Doc) -> Result<(), ApiError> {
    if current.at(&["metadata", "deletionTimestamp"]).is_none() {
        return Ok(());
    }
    let had = finalizers(current);
    let added: Vec<String> = finalizers(next).into_iter().filter(|name| !had.contains(name)).collect();
    if added.is_empty() {
        return Ok(());
    }
    let list = added.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    let detail = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{list}}}"
    );
    let error = FieldError::forbidden(&FieldPath::new("metadata").child("finalizers"), detail);
    let group = next.api_version().split_once('/').map_or("", |(group, _)| group);
    Err(ApiError::invalid(group, next.kind(), next.name(), &[error]))
}

/// Whether an update was the last thing a deletion waited for: no finalizer is left and no grace period runs.
pub fn is_ready_to_go(next: &Doc) -> bool {
    let grace = next.at(&["metadata", "deletionGracePeriodSeconds"]).and_then(Value::as_i64);
    next.at(&["metadata", "deletionTimestamp"]).is_some()
        && finalizers(next).is_empty()
        && grace.unwrap_or_default() == 0
}

/// `metadata.finalizers`.
pub fn finalizers(doc: &Doc) -> Vec<String> {
    let list = doc.at(&["metadata", "finalizers"]).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// Puts finalizers in, or takes the field away when there are none.
pub fn set_finalizers(doc: &mut Doc, names: &[String]) {
    match names {
        [] => drop(doc.remove(&["metadata", "finalizers"])),
        names => doc.set(&["metadata", "finalizers"], names.to_vec()),
    }
}
