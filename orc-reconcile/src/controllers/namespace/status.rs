//! The conditions of a namespace that is going away: `status_condition_utils.go` of upstream's namespace deleter.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{NamespaceCondition, NamespaceStatus};
use orc_core::ResourceId;

use crate::controllers::support::meta;

/// What is left of a namespace's content.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Remaining {
    /// Objects of each resource.
    pub(crate) objects: BTreeMap<ResourceId, usize>,
    /// Objects that wait for each finalizer.
    pub(crate) finalizers: BTreeMap<String, usize>,
    /// What could not be deleted.
    pub(crate) errors: Vec<String>,
    /// The longest grace period that runs, in seconds.
    pub(crate) grace: i64,
}

impl Remaining {
    /// Whether the namespace is empty, and known to be.
    pub(crate) fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.errors.is_empty()
    }
}

/// A condition's kind; reason and message when all is well; the reason otherwise.
const CONDITIONS: [(&str, &str, &str, &str); 5] = [
    ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered", ""),
    (
        "NamespaceDeletionGroupVersionParsingFailure",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
        "",
    ),
    (
        "NamespaceDeletionContentFailure",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
        "ContentDeletionFailed",
    ),
    ("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed", "SomeResourcesRemain"),
    (
        "NamespaceFinalizersRemaining",
        "ContentHasNoFinalizers",
        "All content-preserving finalizers finished",
        "SomeFinalizersRemain",
    ),
];

/// The status that says what remains.
pub(crate) fn status(before: Option<&NamespaceStatus>, remaining: &Remaining, now: Timestamp) -> NamespaceStatus {
    let mut next = before.cloned().unwrap_or_default();
    next.phase = Some("Terminating".to_owned());
    let conditions = next.conditions.get_or_insert_default();
    for (kind, fine, all_well, wrong) in CONDITIONS {
        let trouble = trouble(kind, remaining);
        let made = NamespaceCondition {
            type_: kind.to_owned(),
            status: if trouble.is_some() { "True" } else { "False" }.to_owned(),
            reason: Some(if trouble.is_some() { wrong } else { fine }.to_owned()),
            message: Some(trouble.unwrap_or_else(|| all_well.to_owned())),
            last_transition_time: Some(meta::time(now)),
            ..Default::default()
        };
        match conditions.iter_mut().find(|condition| condition.type_ == kind) {
            None => conditions.push(made),
            Some(stands)
                if (&stands.status, &stands.reason, &stands.message) == (&made.status, &made.reason, &made.message) => {
            }
            Some(stands) => *stands = made,
        }
    }
    next
}

fn trouble(kind: &str, remaining: &Remaining) -> Option<String> {
    match kind {
        "NamespaceDeletionContentFailure" => {
            let errors = &remaining.errors;
            (!errors.is_empty()).then(|| {
                format!("Failed to delete all resource types, {} remaining: {}", errors.len(), errors.join(", "))
            })
        }
        "NamespaceContentRemaining" => {
            let each =
                |(id, n): (&ResourceId, &usize)| format!("{}.{} has {n} resource instances", id.plural(), id.group());
            let list: Vec<_> = remaining.objects.iter().map(each).collect();
            (!list.is_empty()).then(|| format!("Some resources are remaining: {}", list.join(", ")))
        }
        "NamespaceFinalizersRemaining" => {
            let list: Vec<_> =
                remaining.finalizers.iter().map(|(name, n)| format!("{name} in {n} resource instances")).collect();
            (!list.is_empty())
                .then(|| format!("Some content in the namespace has finalizers remaining: {}", list.join(", ")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_tell_what_remains() {
        let mut remaining = Remaining::default();
        let now = Timestamp::from_second(100).unwrap();
        let calm = status(None, &remaining, now);
        assert!(calm.conditions.as_ref().unwrap().iter().all(|condition| condition.status == "False"));
        remaining.objects.insert(ResourceId::new("", "pods"), 2);
        let busy = status(Some(&calm), &remaining, now);
        let found = busy.conditions.unwrap().into_iter().find(|c| c.type_ == "NamespaceContentRemaining").unwrap();
        assert_eq!(found.message.as_deref(), Some("Some resources are remaining: pods. has 2 resource instances"));
        assert_eq!(status(Some(&calm), &Remaining::default(), Timestamp::from_second(200).unwrap()), calm);
    }
}
