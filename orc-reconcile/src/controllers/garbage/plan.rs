//! What is to become of an object whose owners may be gone, or which waits for its dependents.

use orc_core::{Head, OwnerRef};
use orc_store::client::Propagation;

pub(crate) const FOREGROUND: &str = "foregroundDeletion";
pub(crate) const ORPHAN: &str = "orphan";

/// How an owner stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// It is there.
    Solid,
    /// It is there and waits for its dependents to go.
    Waiting,
    /// It is gone, or another object has its name.
    Gone,
}

/// The one act that an object needs.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Act {
    /// Nothing.
    Keep,
    /// Leave it only these owners.
    SetOwners(Vec<OwnerRef>),
    /// Delete it.
    Delete(Propagation),
    /// Its dependents are gone or free: take this finalizer away.
    Release(&'static str),
    /// Its dependents have to be looked at first.
    LookAtDependents,
    /// Its dependents have to lose it as their owner first.
    OrphanDependents,
}

/// A dependent of the object.
#[derive(Clone, Debug)]
pub(crate) struct Dependent {
    /// Whether the object must wait for it.
    pub(crate) blocks: bool,
}

pub(crate) fn has(head: &Head, finalizer: &str) -> bool {
    head.finalizers.iter().any(|name| name == finalizer)
}

/// Decides on an object that is ending.
pub(crate) fn ending(head: &Head, dependents: &[Dependent]) -> Act {
    if has(head, ORPHAN) {
        return if dependents.is_empty() { Act::Release(ORPHAN) } else { Act::OrphanDependents };
    }
    if !has(head, FOREGROUND) {
        return Act::Keep;
    }
    if dependents.iter().any(|dependent| dependent.blocks) { Act::LookAtDependents } else { Act::Release(FOREGROUND) }
}

/// Decides on an object that is not ending, from how its owners stand.
pub(crate) fn owned(head: &Head, standing: &[Standing], has_dependents: bool) -> Act {
    let is = |wanted| standing.contains(&wanted);
    if standing.is_empty() || !(is(Standing::Gone) || is(Standing::Waiting)) {
        return Act::Keep;
    }
    if is(Standing::Solid) {
        let stay = head.owners.iter().zip(standing).filter(|(_, standing)| **standing == Standing::Solid);
        return Act::SetOwners(stay.map(|(owner, _)| owner.clone()).collect());
    }
    if is(Standing::Waiting) && has_dependents {
        return Act::Delete(Propagation::Foreground);
    }
    Act::Delete(match () {
        () if has(head, ORPHAN) => Propagation::Orphan,
        () if has(head, FOREGROUND) => Propagation::Foreground,
        () => Propagation::Background,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Standing::{Gone, Solid, Waiting};

    fn head(owners: &[&str], finalizers: &[&str]) -> Head {
        let owners = owners.iter().map(|uid| OwnerRef { uid: (*uid).into(), ..OwnerRef::default() }).collect();
        Head { owners, finalizers: finalizers.iter().map(|name| (*name).to_owned()).collect(), ..Head::default() }
    }

    #[test]
    fn an_object_lives_while_one_owner_does() {
        let two = head(&["a", "b"], &[]);
        assert_eq!(owned(&two, &[Solid, Solid], true), Act::Keep);
        assert_eq!(owned(&two, &[Gone, Solid], true), Act::SetOwners(vec![two.owners[1].clone()]));
        assert_eq!(owned(&two, &[Gone, Gone], false), Act::Delete(Propagation::Background));
        assert_eq!(owned(&two, &[Waiting, Gone], true), Act::Delete(Propagation::Foreground));
        assert_eq!(owned(&two, &[Waiting, Gone], false), Act::Delete(Propagation::Background));
        assert_eq!(owned(&head(&[], &[]), &[], false), Act::Keep);
    }

    #[test]
    fn finalizers_wait_for_dependents() {
        let blocking = [Dependent { blocks: true }];
        let free = [Dependent { blocks: false }];
        assert_eq!(ending(&head(&[], &[FOREGROUND]), &blocking), Act::LookAtDependents);
        assert_eq!(ending(&head(&[], &[FOREGROUND]), &free), Act::Release(FOREGROUND));
        assert_eq!(ending(&head(&[], &[ORPHAN]), &free), Act::OrphanDependents);
        assert_eq!(ending(&head(&[], &[ORPHAN]), &[]), Act::Release(ORPHAN));
        assert_eq!(ending(&head(&[], &["x/y"]), &blocking), Act::Keep);
    }
}
